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

// Starts `settings->hosts` threads. They need another thread that polls. Ends
// the process if that fails.
struct hosts *hosts_start(struct controller *controller, struct record *record,
                          const struct settings *settings,
                          const struct extents *corrupted);

// Ends the process if a host has found something wrong.
void hosts_must_be_content(struct hosts *hosts);

// Asks the threads to end; polls until they have. What was wrong is in the figures.
void hosts_stop(struct hosts *hosts);

// After the array was killed: reads every block whose content is not certain,
// and checks that it is one of those which may be there. From then on it must stay.
void hosts_settle(struct controller *controller, struct record *record,
                  const struct settings *settings);

#endif
