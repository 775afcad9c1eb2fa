// Thin Clones, and blocks that change behind the library's back: found by Verify,
// mended by the next Synchronization.
#include "modes.h"

#include <inttypes.h>
#include <string.h>

#include "bulk.h"
#include "checks.h"
#include "pattern.h"
#include "steps.h"

enum { PLANTED = 3 };

static const uint8_t LABEL[64] = "half of it was never written";

// Hosts leave the end of the LU alone: what is planted there nobody overwrites.
static struct settings front(const struct settings *settings)
{
    struct settings front = *settings;

    front.extents -= settings->extents / 8;
    front.lu_blocks = front.extents * front.extent_blocks;
    return front;
}

static uint64_t planted_extent(const struct settings *settings, uint64_t index)
{
    return settings->extents - settings->extents / 8 + 2 * index;
}

// Damages one block of each of some extents of the LU, as a failing disk does.
static void plant(struct controller *controller, const struct settings *settings, uint32_t lu)
{
    uint8_t data[BLOCK_BYTES];

    memset(data, 0xbd, sizeof data);
    for (uint64_t i = 0; i < PLANTED; i++)
        if (!array_poke(controller->array, lu,
                        planted_extent(settings, i) * settings->extent_blocks * BLOCK_BYTES, data,
                        sizeof data))
            give_up("cannot write the file of LU %" PRIu32, lu);
}

static void begin_verify(struct controller *controller, uint32_t lu)
{
    controller_must(controller,
                    clone_group_verify(controller->group, lu, CLONE_GROUP_VERIFY_MARK,
                                       controller_tag(controller)),
                    "verify");
}

// Verifies beside the hosts; the Clone must differ in the planted extents, or nowhere.
static void verify(struct controller *controller, struct demo *demo, struct hosts *hosts,
                   uint32_t lu, uint64_t expected)
{
    uint32_t before = controller_events(controller, CLONE_GROUP_EVENT_VERIFIED);
    uint64_t compared = controller_statistics(controller).verified_extents;
    struct clone_group_clone_info info;
    uint64_t began_ns = now_ns();
    int right = 1;

    begin_verify(controller, lu);
    while (controller_events(controller, CLONE_GROUP_EVENT_VERIFIED) == before) {
        controller_poll(controller, COPY_BUDGET, 1);
        hosts_must_be_content(hosts);
    }
    info = controller_clone(controller, lu);
    for (uint64_t i = 0; i < expected; i++)
        right = right && info.first_mismatched_extents[i] == planted_extent(demo->settings, i);
    compared = controller_statistics(controller).verified_extents - compared;
    check(&demo->record->figures,
          info.mismatched_extents == expected && right && info.verify_extents_failed == 0,
          "%" PRIu64 " extents of Clone %" PRIu32 " compared beside the hosts, %" PRIu64
          " differ, %" PRIu64 " were damaged", compared, lu, info.mismatched_extents, expected);
    figure(&demo->record->figures, "Verify", "%" PRIu64 " extents in %.3f ms", compared,
           (double)(now_ns() - began_ns) / 1e6);
}

// ------------------------------------------------------------- the lives

static void check_thin(struct controller *controller, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    uint64_t whole = demo->settings->lu_blocks * BLOCK_BYTES;
    uint64_t skipped = controller_clone(controller, 1).extents_skipped;

    for (uint32_t lu = 1; lu < LUS; lu++) {
        uint64_t taken = array_allocated_bytes(controller->array, lu);

        check(figures, taken <= whole * 3 / 4, "the file of Clone %" PRIu32 " is thin: it takes %"
              PRIu64 " of %" PRIu64 " KiB", lu, taken >> 10, whole >> 10);
    }
    figure(figures, "extents that were equal", "%" PRIu64 " of %" PRIu64 " were not written",
           skipped, demo->settings->extents);
}

