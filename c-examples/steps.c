#include "steps.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "bulk.h"
#include "checks.h"
#include "pattern.h"

const uint8_t LABEL_MONDAY[64] = "monday, before the disaster";
const uint8_t LABEL_TUESDAY[64] = "tuesday, before the disaster";

void add_clones(struct controller *controller, struct figures *figures)
{
    step_begin(figures, "add Clone 1 and Clone 2");
    for (uint32_t lu = 1; lu < LUS; lu++)
        controller_must(controller,
                        clone_group_clone_add(controller->group, lu, controller_tag(controller)),
                        "clone_add");
}

void synchronize(struct controller *controller, const struct settings *settings,
                        uint32_t first, uint32_t last)
{
    uint32_t before = controller_events(controller, CLONE_GROUP_EVENT_SYNCHRONIZED);
    uint64_t extent_bytes = (uint64_t)settings->extent_blocks * BLOCK_BYTES;
    uint64_t total = 0;
    uint64_t left;
    struct progress progress;

    for (uint32_t lu = first; lu <= last; lu++) {
        controller_must(controller,
                        clone_group_synchronize(controller->group, lu,
                                                controller_tag(controller)),
                        "synchronize");
        total += controller_clone(controller, lu).extents_left;
    }
    progress_begin(&progress, total * extent_bytes);
    do {
        controller_poll(controller, COPY_BUDGET, -1);
        left = 0;
        for (uint32_t lu = first; lu <= last; lu++)
            left += controller_clone(controller, lu).extents_left;
        progress_show(&progress, (total - left) * extent_bytes);
    } while (controller_events(controller, CLONE_GROUP_EVENT_SYNCHRONIZED)
             < before + last - first + 1);
    progress_end(&progress);
}

void fracture(struct controller *controller, struct figures *figures, uint32_t lu,
                     const uint8_t *label)
{
    step_begin(figures, "fracture Clone %" PRIu32 ": \"%s\"", lu, (const char *)label);
    controller_must(controller,
                    clone_group_fracture(controller->group, lu, label, 0,
                                         controller_tag(controller)),
                    "fracture");
}

// Monday's Clone holds the fill, Tuesday's a little more: so what comes back to
// the Source from Clone 1 makes it differ from Clone 2, which must be tracked.
static void make_points_in_time(struct controller *controller, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;

    fracture(controller, figures, 1, LABEL_MONDAY);
    step_begin(figures, "write 2 %% of the Source");
    bulk_write(controller, demo->settings, demo->tuesday.extents, demo->tuesday.count,
               TAG_TUESDAY);
    fracture(controller, figures, 2, LABEL_TUESDAY);
    step_begin(figures, "checksum both Clones");
    for (uint32_t lu = 1; lu < LUS; lu++) {
        demo->record->clone_checksums[lu] = lu_checksum(controller, demo->settings, lu);
        remark("Clone %" PRIu32 ": %016" PRIx64, lu, demo->record->clone_checksums[lu]);
    }
}

void live_to_the_disaster(struct controller *controller, struct demo *demo)
{
    const struct settings *settings = demo->settings;
    struct figures *figures = &demo->record->figures;

    step_begin(figures, "make the array, and format the group");
    controller_open(controller, settings, CONTROLLER_FORMAT);
    step_begin(figures, "fill the Source through host writes");
    bulk_write(controller, settings, NULL, settings->extents, TAG_ORIGINAL);
    add_clones(controller, figures);
    step_begin(figures, "synchronize both");
    synchronize(controller, settings, 1, LUS - 1);
    make_points_in_time(controller, demo);
    step_begin(figures, "the disaster: corrupt 10 %% of the Source");
    bulk_write(controller, settings, demo->corrupted.extents, demo->corrupted.count,
               TAG_CORRUPTION);
}

void live_again(struct controller *controller, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    uint64_t began_ns = now_ns();

    step_begin(figures, "start the array again: Recovery");
    controller_open(controller, demo->settings, CONTROLLER_RECOVER);
    figure(figures, "Recovery after the kill", "%.3f ms", (double)(now_ns() - began_ns) / 1e6);
}

// ------------------------------------------------- copies beside the hosts

struct pace pace_begin(uint64_t extents)
{
    return (struct pace){.began_ns = now_ns(), .extents = extents};
}

void pace_poll(struct controller *controller, struct pace *pace)
{
    double seconds = (double)(now_ns() - pace->began_ns) / 1e9;
    uint64_t due = (uint64_t)((double)pace->extents * seconds / PACE_SECONDS);
    uint32_t budget = due - pace->asked > COPY_BUDGET ? COPY_BUDGET : (uint32_t)(due - pace->asked);

    controller_poll(controller, budget, 1);
    pace->asked += budget;
}

void copy_until(struct controller *controller, struct hosts *hosts, uint32_t lu, uint64_t left)
{
    struct pace pace = pace_begin(controller_clone(controller, lu).extents_left);

    while (controller_clone(controller, lu).extents_left > left) {
        pace_poll(controller, &pace);
        hosts_must_be_content(hosts);
    }
}

void copy_until_event(struct controller *controller, struct hosts *hosts, uint32_t lu,
                      uint32_t event)
{
    enum { LONGER_NS = 100000000 };
    struct pace pace = pace_begin(controller_clone(controller, lu).extents_left);
    uint64_t ended_ns;

    while (controller_events(controller, event) == 0) {
        pace_poll(controller, &pace);
        hosts_must_be_content(hosts);
    }
    ended_ns = now_ns();
    while (now_ns() < ended_ns + LONGER_NS)
        controller_poll(controller, 0, 1);
    hosts_stop(hosts);
}

// ------------------------------------------------------------- the kill

void may_be_killed(struct demo *demo)
{
    if (write(demo->ready, "", 1) != 1)
        give_up("nobody is there to kill the array");
}

void copy_until_killed(struct controller *controller, struct demo *demo, struct hosts *hosts,
                       uint32_t lu)
{
    uint64_t left = controller_clone(controller, lu).extents_left;

    copy_until(controller, hosts, lu, left / 2);
    remark("%" PRIu64 " of %" PRIu64 " extents left", controller_clone(controller, lu).extents_left,
           left);
    may_be_killed(demo);
    copy_until(controller, hosts, lu, left / 4);
    for (;;)
        pause(); // the kill must find a copy to interrupt
}

// ------------------------------------------------------------- looking

int source_is_invalid(struct controller *controller)
{
    return (controller_info(controller).conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID) != 0;
}

int32_t read_block(struct controller *controller, const struct settings *settings, uint64_t block,
                   uint64_t *tag)
{
    uint8_t data[BLOCK_BYTES];
    int32_t status = controller_try(
        controller, clone_group_host_read(controller->group, 0, block, 1, data, 0,
                                          controller_tag(controller)));

    if (status == CLONE_GROUP_OK && !pattern_tag(data, settings->seed, block, tag))
        *tag = TAG_NONE;
    return status;
}

void rows_table(const struct demo *demo)
{
    figures_rows(&demo->record->figures);
}
