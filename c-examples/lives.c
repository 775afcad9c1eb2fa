#include "lives.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "bulk.h"
#include "checks.h"
#include "pattern.h"

enum { RESTORE_SECONDS = 2 }; // how long the pace lets the first restore take
enum { COPY_BUDGET = 64 };    // extents per poll where there is no pace

static const uint8_t MONDAY[64] = "monday, before the disaster";
static const uint8_t TUESDAY[64] = "tuesday, before the disaster";
static const uint8_t WEDNESDAY[64] = "wednesday, after the restore";

// ---------------------------------------------------------------- set up

static void add_clones(struct controller *controller, struct figures *figures)
{
    step_begin(figures, "add Clone 1 and Clone 2");
    for (uint32_t lu = 1; lu < LUS; lu++)
        controller_must(controller,
                        clone_group_clone_add(controller->group, lu, controller_tag(controller)),
                        "clone_add");
}

// Begins a Synchronization of the Clones `first` to `last`, and polls until they
// are synchronized.
static void synchronize(struct controller *controller, const struct settings *settings,
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

static void fracture(struct controller *controller, struct figures *figures, uint32_t lu,
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

    fracture(controller, figures, 1, MONDAY);
    step_begin(figures, "write 2 %% of the Source");
    bulk_write(controller, demo->settings, demo->tuesday.extents, demo->tuesday.count,
               TAG_TUESDAY);
    fracture(controller, figures, 2, TUESDAY);
    step_begin(figures, "checksum both Clones");
    for (uint32_t lu = 1; lu < LUS; lu++) {
        demo->record->clone_checksums[lu] = lu_checksum(controller, demo->settings, lu);
        remark("Clone %" PRIu32 ": %016" PRIx64, lu, demo->record->clone_checksums[lu]);
    }
}

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

// The controller's throttle: so many extents per second and not more, so that
// hosts, the kill and the copies meet also on a small Source.
struct pace {
    uint64_t began_ns;
    uint64_t extents;   // in RESTORE_SECONDS
    uint64_t asked;
};

static struct pace pace_begin(const struct figures *figures)
{
    return (struct pace){.began_ns = now_ns(), .extents = figures->to_restore};
}

static void pace_poll(struct controller *controller, struct pace *pace)
{
    double seconds = (double)(now_ns() - pace->began_ns) / 1e9;
    uint64_t due = (uint64_t)((double)pace->extents * seconds / RESTORE_SECONDS);
    uint32_t budget = due - pace->asked > COPY_BUDGET ? COPY_BUDGET : (uint32_t)(due - pace->asked);

    controller_poll(controller, budget, 1);
    pace->asked += budget;
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
    struct pace pace = pace_begin(figures);
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
            if (write(demo->half_way, "", 1) != 1)
                give_up("nobody is there to kill the array");
            told = 1;
        }
        while (told && left <= figures->to_restore / 4)
            pause();
    }
}

void first_life(struct demo *demo)
{
    const struct settings *settings = demo->settings;
    struct figures *figures = &demo->record->figures;
    struct controller controller;

    step_begin(figures, "make the array, and format the group");
    controller_open(&controller, settings, CONTROLLER_FORMAT);
    step_begin(figures, "fill the Source through host writes");
    bulk_write(&controller, settings, NULL, settings->extents, TAG_ORIGINAL);
    add_clones(&controller, figures);
    step_begin(figures, "synchronize both");
    synchronize(&controller, settings, 1, LUS - 1);
    make_points_in_time(&controller, demo);
    step_begin(figures, "the disaster: corrupt 10 %% of the Source");
    bulk_write(&controller, settings, demo->corrupted.extents, demo->corrupted.count,
               TAG_CORRUPTION);
    begin_restore(&controller, demo);
    step_begin(figures, "%" PRIu32 " hosts read and write the Source, until the array is killed",
               settings->hosts);
    poll_until_killed(&controller, demo,
                      hosts_start(&controller, demo->record, settings, &demo->corrupted));
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
    // Both Clones share one durable map: what Clone 2 needs comes up for Clone 1 too.
    remark("(the durable Delta Map may name more than was left: that is copied again)");
    if (monday.state != CLONE_GROUP_CLONE_RESTORING)
        give_up("there is no restore to go on with");
    check(figures,
          memcmp(monday.label, MONDAY, sizeof monday.label) == 0
              && memcmp(tuesday.label, TUESDAY, sizeof tuesday.label) == 0,
          "the labels of both Clones are there: \"%.64s\", \"%.64s\"",
          (const char *)monday.label, (const char *)tuesday.label);
}

// Hosts work until the restore is finished, and a little longer.
static void restore_to_the_end(struct controller *controller, struct demo *demo)
{
    enum { LONGER_NS = 100000000 };
    struct figures *figures = &demo->record->figures;
    struct hosts *hosts =
        hosts_start(controller, demo->record, demo->settings, &demo->corrupted);
    struct clone_group_statistics before = controller_statistics(controller);
    struct pace pace = pace_begin(figures);
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
    fracture(controller, &record->figures, 2, WEDNESDAY);
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

void second_life(struct demo *demo)
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
