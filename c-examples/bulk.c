#include "bulk.h"

#include <inttypes.h>
#include <stdlib.h>

#include "figures.h"
#include "pattern.h"

enum { SLOTS = 16 };

struct slot {
    struct request request;
    int busy;
    uint8_t *data;
};

// Ends the process if the write of this slot failed; frees it if it is done.
static void reap(struct controller *controller, struct slot *slot)
{
    if (!slot->busy || !request_is_done(controller, &slot->request))
        return;
    if (slot->request.status != CLONE_GROUP_OK)
        give_up("a host write failed: %s", clone_group_status_text(slot->request.status));
    slot->busy = 0;
}

static struct slot *free_slot(struct controller *controller, struct slot *slots)
{
    for (;;) {
        for (int i = 0; i < SLOTS; i++) {
            reap(controller, &slots[i]);
            if (!slots[i].busy)
                return &slots[i];
        }
        controller_poll(controller, 0, -1);
    }
}

static void write_extent(struct controller *controller, const struct settings *settings,
                         struct slot *slot, uint64_t extent, uint64_t tag)
{
    uint64_t first = extent * settings->extent_blocks;
    uint64_t count = settings->lu_blocks - first;
    int32_t status;

    if (count > settings->extent_blocks)
        count = settings->extent_blocks;
    for (uint64_t i = 0; i < count; i++)
        pattern_make(slot->data + i * BLOCK_BYTES, settings->seed, first + i, tag);
    slot->request = (struct request){0};
    slot->busy = 1;
    status = clone_group_host_write(controller->group, 0, first, count, slot->data, 0,
                                    REQUEST_TAG(&slot->request));
    if (status != CLONE_GROUP_PENDING)
        slot->request = (struct request){.done = 1, .status = status};
}

void bulk_write(struct controller *controller, const struct settings *settings,
                const uint64_t *extents, uint64_t count, uint64_t tag)
{
    struct slot slots[SLOTS] = {{{0}, 0, NULL}};
    uint64_t extent_bytes = (uint64_t)settings->extent_blocks * BLOCK_BYTES;
    struct progress progress;

    for (int i = 0; i < SLOTS; i++)
        if ((slots[i].data = malloc(extent_bytes)) == NULL)
            give_up("no memory for %d extents", SLOTS);
    progress_begin(&progress, count * extent_bytes);
    for (uint64_t i = 0; i < count; i++) {
        write_extent(controller, settings, free_slot(controller, slots),
                     extents == NULL ? i : extents[i], tag);
        progress_show(&progress, i * extent_bytes);
    }
    for (int i = 0; i < SLOTS; i++) {
        while (slots[i].busy) {
            controller_poll(controller, 0, 1);
            reap(controller, &slots[i]);
        }
        free(slots[i].data);
    }
    progress_end(&progress);
}

uint64_t *choose_extents(const struct settings *settings, uint64_t count, uint64_t seed)
{
    uint64_t *chosen = malloc(count * sizeof *chosen);
    uint64_t taken = 0;

    if (chosen == NULL)
        give_up("no memory for a list of %" PRIu64 " extents", count);
    // Takes each extent with the chance that brings the list to `count`.
    for (uint64_t extent = 0; taken < count; extent++)
        if (random_below(&seed, settings->extents - extent) < count - taken)
            chosen[taken++] = extent;
    return chosen;
}
