// What the lives of several modes have in common.
#ifndef STEPS_H
#define STEPS_H

#include <stdint.h>

#include "controller.h"
#include "hosts.h"
#include "modes.h"

extern const uint8_t LABEL_MONDAY[64];  // of Clone 1: what the Source was filled with
extern const uint8_t LABEL_TUESDAY[64]; // of Clone 2: a little more

// Opens a new group and makes two points in time and a disaster.
void live_to_the_disaster(struct controller *controller, struct demo *demo);

// Opens the group again after a kill.
void live_again(struct controller *controller, struct demo *demo);

void add_clones(struct controller *controller, struct figures *figures);

// Begins a Synchronization of the Clones `first` to `last`, and polls until they
// are synchronized.
void synchronize(struct controller *controller, const struct settings *settings,
                 uint32_t first, uint32_t last);
void fracture(struct controller *controller, struct figures *figures, uint32_t lu,
              const uint8_t *label);

// The controller's throttle: so many extents per second and not more, so that
// hosts, the kill and the copies meet also on a small Source.
enum { COPY_BUDGET = 64 }; // extents per poll where there is no pace
enum { PACE_SECONDS = 2 };

struct pace {
    uint64_t began_ns;
    uint64_t extents;   // in PACE_SECONDS
    uint64_t asked;
};

struct pace pace_begin(uint64_t extents);
void pace_poll(struct controller *controller, struct pace *pace);

// Copies beside the hosts, at that pace: until so many extents are left for `lu`;
// until the event happened, and a little longer, and ends the hosts; until the process
// is killed, when about half is done.
void copy_until(struct controller *controller, struct hosts *hosts, uint32_t lu, uint64_t left);
void copy_until_event(struct controller *controller, struct hosts *hosts, uint32_t lu,
                      uint32_t event);
void copy_until_killed(struct controller *controller, struct demo *demo, struct hosts *hosts,
                       uint32_t lu);

// Tells the process that kills this one that it may do so, at some moment from now on.
void may_be_killed(struct demo *demo);

int source_is_invalid(struct controller *controller);

// Reads a block of the Source as a host. Returns the status, and whose write it holds.
int32_t read_block(struct controller *controller, const struct settings *settings, uint64_t block,
                   uint64_t *tag);

// The table of a mode that used figure().
void rows_table(const struct demo *demo);

#endif
