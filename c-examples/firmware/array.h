// The array: a Source and two Clones in RAM, a persistent area, callbacks that
// answer at once or later, and a model of what hosts must read. Like main.c it
// is written for a machine without a C library and without a heap.

#ifndef ARRAY_H
#define ARRAY_H

#include "clone_group.h"
#include "platform.h"

enum {
    LUS = 3,
    BLOCK_BYTES = 512,
    EXTENT_BLOCKS = 8,
    BLOCKS = 515, // the last extent has three blocks
    EXTENTS = 65,
    REQUESTS = 6,
    REQUEST_BLOCKS = 40
};

// Everything that was ever allocated.
struct array {
    unsigned char lu[LUS][BLOCKS * BLOCK_BYTES];
    unsigned char area[16384];
    uint64_t area_bytes;
    // Which write each block of the LU must show: its stamp.
    uint32_t expected[LUS][BLOCKS];
    uint32_t stamp;

    struct clone_group *group;
    int is_late;                // callbacks answer later
    int persist_writes_fail;
    struct clone_group_io late[64];
    uint32_t late_count;
    int32_t operation_status;   // PENDING while one is under way
    int32_t request_status[REQUESTS];
    unsigned char payload[REQUESTS][REQUEST_BLOCKS * BLOCK_BYTES];
    uint32_t events[32];
    uint32_t log_lines;
    int has_texts;              // the library was built with them
};

extern struct array array;

#define CHECK(condition)                                                       \
    ((condition) ? (void)0 : array_fail(__FILE__, __LINE__, #condition))
void array_fail(const char *file, int line, const char *what);

// The same numbers on every machine.
uint32_t array_random(uint32_t bound);

// Makes the group and attaches the LUs. The workspace holds garbage before.
void array_open(uint64_t identity);
// The group ends without a word, with all that is under way.
void array_power_loss(void);
// Polls until the operation that returned `status` is done, and returns how.
int32_t array_finish(int32_t status);
// Polls until all host requests are done; each must have worked.
void array_settle(void);
// Completes one of the I/Os that are under way, as an interrupt would.
void array_interrupt(void);
// Copies in the background until nothing is left.
void array_copy_all(void);

// Begins a host request; the payload of a read is checked by array_settle().
void array_write(uint32_t request, uint32_t lu, uint32_t first, uint32_t count,
                 uint32_t flags);
void array_read(uint32_t request, uint32_t lu, uint32_t first, uint32_t count);

// What is on the LU is what the model says.
void array_check_lu(uint32_t lu);
void array_copy_model(uint32_t to, uint32_t from);
// Prints the CRC-32 of the persistent area.
void array_print_metadata(const char *moment);

#endif
