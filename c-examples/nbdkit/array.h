// The array: a Clone Group on files in a folder, the threads that do its I/O, and
// the one that polls. Every call may come from any thread, many at once, but for
// the four that open and close.
#ifndef ARRAY_H
#define ARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "clone_group.h"
#include "history.h"
#include "picture.h"
#include "settings.h"

struct array;

// Opens the array in the folder, or makes it: files, group, Clones. What was
// interrupted is as it was, by Recovery. Starts no thread, so that a server may
// still fork. Returns NULL after log_error().
struct array *array_open(const struct settings *settings);

// Starts the threads. Returns 0, or -1 after log_error().
int array_start(struct array *array);

// Closes the group and ends the threads: all requests must be over.
void array_stop(struct array *array);

// Gives up an array that was not started, or was stopped.
void array_free(struct array *array);

// Host I/O. `lu` is 0 for the Source, or a Clone; ranges are in bytes and must be
// of whole blocks. Each waits until the request is done and returns its status.
int32_t array_read(struct array *array, uint32_t lu, void *data, uint64_t bytes, uint64_t offset);
int32_t array_write(struct array *array, uint32_t lu, const void *data, uint64_t bytes,
                    uint64_t offset, bool durable);
int32_t array_zero(struct array *array, uint32_t lu, uint64_t bytes, uint64_t offset,
                   bool durable);
int32_t array_discard(struct array *array, uint32_t lu, uint64_t bytes, uint64_t offset,
                      bool durable);
int32_t array_flush(struct array *array, uint32_t lu);

// Whether a run of an LU is known to read as zeroes: see lu_run().
int array_run(struct array *array, uint32_t lu, uint64_t offset, uint64_t limit, uint64_t *end,
              bool *zeroes);

// Whether holes can be punched, so that zeroes are fast.
bool array_discards(const struct array *array);

// What an operator may ask for. `begin` calls the library with the tag; waits
// until that is done and returns its status.
typedef int32_t array_begin(struct clone_group *group, const void *arguments, uint64_t tag);
int32_t array_operate(struct array *array, array_begin *begin, const void *arguments);

struct clone_group *array_group(struct array *array);
const struct settings *array_settings(const struct array *array);
struct history *array_history(struct array *array);
struct clone_group_info array_info(struct array *array);
struct clone_group_clone_info array_clone(struct array *array, uint32_t lu);
struct rate array_rate(struct array *array);

// Keeps the rate, also for the next start. Returns 0, or -1 after log_error().
int array_set_rate(struct array *array, struct rate rate);

// The copy of or from a Clone, extent by extent, in `cells` cells. See picture.h.
int32_t array_picture(struct array *array, uint32_t lu, struct cell *cells, uint32_t count);

// What a status means to those who use the array: see clone_group_status_text().
const char *status_text(int32_t status);

// The name of a state of a Clone, and of an LU.
const char *clone_state_name(uint32_t state);
const char *lu_name(uint32_t lu, char name[16]);

#endif
