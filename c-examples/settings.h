// What the user asked for.
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdint.h>

enum { LUS = 3, HOSTS_MOST = 64, WORKERS_MOST = 64 };

struct mode;

struct settings {
    const struct mode *mode;    // what is demonstrated
    const char *dir;            // NULL: a fresh folder, removed at the end
    const char *group;          // begins the names of the group's files and LUs
    uint64_t lu_blocks;
    uint32_t extent_blocks;
    uint64_t extents;
    uint64_t seed;
    uint32_t hosts;
    uint32_t workers;
    int volatile_cache;
    int host_durable;
    int redirect_reads;
    int skip_equal;
    int map_per_clone;
};

// Reads the command line. Returns 1 to go on, 0 if --help was answered, and -1
// after it has named on stderr what is wrong.
int settings_parse(struct settings *settings, int argc, char **argv);

#endif
