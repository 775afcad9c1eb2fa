// The array: three LUs and a persistent area, each a file, and threads that do
// the I/O and report its end.
#ifndef ARRAY_H
#define ARRAY_H

#include <stdint.h>

#include "clone_group.h"
#include "settings.h"

struct array;

// Opens the files in `settings->dir`, of the sizes given; with `create` they
// must not exist yet. Returns NULL after it has named on stderr what is wrong.
struct array *array_open(const struct settings *settings, uint64_t metadata_bytes, int create);

// Starts the threads, which report to `group`. Returns 0, or an errno.
int array_start(struct array *array, struct clone_group *group);

// Accepts one I/O: every I/O callback of the library comes here.
int32_t array_submit(struct array *array, const struct clone_group_io *io);

// Reads `bytes` of an LU behind the library's back, for checks. Returns 1 if it could.
int array_peek(struct array *array, uint32_t lu, uint64_t offset, void *data, uint64_t bytes);

// Writes `bytes` of an LU behind the library's back, as a failing disk does. Returns 1 if it could.
int array_poke(struct array *array, uint32_t lu, uint64_t offset, const void *data, uint64_t bytes);

// How much of the volume the file of an LU takes.
uint64_t array_allocated_bytes(struct array *array, uint32_t lu);

// Lets the threads finish what they have, ends them and closes the files.
void array_close(struct array *array);

// Removes the files that array_open() created for any group.
void array_remove_files(const char *dir);

#endif
