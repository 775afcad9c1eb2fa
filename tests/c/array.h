// A small array controller in memory, shared by the C programs of this folder:
// LUs and a persistent area in RAM, callbacks that answer at once, late or
// early, a model of power loss, and checks of everything that the library
// passes in. Each program of this folder is one test; it exits with 0, or says
// what it found and exits with 1.

#ifndef ARRAY_H
#define ARRAY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clone_group.h"

enum {
    ARRAY_LUS_MAX = 4,        // the Source and three Clones
    ARRAY_IN_FLIGHT_MAX = 256,
    ARRAY_TAGS = 65536,       // tags of one group; array_open() starts anew
    ARRAY_EVENTS = 15,        // event kinds, and 0
    ARRAY_OPERATIONS = 10,    // operations, and 0
    ARRAY_POLLS_MAX = 200000  // a group that needs more stands still
};

// When the callbacks answer.
enum array_mode {
    ARRAY_SYNC,  // at once
    ARRAY_LATE,  // PENDING, completed by a later poll loop, out of order
    ARRAY_EARLY, // PENDING, completed before the callback returns
    ARRAY_MIXED  // any of the three, by chance
};

struct array {
    // Set by array_init(); a program may change it before array_open().
    struct clone_group_config config;
    struct clone_group_ops ops;
    enum array_mode mode;
    uint32_t lu_count;
    uint32_t lu_flags;
    void *workspace;           // NULL: the library allocates it
    uint64_t workspace_bytes;

    // Asked before each I/O. Returns 1 if the program deals with the I/O
    // itself; `*result` is then what the callback returns.
    int (*hook)(struct array *array, const struct clone_group_io *io,
                int32_t *result);
    // The program polls again without being asked to: it has a hook that
    // returns CLONE_GROUP_RETRY or keeps I/Os. Otherwise the array sleeps until
    // `wake`.
    uint32_t restless;
    // Told of each `done` and each event.
    void (*on_done)(struct array *array, uint64_t tag, int32_t status);
    void (*on_event)(struct array *array,
                     const struct clone_group_event *event);

    struct clone_group *group;
    uint32_t block_bytes;   // of the configuration, or the defaults
    uint32_t extent_blocks;
    unsigned char *lu[ARRAY_LUS_MAX];
    unsigned char *area;
    uint64_t lu_bytes;
    uint64_t area_bytes;
    // What would survive a power loss, where caches are volatile.
    unsigned char *durable_lu[ARRAY_LUS_MAX];
    unsigned char *durable_area;
    // The Clone that is being restored from: never written. 0: none.
    uint32_t frozen_lu;
    // An LU that left the group: it is not touched any more. 0: none.
    uint32_t removed_lu;

    struct clone_group_io in_flight[ARRAY_IN_FLIGHT_MAX];
    uint32_t in_flight_count;
    uint64_t last_tag;
    unsigned char done_count[ARRAY_TAGS];
    int32_t done_status[ARRAY_TAGS];
    uint32_t event_count[ARRAY_EVENTS];
    struct clone_group_event last_event[ARRAY_EVENTS];
    uint64_t io_count[ARRAY_OPERATIONS];
    uint32_t log_count;
    uint32_t wakes_since_poll;
    int32_t last_poll;         // what the last poll returned
    uint32_t critical;
    uint32_t polling;
    uint64_t time_ns;
};

// ------------------------------------------------------------------ checks

