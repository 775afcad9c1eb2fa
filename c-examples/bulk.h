// Host writes in bulk: whole extents, several at once, by the polling thread.
#ifndef BULK_H
#define BULK_H

#include <stdint.h>

#include "controller.h"
#include "settings.h"

// Writes `count` extents of the Source with the data of `tag`: those listed, or
// the first ones if `extents` is NULL. Ends the process if a write fails.
void bulk_write(struct controller *controller, const struct settings *settings,
                const uint64_t *extents, uint64_t count, uint64_t tag);

// Chooses `count` of all extents, in rising order. The caller frees them.
uint64_t *choose_extents(const struct settings *settings, uint64_t count, uint64_t seed);

#endif
