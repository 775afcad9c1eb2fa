#include "ledger.h"

#include <inttypes.h>
#include <string.h>

#include "pattern.h"

// What is in the LU of one group, of one writer: the newest record, if all places
// hold what they do when that was written. Counts places that do not.
static uint64_t newest_record(struct controller *controller, const struct settings *settings,
                              uint32_t group, uint32_t lu, uint32_t writer, uint64_t *wrong)
{
    static const uint8_t EMPTY[BLOCK_BYTES];
    uint64_t found[RECORDS_KEPT];
    uint8_t data[BLOCK_BYTES];
    uint64_t newest = 0;

    for (uint64_t i = 0; i < RECORDS_KEPT; i++) {
        uint64_t block = record_block(settings, writer, i);

        if (!array_peek(controller->array, lu, block * BLOCK_BYTES, data, sizeof data))
            give_up("cannot read the file of LU %" PRIu32, lu);
        found[i] = 0;
        if (memcmp(data, EMPTY, sizeof data) != 0
            && !pattern_tag(data, settings->seed + group, block, &found[i]))
            ++*wrong;
        if (found[i] > newest)
            newest = found[i];
    }
    for (uint64_t i = 0; i < RECORDS_KEPT; i++) {
        uint64_t record = newest - (newest - i) % RECORDS_KEPT; // the last one of this place

        if (newest < i || record == 0)
            record = 0;
        *wrong += found[i] != record;
    }
    return newest;
}

struct cut {
    uint64_t wrong;         // places with a record that does not belong there
    uint64_t out_of_order;  // writers of whom B has what A has not, or A two records more
    uint64_t out_of_bounds; // writers whose acknowledged records are missing, or later ones there
    uint64_t newest_ns;     // when the youngest write in it was submitted
    uint64_t missing_ns;    // when the oldest write that is not in it was acknowledged
    uint64_t records;
};

static void add_writer(struct cut *cut, const struct writer_ledger *ledger, uint64_t a, uint64_t b,
                       int of_set)
{
    uint64_t position = a == b ? 2 * b : 2 * a - 1;
    uint64_t least = of_set ? ledger->at_call : ledger->acknowledged;
    uint64_t most = of_set && ledger->at_done != 0 ? ledger->at_done : ledger->submitted;

    cut->records += a + b;
    cut->out_of_order += a < b || a > b + 1;
    cut->out_of_bounds += position < least || position > most;
    if (position > 0 && ledger->submitted_ns[position % TIMES_KEPT] > cut->newest_ns)
        cut->newest_ns = ledger->submitted_ns[position % TIMES_KEPT];
    if (position < ledger->acknowledged
        && ledger->acknowledged_ns[(position + 1) % TIMES_KEPT] < cut->missing_ns)
        cut->missing_ns = ledger->acknowledged_ns[(position + 1) % TIMES_KEPT];
}

void check_cut(struct controller *groups, struct ledger *ledger, const struct settings *settings,
               struct figures *figures, uint32_t lu, int of_set)
{
    struct cut cut = {.missing_ns = UINT64_MAX};

    for (uint32_t writer = 0; writer < settings->hosts; writer++) {
        uint64_t newest[GROUPS];

        for (uint32_t group = 0; group < GROUPS; group++)
            newest[group] =
                newest_record(&groups[group], settings, group, lu, writer, &cut.wrong);
        add_writer(&cut, &ledger->writers[writer], newest[0], newest[1], of_set);
    }
    check(figures, cut.wrong == 0 && cut.out_of_order == 0,
          "%s %" PRIu32 " of both groups: %" PRIu64 " records, none without its predecessors (%"
          PRIu64 " wrong, %" PRIu64 " writers out of order)", lu == 0 ? "LU" : "Clone", lu,
          cut.records, cut.wrong, cut.out_of_order);
    check(figures, cut.out_of_bounds == 0, "%s (%" PRIu64 " writers do not)",
          of_set ? "each writer's last record lies between call and `done` of the set"
                 : "every acknowledged record is there", cut.out_of_bounds);
    check(figures, cut.missing_ns >= cut.newest_ns, "none was acknowledged before another one in "
          "it was submitted, and is missing");
    ledger->fractures += of_set != 0;
}

void check_cut_restored(struct controller *groups, const struct settings *settings,
                        struct figures *figures, uint32_t lu)
{
    uint64_t wrong = 0;
    uint64_t differ = 0;

    for (uint32_t group = 0; group < GROUPS; group++)
        for (uint32_t writer = 0; writer < settings->hosts; writer++)
            differ += newest_record(&groups[group], settings, group, 0, writer, &wrong)
                != newest_record(&groups[group], settings, group, lu, writer, &wrong);
    check(figures, wrong == 0 && differ == 0, "both Sources hold the records of their Clones %"
          PRIu32 " (%" PRIu64 " writers differ)", lu, differ);
}