#define CHECK(condition)                                                       \
    ((condition) ? (void)0 : array_fail(__FILE__, __LINE__, #condition))
#define CHECK_EQUAL(expected, value)                                           \
    array_check_equal(__FILE__, __LINE__, #value, (uint64_t)(expected),        \
                      (uint64_t)(value))
#define CHECK_STATUS(expected, call)                                           \
    array_check_status(__FILE__, __LINE__, #call, expected, call)

void array_fail(const char *file, int line, const char *what);
void array_check_equal(const char *file, int line, const char *what,
                       uint64_t expected, uint64_t value);
void array_check_status(const char *file, int line, const char *what,
                        int32_t expected, int32_t status);

// A random number below `bound`. array_seed() reads the seed of a run from the
// first argument of the program; a failure prints it.
void array_seed(int argc, char **argv);
uint64_t array_random(uint64_t bound);

// -------------------------------------------------------- life of an array

// A group of `lu_count` LUs with 8 blocks of 512 bytes in each extent; the last
// extent has 3 blocks. Everything can be changed until array_make().
void array_init(struct array *array, uint32_t lu_count);
// Allocates the LUs and the persistent area for the configuration.
void array_make(struct array *array);
// Creates the group and attaches all LUs.
void array_open(struct array *array);
// array_make(), array_open() and format.
void array_format(struct array *array);
// Ends the group without close, and takes away what was in volatile caches.
void array_power_loss(struct array *array);
// Closes and destroys the group; every request must be done.
void array_close(struct array *array);
// Frees the LUs and the persistent area.
void array_free(struct array *array);

// ---------------------------------------------------------- requests, polls

// A fresh tag.
uint64_t array_tag(struct array *array);
// Waits for the request that used the last tag and returned `status`.
int32_t array_finish(struct array *array, int32_t status);
// Waits for the request with this tag that returned PENDING.
int32_t array_wait(struct array *array, uint64_t tag);
// One poll, and nothing else.
int32_t array_poll_once(struct array *array, uint32_t extents);
// One poll; begins copies of `extents` extents (0: clone_group_cod_poll). Some
// of the I/Os in flight are completed if there is nothing else to do.
int32_t array_poll(struct array *array, uint32_t extents);
// Polls, without beginning copies, until nothing is in flight.
void array_drain(struct array *array);
// Polls until everything is copied.
void array_settle(struct array *array);

// The offload: where a program sets ops.copy to it, the array copies by itself.
int32_t array_copy(void *context, const struct clone_group_io *io);
// Moves the data of an I/O.
void array_move(struct array *array, const struct clone_group_io *io);
// Puts an I/O among those that are completed later.
void array_keep(struct array *array, const struct clone_group_io *io);
// Completes one of the kept I/Os with this status, without its data if the
// status is an error.
void array_complete(struct array *array, uint32_t index, int32_t status);

// ---------------------------------------------------------- host, contents

// Fills blocks with a pattern that tells where and from which write they are.
void array_fill(unsigned char *bytes, uint64_t first_block,
                uint64_t block_count, uint32_t block_bytes, uint32_t stamp);
// An image of an LU, a copy of `content`.
unsigned char *array_image(const struct array *array,
                           const unsigned char *content);
// Writes fresh patterns into the range of the LU and of its image; waits.
int32_t array_write(struct array *array, uint32_t lu, unsigned char *image,
                    uint64_t first_block, uint64_t block_count);
// Four writes, write-zeroes or discards at once, anywhere on the LU. Discards
// only where they are the same as write-zeroes.
void array_write_burst(struct array *array, uint32_t lu, unsigned char *image);
// Reads the range through the library and compares it with the image.
void array_expect_range(struct array *array, uint32_t lu,
                        const unsigned char *image, uint64_t first_block,
                        uint64_t block_count);
// The same for all blocks, in pieces.
void array_expect(struct array *array, uint32_t lu,
                  const unsigned char *image);

// ----------------------------------------------------------------- queries

uint32_t array_clone_state(struct array *array, uint32_t lu);
struct clone_group_clone_info array_clone_info(struct array *array,
                                               uint32_t lu);
struct clone_group_info array_info(struct array *array);
struct clone_group_statistics array_statistics(struct array *array);
// A map of the first 64 extents as a number: bit n is extent n.
uint64_t array_map(struct array *array, uint32_t map, uint32_t lu);

// -------------------------------------------------------------- whole lives

// Administrative calls, waited for; each must end with CLONE_GROUP_OK.
void array_add_clone(struct array *array, uint32_t lu);
void array_synchronize(struct array *array, uint32_t lu);
void array_fracture(struct array *array, uint32_t lu);
void array_restore(struct array *array, uint32_t lu);

// A whole life - format to Protected Restore, power loss, Recovery, second
// restore, close - for each of several configurations (life.c).
void array_lives(enum array_mode mode, void (*prepare)(struct array *array));

#endif
