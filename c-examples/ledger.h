// A database over two groups: writers put record after record into the Source of
// group A, and each of them into that of group B, but only when it is acknowledged on
// A. What the two Clones hold must be a point in time of that.
//
// Positions: 2n - 1 is record n on A, 2n record n on B; a writer is at one after the
// other. The ledger is shared memory, which outlasts the array process.
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>

#include "controller.h"
#include "figures.h"
#include "settings.h"

enum { GROUPS = 2 };
enum { RECORDS_KEPT = 64 };     // of each writer: record n takes the place of n - 64
enum { TIMES_KEPT = 4096 };     // positions of each writer whose times are known

struct writer_ledger {
    volatile uint64_t submitted;    // the last position that was begun
    volatile uint64_t acknowledged; // the last one that is done
    volatile uint64_t submitted_ns[TIMES_KEPT];
    volatile uint64_t acknowledged_ns[TIMES_KEPT];
    volatile uint64_t at_call;      // acknowledged when the last set was begun
    volatile uint64_t at_done;      // submitted when it was done, or 0
};

struct ledger {
    volatile uint64_t set_id;           // of the last set that was begun
    volatile uint64_t set_began_ns;
    uint64_t fractures;                 // that were checked
    struct writer_ledger writers[HOSTS_MOST];
};

struct ledger *ledger_create(void);

// Starts and stops the threads of the writers. Others must poll both groups.
struct writers;
struct writers *writers_start(struct controller *groups, struct ledger *ledger,
                              const struct settings *settings, struct figures *figures);
void writers_stop(struct writers *writers);

// Around the call of a set.
void ledger_set_begins(struct ledger *ledger, const struct settings *settings, uint64_t id);
void ledger_set_done(struct ledger *ledger, const struct settings *settings);

// The LU `lu` of both groups, together, is a point in time: of each writer a beginning of
// its positions, and all that was acknowledged before anything in it was submitted; with
// `of_set` it is that of the last set.
void check_cut(struct controller *groups, struct ledger *ledger, const struct settings *settings,
               struct figures *figures, uint32_t lu, int of_set);

// Both groups hold the same records under the two LU numbers.
void check_cut_restored(struct controller *groups, const struct settings *settings,
                        struct figures *figures, uint32_t lu);

// The groups of a database: files and data of each are its own.
struct settings group_settings(const struct settings *settings, uint32_t group);

// Where record `number` of a writer is.
uint64_t record_block(const struct settings *settings, uint32_t writer, uint64_t number);

#endif
