// Host threads: they read and write the Source, and check what they read.
#ifndef HOSTS_H
#define HOSTS_H

#include <stdint.h>

#include "controller.h"
#include "record.h"
#include "settings.h"

struct hosts;

// A list of extents, in rising order.
struct extents {
    uint64_t *extents;
    uint64_t count;
};

// Starts `settings->hosts` threads. They need another thread that polls. They also
// read the `unchanged_clone`, if it is not 0: it must hold TAG_ORIGINAL everywhere.
// Ends the process if that fails.
struct hosts *hosts_start(struct controller *controller, struct record *record,
                          const struct settings *settings,
                          const struct extents *corrupted, uint32_t unchanged_clone);

// Ends the process if a host has found something wrong.
void hosts_must_be_content(struct hosts *hosts);

// From now on a host may find the Source invalid, which ends them all.
void hosts_expect_refusal(struct hosts *hosts);

// Asks the threads to end, or waits for the refusal that is expected; polls until they
// have ended. What was wrong is in the figures. Returns how many requests were refused.
uint32_t hosts_stop(struct hosts *hosts);

// Around a call that gives the Source another content while hosts work: that of
// Clone 2, or of Clone 1 if `tuesday` is NULL. Requests that meet it may come before or
// after it; what became of a write is read back.
void hosts_replace_begin(struct hosts *hosts);
void hosts_replace_end(struct hosts *hosts, const struct extents *tuesday);

// The record as it is where nobody has written to the Source since then.
void record_replace_all(struct record *record, const struct settings *settings,
                        const struct extents *tuesday);

// After the array was killed: reads every block whose content is not certain,
// and checks that it is one of those which may be there. From then on it must stay.
void hosts_settle(struct controller *controller, struct record *record,
                  const struct settings *settings);

#endif
