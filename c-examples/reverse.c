// A Reverse Synchronization: the Clone is copied to the Source without protection,
// and is its mirror at the end.
#include "modes.h"

#include <inttypes.h>

#include "checks.h"
#include "pattern.h"
#include "steps.h"

static void begin(struct controller *controller, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    uint64_t extent = demo->corrupted.extents[demo->corrupted.count / 2];
    uint64_t block = extent * demo->settings->extent_blocks;
    uint64_t began_ns = now_ns();
    uint64_t tag;

    step_begin(figures, "Reverse Synchronization from Clone 1");
    controller_must(controller,
                    clone_group_reverse_synchronize(controller->group, 1,
                                                    controller_tag(controller)),
                    "reverse_synchronize");
    figure(figures, "begun in", "%.3f ms", (double)(now_ns() - began_ns) / 1e6);
    figure(figures, "extents to copy", "%" PRIu64, controller_clone(controller, 1).extents_left);
    check(figures, controller_events(controller, CLONE_GROUP_EVENT_SOURCE_CHANGED) == 1,
          "the hosts are told that the Source has changed");
    check(figures,
          read_block(controller, demo->settings, block, &tag) == CLONE_GROUP_OK
              && tag == TAG_ORIGINAL && delta_map_has(controller, 1, extent),
          "a host reads the Clone's data at once, and nothing was copied for it");
}

static void first_life(struct demo *demo)
{
    struct controller controller;

    live_to_the_disaster(&controller, demo);
    begin(&controller, demo);
    step_begin(&demo->record->figures, "%" PRIu32 " hosts read and write the Source, until the "
               "array is killed", demo->settings->hosts);
    copy_until_killed(&controller, demo,
                      hosts_start(&controller, demo->record, demo->settings, &demo->corrupted, 0),
                      1);
}

static void check_recovered(struct controller *controller, struct figures *figures)
{
    struct clone_group_clone_info info = controller_clone(controller, 1);

    check(figures,
          info.state == CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING
              && controller_info(controller).reversing_lu == 1,
          "Recovery goes on with it: %" PRIu64 " extents left", info.extents_left);
    if (info.state != CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING)
        give_up("there is no Reverse Synchronization to go on with");
    figure(figures, "extents left after Recovery", "%" PRIu64, info.extents_left);
}

static void second_life(struct demo *demo)
{
    const struct settings *settings = demo->settings;
    struct record *record = demo->record;
    struct controller controller;
    struct clone_group_statistics statistics;

    live_again(&controller, demo);
    check_recovered(&controller, &record->figures);
    hosts_settle(&controller, record, settings);
    step_begin(&record->figures, "%" PRIu32 " hosts go on, until both are equal", settings->hosts);
    copy_until_event(&controller,
                     hosts_start(&controller, record, settings, &demo->corrupted, 0), 1,
                     CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED);
    statistics = controller_statistics(&controller);
    figure(&record->figures, "copied in the second life", "%" PRIu64 " extents, %" PRIu64
           " collisions with host writes", statistics.sync_extents, statistics.collisions);
    step_begin(&record->figures, "check the files");
    check(&record->figures, controller_clone(&controller, 1).state == CLONE_GROUP_CLONE_SYNCHRONIZED,
          "Clone 1 is Synchronized: it goes on as a mirror");
    check_same(&controller, record, settings, 1);
    check_contents(&controller, record, settings, 0);
    check_contents(&controller, record, settings, 1);
    check_untouched(&controller, record, settings, 2);
    check_delta_map(&controller, record, settings, 2);
    step_begin(&record->figures, "close the group");
    controller_close(&controller);
}

const struct mode MODE_REVERSE = {
    .name = "reverse",
    .lives = {first_life, second_life},
    .table = rows_table,
};
