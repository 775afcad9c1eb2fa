// A restore that is given up half way: the Source is a mixture, which nobody is
// served, until it is restored again or accepted.
#include "modes.h"

#include <inttypes.h>

#include <unistd.h>

#include "bulk.h"
#include "checks.h"
#include "pattern.h"
#include "steps.h"

static uint64_t begin_restore(struct controller *controller)
{
    controller_must(controller,
                    clone_group_protected_restore(controller->group, 1,
                                                  controller_tag(controller)),
                    "protected_restore");
    return controller_clone(controller, 1).extents_left;
}

static void cancel(struct controller *controller)
{
    controller_must(controller,
                    clone_group_cancel(controller->group, 1, controller_tag(controller)),
                    "cancel");
}

static void check_refused(struct controller *controller, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    struct clone_group_clone_info info = controller_clone(controller, 1);
    uint64_t tag;
    int32_t status = read_block(controller, demo->settings, 0, &tag);

    check(figures, status == CLONE_GROUP_ERR_SOURCE_INVALID && source_is_invalid(controller),
          "the Source is refused: %s", clone_group_status_name(status));
    status = controller_try(controller, clone_group_synchronize(controller->group, 2,
                                                                controller_tag(controller)));
    check(figures, status == CLONE_GROUP_ERR_SOURCE_INVALID,
          "so is a Synchronization from it: %s", clone_group_status_name(status));
    check(figures,
          info.state == CLONE_GROUP_CLONE_FRACTURED
              && (info.conditions & CLONE_GROUP_CONDITION_RESTORABLE) != 0,
          "Clone 1 is Fractured and restorable: a restore would copy %" PRIu64 " extents",
          info.extents_left);
    check_untouched(controller, demo->record, demo->settings, 1);
}

static void first_life(struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    struct controller controller;
    struct hosts *hosts;
    uint64_t to_restore;
    uint64_t began_ns;
    uint32_t refused;

    live_to_the_disaster(&controller, demo);
    step_begin(figures, "Protected Restore from Clone 1, beside %" PRIu32 " hosts",
               demo->settings->hosts);
    to_restore = begin_restore(&controller);
    hosts = hosts_start(&controller, demo->record, demo->settings, &demo->corrupted, 1);
    copy_until(&controller, hosts, 1, to_restore / 2);
    figure(figures, "extents to restore", "%" PRIu64 ", canceled with %" PRIu64 " left", to_restore,
           controller_clone(&controller, 1).extents_left);
    step_begin(figures, "cancel it");
    hosts_expect_refusal(hosts);
    began_ns = now_ns();
    cancel(&controller);
    figure(figures, "canceled in", "%.3f ms", (double)(now_ns() - began_ns) / 1e6);
    refused = hosts_stop(hosts);
    check(figures, refused > 0, "%" PRIu32 " requests of hosts ended with it, none otherwise",
          refused);
    check(figures, controller_events(&controller, CLONE_GROUP_EVENT_CANCELED) == 1,
          "the operator is told that the restore was canceled");
    check_refused(&controller, demo);
    may_be_killed(demo);
    for (;;)
        pause();
}

// A restore may be begun over a mixture like over anything else.
static void restore_again(struct controller *controller, struct demo *demo)
{
    struct record *record = demo->record;
    const struct settings *settings = demo->settings;
    struct hosts *hosts;

    step_begin(&record->figures, "a new restore from Clone 1, beside %" PRIu32 " hosts",
               settings->hosts);
    figure(&record->figures, "the new restore copies", "%" PRIu64 " of %" PRIu64 " extents",
           begin_restore(controller), settings->extents);
    record_replace_all(record, settings, NULL);
    hosts_settle(controller, record, settings);
    check(&record->figures, !source_is_invalid(controller), "the Source is valid from now on");
    hosts = hosts_start(controller, record, settings, &demo->corrupted, 1);
    copy_until_event(controller, hosts, 1, CLONE_GROUP_EVENT_RESTORED);
    check_untouched(controller, record, settings, 1);
    check_untouched(controller, record, settings, 2);
    check_source(controller, record, settings);
    check_contents(controller, record, settings, 0);
    check_delta_map(controller, record, settings, 1);
    check_delta_map(controller, record, settings, 2);
}

static void cancel_and_accept(struct controller *controller, struct demo *demo)
{
    struct record *record = demo->record;
    const struct settings *settings = demo->settings;
    uint64_t block = demo->corrupted.extents[0] * settings->extent_blocks;
    uint64_t tag = TAG_NONE;
    int32_t status;

    step_begin(&record->figures, "corrupt it again, restore, cancel at once, and accept");
    bulk_write(controller, settings, demo->corrupted.extents, demo->corrupted.count,
               TAG_CORRUPTION);
    begin_restore(controller);
    cancel(controller);
    check_refused(controller, demo);
    controller_must(controller,
                    clone_group_source_accept(controller->group, controller_tag(controller)),
                    "source_accept");
    status = read_block(controller, settings, block, &tag);
    check(&record->figures,
          status == CLONE_GROUP_OK && tag == TAG_CORRUPTION && !source_is_invalid(controller),
          "the Source is served as it is: %s", clone_group_status_name(status));
    check_delta_map(controller, record, settings, 1);
    check_delta_map(controller, record, settings, 2);
}

static void second_life(struct demo *demo)
{
    struct controller controller;

    live_again(&controller, demo);
    check_refused(&controller, demo);
    restore_again(&controller, demo);
    cancel_and_accept(&controller, demo);
    step_begin(&demo->record->figures, "close the group");
    controller_close(&controller);
}

const struct mode MODE_CANCEL = {
    .name = "cancel",
    .lives = {first_life, second_life},
    .table = rows_table,
};
