// A picture of a copy: what was to be copied when it began, and what became of it.
#ifndef PICTURE_H
#define PICTURE_H

#include <pthread.h>
#include <stdint.h>

#include "clone_group.h"

// A range of extents, and how many of them are in which way special. The rest is
// equal on both LUs.
struct cell {
    uint64_t first_extent;
    uint64_t extents;
    uint64_t to_copy;
    uint64_t copying;       // of these, right now
    uint64_t copied;
    uint64_t host_written;  // since the copy began, or since the Fracture
};

struct picture {
    pthread_mutex_t mutex;
    uint64_t extents;
    uint32_t lu;            // the Clone that `began` is about, or 0
    uint8_t *began;         // a bit for each extent that was to be copied
    uint8_t *to_copy;       // scratch: as the maps say now
    uint8_t *written;
    uint8_t *copying;
};

// Returns 0, or -1 without memory.
int picture_init(struct picture *picture, uint64_t extents);
void picture_free(struct picture *picture);

// A copy of or from the Clone begins, or was found at Recovery: notes what it has
// to do.
void picture_begin(struct picture *picture, struct clone_group *group, uint32_t lu);

// Counts cell by cell. `copies` calls picture_copying() for what is under way.
int32_t picture_draw(struct picture *picture, struct clone_group *group, uint32_t lu,
                     void (*copies)(void *context, struct picture *picture), void *context,
                     struct cell *cells, uint32_t count);

// Extents that are under way, from inside `copies`.
void picture_copying(struct picture *picture, uint64_t first, uint64_t count);

#endif
