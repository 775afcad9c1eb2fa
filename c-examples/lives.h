// What the array process does: first until it is killed, then from Recovery on.
#ifndef LIVES_H
#define LIVES_H

#include "hosts.h"
#include "record.h"
#include "settings.h"

struct demo {
    const struct settings *settings;
    struct record *record;
    struct extents corrupted;    // extents that the disaster hits
    struct extents tuesday;      // extents written between the two Fractures
    int half_way;                   // pipe: one byte when half is restored
};

void first_life(struct demo *demo);
void second_life(struct demo *demo);

#endif
