// A restore that is given another Clone half way, while hosts work.
#include "modes.h"

#include <inttypes.h>
#include <stdio.h>

#include "checks.h"
#include "steps.h"

static void begin(struct controller *controller, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;

    step_begin(figures, "Protected Restore from Clone 1, beside %" PRIu32 " hosts",
               demo->settings->hosts);
    controller_must(controller,
                    clone_group_protected_restore(controller->group, 1,
                                                  controller_tag(controller)),
                    "protected_restore");
    figure(figures, "extents to restore from Clone 1", "%" PRIu64,
           controller_clone(controller, 1).extents_left);
}

// What an operator chooses from: the Clones that are valid to restore from.
static void list_restorable(struct clone_group *group)
{
    for (uint32_t lu = 1; lu < LUS; lu++) {
        struct clone_group_clone_info info = {.struct_size = sizeof info};
        clone_group_clone_query(group, lu, &info);
        if (info.conditions & CLONE_GROUP_CONDITION_RESTORABLE)
            printf("Clone %" PRIu32 ", \"%.64s\": a restore copies %" PRIu64 " extents\n", lu,
                   (const char *)info.label, info.extents_left);
    }
}

// What hosts wrote so far is gone with it, as if they had never done so.
static void switch_to_clone_2(struct controller *controller, struct demo *demo,
                              struct hosts *hosts)
{
    struct figures *figures = &demo->record->figures;
    struct clone_group_info info;
    uint64_t began_ns;
    uint64_t left = controller_clone(controller, 1).extents_left;

    step_begin(figures, "it was the wrong Clone: switch to Clone 2");
    hosts_replace_begin(hosts);
    began_ns = now_ns();
    controller_must(controller,
                    clone_group_retarget(controller->group, 2, controller_tag(controller)),
                    "retarget");
    figure(figures, "switched in", "%.3f ms, with %" PRIu64 " extents left",
           (double)(now_ns() - began_ns) / 1e6, left);
    hosts_replace_end(hosts, &demo->tuesday);
    info = controller_info(controller);
    check(figures,
          info.restoring_lu == 2
              && (info.conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID) == 0,
          "the restore goes on from Clone 2, and the Source was valid all the time");
    check(figures, controller_clone(controller, 1).state == CLONE_GROUP_CLONE_FRACTURED,
          "Clone 1 is Fractured again");
    check(figures, controller_events(controller, CLONE_GROUP_EVENT_SOURCE_CHANGED) == 2,
          "the hosts are told that the Source has changed again");
    figure(figures, "extents to restore from Clone 2", "%" PRIu64,
           controller_clone(controller, 2).extents_left);
}

static void first_life(struct demo *demo)
{
    struct controller controller;
    struct hosts *hosts;

    live_to_the_disaster(&controller, demo);
    list_restorable(controller.group);
    begin(&controller, demo);
    hosts = hosts_start(&controller, demo->record, demo->settings, &demo->corrupted, 1);
    copy_until(&controller, hosts, 1, controller_clone(&controller, 1).extents_left / 2);
    switch_to_clone_2(&controller, demo, hosts);
    step_begin(&demo->record->figures, "hosts go on, until the array is killed");
    copy_until_killed(&controller, demo, hosts, 2);
}

static void second_life(struct demo *demo)
{
    const struct settings *settings = demo->settings;
    struct record *record = demo->record;
    struct controller controller;

    live_again(&controller, demo);
    check(&record->figures, controller_info(&controller).restoring_lu == 2,
          "Recovery goes on with the restore from Clone 2: %" PRIu64 " extents left",
          controller_clone(&controller, 2).extents_left);
    hosts_settle(&controller, record, settings);
    step_begin(&record->figures, "%" PRIu32 " hosts go on, until all is restored",
               settings->hosts);
    copy_until_event(&controller,
                     hosts_start(&controller, record, settings, &demo->corrupted, 1), 2,
                     CLONE_GROUP_EVENT_RESTORED);
    step_begin(&record->figures, "check the files");
    check_untouched(&controller, record, settings, 1);
    check_untouched(&controller, record, settings, 2);
    check_contents(&controller, record, settings, 0);
    check_delta_map(&controller, record, settings, 1);
    check_delta_map(&controller, record, settings, 2);
    step_begin(&record->figures, "close the group");
    controller_close(&controller);
}

const struct mode MODE_RETARGET = {
    .name = "retarget",
    .lives = {first_life, second_life},
    .table = rows_table,
};
