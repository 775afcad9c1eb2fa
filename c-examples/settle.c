// After the array was killed: what became of the writes that were not certain.
#include "hosts.h"

#include <inttypes.h>

#include "pattern.h"

void record_replace_all(struct record *record, const struct settings *settings,
                        const struct extents *tuesday)
{
    for (uint64_t block = 0; block < record->blocks_count; block++)
        record_replace(record, block, TAG_ORIGINAL);
    for (uint64_t i = 0; tuesday != NULL && i < tuesday->count; i++) {
        uint64_t block = tuesday->extents[i] * settings->extent_blocks;
        uint64_t end = block + settings->extent_blocks;

        for (; block < end && block < record->blocks_count; block++)
            record_replace(record, block, TAG_TUESDAY);
    }
}

enum { SETTLE_BLOCKS = 128 };

struct settled {
    uint64_t in_flight, in_flight_new;  // blocks, and those that hold the new data
    uint64_t unflushed, unflushed_kept; // acknowledged, and not durable by contract
    uint64_t wrong;
};

static void settle_block(struct record *record, const struct settings *settings,
                         const uint8_t *data, uint64_t block, struct settled *settled)
{
    const struct block_record before = record->blocks[block];
    uint64_t tag;

    if (!pattern_tag(data, settings->seed, block, &tag) || !record_allows(record, block, tag))
        settled->wrong++;
    if (before.in_flight != 0) {
        settled->in_flight++;
        settled->in_flight_new += tag == before.in_flight;
    } else {
        settled->unflushed++;
        settled->unflushed_kept += tag == before.acknowledged;
    }
    record_settle(record, block, tag);
}

// Reads `count` blocks from `first` on through the group, and settles them.
static void settle_range(struct controller *controller, struct record *record,
                         const struct settings *settings, uint64_t first, uint64_t count,
                         struct settled *settled)
{
    static uint8_t data[SETTLE_BLOCKS * BLOCK_BYTES];

    controller_must(controller,
                    clone_group_host_read(controller->group, 0, first, count, data, 0,
                                          controller_tag(controller)),
                    "host_read");
    for (uint64_t i = 0; i < count; i++)
        settle_block(record, settings, data + i * BLOCK_BYTES, first + i, settled);
}

void hosts_settle(struct controller *controller, struct record *record,
                  const struct settings *settings)
{
    struct settled settled = {0};
    uint64_t block = 0;

    while (block < record->blocks_count) {
        uint64_t count = 0;

        while (count < SETTLE_BLOCKS && block + count < record->blocks_count
               && record_is_open(record, block + count))
            count++;
        if (count > 0)
            settle_range(controller, record, settings, block, count, &settled);
        block += count > 0 ? count : 1;
    }
    check(&record->figures, settled.wrong == 0,
          "every block that was not certain holds a write that may be there (%" PRIu64
          " do not)", settled.wrong);
    remark("in flight at the kill: %" PRIu64 " blocks, %" PRIu64 " old and %" PRIu64 " new",
           settled.in_flight, settled.in_flight - settled.in_flight_new, settled.in_flight_new);
    remark("acknowledged, not flushed: %" PRIu64 " blocks, %" PRIu64 " of them there",
           settled.unflushed, settled.unflushed_kept);
}
