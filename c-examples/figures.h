// What the demo says: steps, checks, progress, and the table at the end.
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>

#include "clone_group.h"
#include "settings.h"

enum { HISTOGRAM_BUCKETS = 64 * 8 };

// Latencies in eighths of powers of two: a percentile is at most 12.5 % too high.
struct histogram {
    uint64_t count;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t ns);
uint64_t histogram_percentile(const struct histogram *histogram, unsigned percent);

// How extents of the Source came to be restored.
struct restored {
    uint64_t by_sync;
    uint64_t by_cod;
    uint64_t overwritten;
};

enum { ROWS_MOST = 24 };

// Lives in memory that outlasts the array process.
struct figures {
    uint32_t failures;          // checks that did not hold
    uint32_t steps;
    char step[96];              // the one that runs
    uint64_t step_seconds;      // how long it may take
    uint64_t kill_within_ns;    // after the array said that it may be killed
    uint32_t rows;              // what was measured: names and texts
    char row_names[ROWS_MOST][40];
    char row_texts[ROWS_MOST][96];
    uint64_t begin_ns;          // from the call of Protected Restore to its `done`
    uint64_t first_read_ns;     // from there to the first restored data
    uint64_t to_restore;        // extents in the Delta Map when the restore began
    uint64_t recover_ns;
    struct clone_group_statistics at_begin;
    struct restored first_life; // until it was killed: as of its last poll
    struct restored second_life;
    uint64_t restore_ns[2];     // of the first restore, in each life
    uint64_t again_extents;     // copied by the second restore
    uint64_t again_ns;
    uint32_t cod_queue_peak;
    struct histogram reads;     // of host threads
    struct histogram writes;
};

// Announces the next step. It is killed if it takes much longer than it can need.
void step_begin(struct figures *figures, const char *format, ...);

// Says that something holds, or that it does not, which is a failure.
void check(struct figures *figures, int holds, const char *format, ...);

// Says something that can be neither right nor wrong.
void remark(const char *format, ...);

// Puts a row into the table at the end. One of the same name is replaced.
void figure(struct figures *figures, const char *name, const char *format, ...);

// A progress bar on a terminal, and one line at the end everywhere.
struct progress {
    uint64_t total_bytes;
    uint64_t began_ns;
    uint64_t shown_ns;
};

void progress_begin(struct progress *progress, uint64_t total_bytes);
void progress_show(struct progress *progress, uint64_t bytes);
void progress_end(struct progress *progress);

// What happened since `before`.
struct restored restored_since(const struct clone_group_statistics *before,
                               const struct clone_group_statistics *now);

// The rows of figure(), and how long hosts waited.
void figures_rows(const struct figures *figures);

// The table of the mode `restore`.
void figures_table(const struct figures *figures, const struct settings *settings);

#endif
