// What the array is told on nbdkit's command line.
#ifndef PARAMETERS_H
#define PARAMETERS_H

#include "settings.h"

// nbdkit calls these: one parameter, and after the last one. Each returns 0, or -1
// after nbdkit_error().
int parameters_take(const char *key, const char *value);
int parameters_complete(void);
void parameters_free(void);

const struct settings *parameters_settings(void);
const char *parameters_control_path(void);

#define PARAMETERS_HELP                                                                   \
    "dir=DIR              (required) folder of the array; made at the first start\n"      \
    "size=SIZE            size of each LU, at the first start (default 1G)\n"             \
    "clones=N             number of Clones, at the first start (2)\n"                     \
    "block=SIZE           block size, at the first start (4096)\n"                        \
    "extent=SIZE          extent size, at the first start (64k)\n"                        \
    "preallocate=BOOL     LUs take their room at the first start (false)\n"               \
    "cap=SIZE             background copies per second, at most; 0: no cap (0)\n"         \
    "minimum=SIZE         the same while hosts are busy, at least (32M)\n"                \
    "direct=BOOL|auto     O_DIRECT (auto: where the file system has it)\n"                \
    "skip-equal=BOOL      copies write only what differs: thin LUs stay thin (false)\n"   \
    "redirect-reads=BOOL  reads of what is not restored yet go to the Clone (false)\n"    \
    "io-threads=N         threads for I/O (8)\n"                                          \
    "control=PATH         the control socket (DIR/control)"

#endif
