// A Protected Restore that is killed half way, and goes on after Recovery.
#include "modes.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "bulk.h"
#include "checks.h"
#include "pattern.h"
#include "steps.h"

static const uint8_t LABEL_WEDNESDAY[64] = "wednesday, after the restore";

// ------------------------------------------------------------ the restore

// A host reads a corrupted block while the Source still has the corruption.
static void read_at_once(struct controller *controller, struct demo *demo)
{
    const struct settings *settings = demo->settings;
    struct figures *figures = &demo->record->figures;
    uint64_t extent = demo->corrupted.extents[demo->corrupted.count / 2];
    uint64_t block = extent * settings->extent_blocks;
    uint8_t data[BLOCK_BYTES];
    uint64_t tag;
    uint64_t began_ns;

    if (!array_peek(controller->array, 0, block * BLOCK_BYTES, data, sizeof data))
        give_up("cannot read the file of the Source");
    check(figures,
          pattern_tag(data, settings->seed, block, &tag) && tag == TAG_CORRUPTION
              && delta_map_has(controller, 1, extent),
          "block %" PRIu64 " of the Source is corrupted, and its extent is not copied yet",
          block);
    began_ns = now_ns();
    controller_must(controller,
                    clone_group_host_read(controller->group, 0, block, 1, data, 0,
                                          controller_tag(controller)),
                    "host_read");
    figures->first_read_ns = now_ns() - began_ns;
    check(figures,
          pattern_tag(data, settings->seed, block, &tag) && tag == TAG_ORIGINAL
              && controller_statistics(controller).sync_extents == figures->at_begin.sync_extents,
          "a host reads its restored data %.3f ms after the restore began, before any "
          "background copy", (double)figures->first_read_ns / 1e6);
}

static void refuse_write_to_clone(struct controller *controller, struct figures *figures)
{
    static const uint8_t data[BLOCK_BYTES];
    int32_t status = controller_try(
        controller, clone_group_host_write(controller->group, 1, 0, 1, data, 0,
                                           controller_tag(controller)));

    check(figures, status == CLONE_GROUP_ERR_PROTECTED,
          "a host write to Clone 1 is refused: %s", clone_group_status_name(status));
}

static void begin_restore(struct controller *controller, struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    uint64_t began_ns;

    step_begin(figures, "Protected Restore from Clone 1");
    figures->at_begin = controller_statistics(controller);
    began_ns = now_ns();
    controller_must(controller,
                    clone_group_protected_restore(controller->group, 1,
                                                  controller_tag(controller)),
                    "protected_restore");
    figures->begin_ns = now_ns() - began_ns;
    figures->to_restore = controller_clone(controller, 1).extents_left;
    remark("begun in %.3f ms, %" PRIu64 " extents to restore", (double)figures->begin_ns / 1e6,
           figures->to_restore);
    check(figures, controller_events(controller, CLONE_GROUP_EVENT_SOURCE_CHANGED) == 1,
          "the hosts are told that the Source has changed");
    read_at_once(controller, demo);
    refuse_write_to_clone(controller, figures);
}

static void note_life(struct controller *controller, struct figures *figures,
                      const struct clone_group_statistics *before, struct restored *life)
{
    struct clone_group_statistics now = controller_statistics(controller);

    *life = restored_since(before, &now);
    if (figures->cod_queue_peak < now.cod_queue_peak)
        figures->cod_queue_peak = now.cod_queue_peak;
}

// Polls until the process is killed. It tells when half is done; if nobody has
// come with a quarter left, it waits: the kill must find a restore to interrupt.
static void poll_until_killed(struct controller *controller, struct demo *demo,
                              struct hosts *hosts)
{
    struct figures *figures = &demo->record->figures;
    struct pace pace = pace_begin(figures->to_restore);
    int told = 0;

    for (;;) {
        uint64_t left;

        pace_poll(controller, &pace);
        hosts_must_be_content(hosts);
        note_life(controller, figures, &figures->at_begin, &figures->first_life);
        figures->restore_ns[0] = now_ns() - pace.began_ns;
        left = controller_clone(controller, 1).extents_left;
        if (!told && left <= figures->to_restore / 2) {
            remark("%" PRIu64 " extents left", left);
            may_be_killed(demo);
            told = 1;
        }
        while (told && left <= figures->to_restore / 4)
            pause();
    }
}

static void first_life(struct demo *demo)
{
    const struct settings *settings = demo->settings;
    struct figures *figures = &demo->record->figures;
    struct controller controller;

    live_to_the_disaster(&controller, demo);
    begin_restore(&controller, demo);
    step_begin(figures, "%" PRIu32 " hosts read and write the Source, until the array is killed",
               settings->hosts);
    poll_until_killed(&controller, demo,
                      hosts_start(&controller, demo->record, settings, &demo->corrupted, 1));
}

// ------------------------------------------------------------- second life