static void first_life(struct demo *demo)
{
    struct settings thin = *demo->settings;
    struct settings busy = front(demo->settings);
    struct figures *figures = &demo->record->figures;
    struct controller controller;
    struct hosts *hosts;

    thin.skip_equal = 1;
    step_begin(figures, "make the array, and format the group: CLONE_GROUP_CONFIG_SKIP_EQUAL");
    controller_open(&controller, &thin, CONTROLLER_FORMAT);
    add_clones(&controller, figures);
    step_begin(figures, "fill half of the Source through host writes, and synchronize both");
    bulk_write(&controller, &thin, NULL, thin.extents / 2, TAG_ORIGINAL);
    synchronize(&controller, &thin, 1, LUS - 1);
    check_thin(&controller, demo);
    fracture(&controller, figures, 2, LABEL);
    step_begin(figures, "fill the rest, and let hosts work in 7/8 of it");
    bulk_write(&controller, &thin, NULL, thin.extents, TAG_ORIGINAL);
    hosts = hosts_start(&controller, demo->record, &busy, &demo->corrupted, 0);
    verify(&controller, demo, hosts, 1, 0);
    step_begin(figures, "kill the array while Clone 1 is verified again");
    begin_verify(&controller, 1);
    check(figures,
          (controller_clone(&controller, 1).conditions & CLONE_GROUP_CONDITION_VERIFYING) != 0,
          "Verify runs");
    may_be_killed(demo);
    for (;;) { // slowly, and never to the end
        struct clone_group_clone_info info = controller_clone(&controller, 1);

        controller_poll(&controller, info.verify_extents_left > thin.extents / 8, 1);
        hosts_must_be_content(hosts);
    }
}

// A mirrored Clone is copied to at once where it differs.
static void mend_mirror(struct controller *controller, struct demo *demo, struct hosts *hosts)
{
    struct figures *figures = &demo->record->figures;
    uint32_t before = controller_events(controller, CLONE_GROUP_EVENT_SYNCHRONIZED);

    step_begin(figures, "damage Clone 1, a mirror, and verify it");
    plant(controller, demo->settings, 1);
    verify(controller, demo, hosts, 1, PLANTED);
    while (controller_events(controller, CLONE_GROUP_EVENT_SYNCHRONIZED) == before) {
        controller_poll(controller, COPY_BUDGET, 1);
        hosts_must_be_content(hosts);
    }
    verify(controller, demo, hosts, 1, 0);
}

static void mend_fractured(struct controller *controller, struct demo *demo, struct hosts *hosts)
{
    struct figures *figures = &demo->record->figures;

    step_begin(figures, "fracture Clone 2 again, damage it, and verify it");
    synchronize(controller, demo->settings, 2, 2);
    controller_must(controller,
                    clone_group_fracture(controller->group, 2, LABEL, 0,
                                         controller_tag(controller)),
                    "fracture");
    plant(controller, demo->settings, 2);
    verify(controller, demo, hosts, 2, PLANTED);
    check(figures, delta_map_has(controller, 2, planted_extent(demo->settings, 0)),
          "what differs is in its Delta Map now");
    hosts_stop(hosts);
    step_begin(figures, "synchronize Clone 2");
    synchronize(controller, demo->settings, 2, 2);
    figure(figures, "the Synchronization mended it", "%" PRIu64 " extents copied, %" PRIu64
           " of them equal already", controller_clone(controller, 2).extents_copied,
           controller_clone(controller, 2).extents_skipped);
}

static void second_life(struct demo *demo)
{
    struct settings thin = *demo->settings;
    struct settings busy = front(demo->settings);
    struct record *record = demo->record;
    struct controller controller;
    struct hosts *hosts;

    thin.skip_equal = 1;
    step_begin(&record->figures, "start the array again: Recovery");
    controller_open(&controller, &thin, CONTROLLER_RECOVER);
    check(&record->figures,
          (controller_clone(&controller, 1).conditions & CLONE_GROUP_CONDITION_VERIFYING) == 0,
          "Verify is gone: it is not durable");
    hosts_settle(&controller, record, &thin);
    while (controller_clone(&controller, 1).state == CLONE_GROUP_CLONE_SYNCHRONIZING)
        controller_poll(&controller, COPY_BUDGET, 1);
    hosts = hosts_start(&controller, record, &busy, &demo->corrupted, 0);
    mend_mirror(&controller, demo, hosts);
    mend_fractured(&controller, demo, hosts);
    step_begin(&record->figures, "check the files");
    check_same(&controller, record, &thin, 1);
    check_same(&controller, record, &thin, 2);
    check_contents(&controller, record, &thin, 0);
    step_begin(&record->figures, "close the group");
    controller_close(&controller);
}

const struct mode MODE_VERIFY = {
    .name = "verify",
    .lives = {first_life, second_life},
    .table = rows_table,
};
