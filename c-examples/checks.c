#include "checks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

// Reads extent `extent` of an LU. Returns its bytes: the last one may be short.
static uint64_t read_extent(struct controller *controller, const struct settings *settings,
                            uint32_t lu, uint64_t extent, uint8_t *data)
{
    uint64_t first = extent * settings->extent_blocks;
    uint64_t blocks = settings->lu_blocks - first;

    if (blocks > settings->extent_blocks)
        blocks = settings->extent_blocks;
    if (!array_peek(controller->array, lu, first * BLOCK_BYTES, data, blocks * BLOCK_BYTES))
        give_up("cannot read the file of LU %" PRIu32, lu);
    return blocks * BLOCK_BYTES;
}

static uint8_t *extent_buffer(const struct settings *settings)
{
    uint8_t *data = malloc((size_t)settings->extent_blocks * BLOCK_BYTES);

    if (data == NULL)
        give_up("no memory for an extent");
    return data;
}

uint64_t lu_checksum(struct controller *controller, const struct settings *settings,
                     uint32_t lu)
{
    uint8_t *data = extent_buffer(settings);
    uint64_t sum = CHECKSUM_START;

    for (uint64_t extent = 0; extent < settings->extents; extent++)
        sum = checksum(sum, data, read_extent(controller, settings, lu, extent, data));
    free(data);
    return sum;
}

void check_untouched(struct controller *controller, struct record *record,
                     const struct settings *settings, uint32_t lu)
{
    uint64_t before = record->clone_checksums[lu];
    uint64_t now = lu_checksum(controller, settings, lu);

    check(&record->figures, now == before, "Clone %" PRIu32 " is byte-identical to before the "
          "restore: checksum %016" PRIx64 ", was %016" PRIx64, lu, now, before);
}

void check_source(struct controller *controller, struct record *record,
                  const struct settings *settings)
{
    uint8_t *source = extent_buffer(settings);
    uint8_t *clone = extent_buffer(settings);
    uint8_t written[BLOCK_BYTES];
    uint64_t by_hosts = 0;
    uint64_t wrong = 0;

    for (uint64_t extent = 0; extent < settings->extents; extent++) {
        uint64_t bytes = read_extent(controller, settings, 0, extent, source);

        read_extent(controller, settings, 1, extent, clone);
        for (uint64_t i = 0; i < bytes; i += BLOCK_BYTES) {
            uint64_t block = extent * settings->extent_blocks + i / BLOCK_BYTES;
            uint64_t tag = record->blocks[block].acknowledged;
            const uint8_t *expected = clone + i;

            if (tag != TAG_ORIGINAL) {
                pattern_make(written, settings->seed, block, tag);
                expected = written;
                by_hosts++;
            }
            wrong += memcmp(source + i, expected, BLOCK_BYTES) != 0;
        }
    }
    free(source);
    free(clone);
    check(&record->figures, wrong == 0 && by_hosts > 0, "the Source is Clone 1 plus %" PRIu64
          " blocks that hosts wrote (%" PRIu64 " of %" PRIu64 " blocks wrong)", by_hosts, wrong,
          settings->lu_blocks);
}

void check_contents(struct controller *controller, struct record *record,
                    const struct settings *settings, uint32_t lu)
{
    uint8_t *data = extent_buffer(settings);
    uint8_t expected[BLOCK_BYTES];
    uint64_t by_hosts = 0;
    uint64_t wrong = 0;

    for (uint64_t extent = 0; extent < settings->extents; extent++) {
        uint64_t bytes = read_extent(controller, settings, lu, extent, data);

        for (uint64_t i = 0; i < bytes; i += BLOCK_BYTES) {
            uint64_t block = extent * settings->extent_blocks + i / BLOCK_BYTES;
            uint64_t tag = record->blocks[block].acknowledged;

            pattern_make(expected, settings->seed, block, tag);
            by_hosts += tag != TAG_ORIGINAL && tag != TAG_TUESDAY;
            wrong += memcmp(data + i, expected, BLOCK_BYTES) != 0;
        }
    }
    free(data);
    check(&record->figures, wrong == 0 && by_hosts > 0, "%s holds every write that was "
          "acknowledged, %" PRIu64 " blocks, and the point in time elsewhere (%" PRIu64
          " blocks wrong)", lu == 0 ? "the Source" : "the Clone", by_hosts, wrong);
}

// The bits of a whole Delta Map. The caller frees them.
static uint8_t *delta_map(struct controller *controller, const struct settings *settings,
                          uint32_t lu)
{
    uint64_t bytes = (settings->extents + 7) / 8;
    uint8_t *bits = malloc(bytes);
    int32_t status;

    if (bits == NULL)
        give_up("no memory for a Delta Map");
    status = clone_group_map_read(controller->group, CLONE_GROUP_MAP_DELTA, lu, 0,
                                  settings->extents, bits, bytes);
    if (status != CLONE_GROUP_OK)
        give_up("map_read: %s", clone_group_status_text(status));
    return bits;
}

struct comparison {
    uint64_t differ;    // extents in which the Clone and the Source differ
    uint64_t missing;   // of these: not in the Delta Map
    uint64_t extra;     // in the Delta Map, and equal: allowed, and a copy for nothing
};

static struct comparison compare_with_source(struct controller *controller,
                                             const struct settings *settings, uint32_t lu)
{
    uint8_t *source = extent_buffer(settings);
    uint8_t *clone = extent_buffer(settings);
    uint8_t *bits = delta_map(controller, settings, lu);
    struct comparison result = {0};

    for (uint64_t extent = 0; extent < settings->extents; extent++) {
        uint64_t bytes = read_extent(controller, settings, 0, extent, source);
        int set = bits[extent / 8] >> extent % 8 & 1;
        int differ;

        read_extent(controller, settings, lu, extent, clone);
        differ = memcmp(source, clone, bytes) != 0;
        result.differ += differ;
        result.missing += differ && !set;
        result.extra += set && !differ;
    }
    free(source);
    free(clone);
    free(bits);
    return result;
}

void check_delta_map(struct controller *controller, struct record *record,
                     const struct settings *settings, uint32_t lu)
{
    struct comparison found = compare_with_source(controller, settings, lu);

    check(&record->figures, found.missing == 0, "all %" PRIu64 " extents in which Clone %" PRIu32
          " and the Source differ are in its Delta Map (%" PRIu64 " missing, %" PRIu64
          " more than needed)", found.differ, lu, found.missing, found.extra);
}

void check_same(struct controller *controller, struct record *record,
                const struct settings *settings, uint32_t lu)
{
    struct comparison found = compare_with_source(controller, settings, lu);

    check(&record->figures, found.differ == 0, "the Source and Clone %" PRIu32
          " are the same, byte by byte (%" PRIu64 " extents differ)", lu, found.differ);
}

uint64_t delta_map_count(struct controller *controller, const struct settings *settings,
                         uint32_t lu)
{
    uint8_t *bits = delta_map(controller, settings, lu);
    uint64_t count = 0;

    for (uint64_t extent = 0; extent < settings->extents; extent++)
        count += bits[extent / 8] >> extent % 8 & 1;
    free(bits);
    return count;
}

int delta_map_has(struct controller *controller, uint32_t lu, uint64_t extent)
{
    uint8_t bit = 0;
    int32_t status =
        clone_group_map_read(controller->group, CLONE_GROUP_MAP_DELTA, lu, extent, 1, &bit, 1);

    if (status != CLONE_GROUP_OK)
        give_up("map_read: %s", clone_group_status_text(status));
    return bit & 1;
}