static void check_recovered(struct controller *controller, struct figures *figures)
{
    struct clone_group_clone_info monday = controller_clone(controller, 1);
    struct clone_group_clone_info tuesday = controller_clone(controller, 2);

    check(figures,
          monday.state == CLONE_GROUP_CLONE_RESTORING
              && tuesday.state == CLONE_GROUP_CLONE_FRACTURED,
          "Recovery goes on with the restore: %" PRIu64 " extents left", monday.extents_left);
    // Where both Clones share one durable map, what Clone 2 needs comes up for Clone 1 too.
    remark("(the durable Delta Map may name more than was left: that is copied again)");
    if (monday.state != CLONE_GROUP_CLONE_RESTORING)
        give_up("there is no restore to go on with");
    check(figures,
          memcmp(monday.label, LABEL_MONDAY, sizeof monday.label) == 0
              && memcmp(tuesday.label, LABEL_TUESDAY, sizeof tuesday.label) == 0,
          "the labels of both Clones are there: \"%.64s\", \"%.64s\"",
          (const char *)monday.label, (const char *)tuesday.label);
}

// Hosts work until the restore is finished, and a little longer.
static void restore_to_the_end(struct controller *controller, struct demo *demo)
{
    enum { LONGER_NS = 100000000 };
    struct figures *figures = &demo->record->figures;
    struct hosts *hosts =
        hosts_start(controller, demo->record, demo->settings, &demo->corrupted, 1);
    struct clone_group_statistics before = controller_statistics(controller);
    struct pace pace = pace_begin(figures->to_restore);
    uint64_t restored_ns;

    while (controller_events(controller, CLONE_GROUP_EVENT_RESTORED) == 0) {
        pace_poll(controller, &pace);
        hosts_must_be_content(hosts);
    }
    restored_ns = now_ns();
    note_life(controller, figures, &before, &figures->second_life);
    figures->restore_ns[1] = restored_ns - pace.began_ns;
    while (now_ns() < restored_ns + LONGER_NS)
        controller_poll(controller, 0, 1);
    hosts_stop(hosts);
}

static void check_first_restore(struct controller *controller, struct demo *demo)
{
    struct record *record = demo->record;
    const struct settings *settings = demo->settings;

    step_begin(&record->figures, "check the files");
    check_untouched(controller, record, settings, 1);
    check_untouched(controller, record, settings, 2);
    check_source(controller, record, settings);
    check_delta_map(controller, record, settings, 1);
    check_delta_map(controller, record, settings, 2);
}

// Clone 2 takes over what the Source is now: the undo of the second restore.
static void keep_what_hosts_wrote(struct controller *controller, struct demo *demo)
{
    struct record *record = demo->record;
    const struct settings *settings = demo->settings;
    struct clone_group_statistics before = controller_statistics(controller);
    uint64_t differ = delta_map_count(controller, settings, 2);
    uint64_t copied;

    step_begin(&record->figures, "synchronize Clone 2 with the Source again");
    synchronize(controller, settings, 2, 2);
    copied = controller_statistics(controller).sync_extents - before.sync_extents;
    check(&record->figures, copied <= differ,
          "it copied %" PRIu64 " extents, its Delta Map had %" PRIu64, copied, differ);
    fracture(controller, &record->figures, 2, LABEL_WEDNESDAY);
    check_same(controller, record, settings, 2);
    record->clone_checksums[2] = lu_checksum(controller, settings, 2);
}

static void restore_again(struct controller *controller, struct demo *demo)
{
    struct record *record = demo->record;
    struct figures *figures = &record->figures;
    uint64_t differ = delta_map_count(controller, demo->settings, 1);
    struct clone_group_statistics before = controller_statistics(controller);
    struct clone_group_statistics after;
    struct restored copied;
    uint64_t began_ns = now_ns();

    step_begin(figures, "a second restore from Clone 1, without hosts");
    controller_must(controller,
                    clone_group_protected_restore(controller->group, 1,
                                                  controller_tag(controller)),
                    "protected_restore");
    while (controller_events(controller, CLONE_GROUP_EVENT_RESTORED) < 2)
        controller_poll(controller, COPY_BUDGET, -1);
    figures->again_ns = now_ns() - began_ns;
    after = controller_statistics(controller);
    copied = restored_since(&before, &after);
    figures->again_extents = copied.by_sync + copied.by_cod;
    check(figures, figures->again_extents > 0 && figures->again_extents <= differ,
          "it copied %" PRIu64 " extents, its Delta Map had %" PRIu64, figures->again_extents,
          differ);
    check_same(controller, record, demo->settings, 1);
    check_untouched(controller, record, demo->settings, 1);
    check_untouched(controller, record, demo->settings, 2);
    check_delta_map(controller, record, demo->settings, 2);
}

static void second_life(struct demo *demo)
{
    struct figures *figures = &demo->record->figures;
    struct controller controller;
    uint64_t began_ns = now_ns();

    step_begin(figures, "start the array again: Recovery");
    controller_open(&controller, demo->settings, CONTROLLER_RECOVER);
    figures->recover_ns = now_ns() - began_ns;
    check_recovered(&controller, figures);
    hosts_settle(&controller, demo->record, demo->settings);
    step_begin(figures, "%" PRIu32 " hosts go on, until all is restored", demo->settings->hosts);
    restore_to_the_end(&controller, demo);
    check_first_restore(&controller, demo);
    keep_what_hosts_wrote(&controller, demo);
    restore_again(&controller, demo);
    step_begin(figures, "close the group");
    controller_close(&controller);
}

static void table(const struct demo *demo)
{
    figures_table(&demo->record->figures, demo->settings);
}

const struct mode MODE_RESTORE = {
    .name = "restore",
    .lives = {first_life, second_life},
    .table = table,
};
