// Checks that look at the files themselves, while nothing runs.
#ifndef CHECKS_H
#define CHECKS_H

#include "controller.h"
#include "record.h"
#include "settings.h"

// The checksum of a whole LU.
uint64_t lu_checksum(struct controller *controller, const struct settings *settings,
                     uint32_t lu);

// The Clone is what it was when its checksum was put into the record.
void check_untouched(struct controller *controller, struct record *record,
                     const struct settings *settings, uint32_t lu);

// The Source is Clone 1 plus what hosts wrote since the restore began.
void check_source(struct controller *controller, struct record *record,
                  const struct settings *settings);

// The LU holds, in every block, what the record says that hosts wrote last.
void check_contents(struct controller *controller, struct record *record,
                    const struct settings *settings, uint32_t lu);

// Every extent in which the Source and the Clone differ is in its Delta Map.
void check_delta_map(struct controller *controller, struct record *record,
                     const struct settings *settings, uint32_t lu);

// The Source and the Clone are the same, byte by byte.
void check_same(struct controller *controller, struct record *record,
                const struct settings *settings, uint32_t lu);

// How many extents are in the Delta Map of the Clone.
uint64_t delta_map_count(struct controller *controller, const struct settings *settings,
                         uint32_t lu);

// Is this extent in the Delta Map of the Clone?
int delta_map_has(struct controller *controller, uint32_t lu, uint64_t extent);

#endif
