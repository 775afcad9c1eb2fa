// What an array is made of. The file `group.json` in its folder has what was
// fixed when it was made, and its rate.
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "bucket.h"
#include "lu.h"

enum { CLONES_MOST = 64, GROUP_ID_BYTES = 16 };

struct settings {
    // What the one who starts the array says, each time.
    const char *folder;
    uint32_t threads;
    enum lu_direct direct;
    bool preallocate;       // LUs take their room when they are made
    bool skip_equal;        // CLONE_GROUP_CONFIG_SKIP_EQUAL
    bool redirect_reads;    // CLONE_GROUP_CONFIG_REDIRECT_READS

    // What was said at the first start, and is kept. 0: not said.
    uint64_t lu_bytes;
    uint32_t block_bytes;
    uint32_t extent_bytes;
    uint32_t clones;
    uint8_t group_id[GROUP_ID_BYTES];
    struct rate rate;
};

enum settings_found {
    SETTINGS_FAILED = -1,   // after log_error()
    SETTINGS_NONE,          // no array was made here
    SETTINGS_UNFINISHED,    // the first start was cut short: make it anew
    SETTINGS_READY,
};

// Fills in what was not said.
void settings_default(struct settings *settings);

// Reads the file, if there is one. What was said to the contrary is refused.
enum settings_found settings_load(struct settings *settings, int folder);

// Writes the file anew, so that it is the old or the new one after a power loss.
// Returns 0, or -1 after log_error().
int settings_save(const struct settings *settings, int folder, bool ready);

#endif
