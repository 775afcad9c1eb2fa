// The threads that do the I/O which the library asks for from a poll: nothing
// there waits for a disk. What a host waits for goes before background copies,
// and these never have all threads.
#ifndef POOL_H
#define POOL_H

#include <stdint.h>

#include "clone_group.h"

struct pool;

// How one I/O is done: returns a status of the library.
typedef int32_t pool_perform(void *context, const struct clone_group_io *io);

// `items`: I/Os that may wait at once. Returns NULL, with errno, if there is no memory.
struct pool *pool_create(uint32_t items, pool_perform *perform, void *context);

// Starts the threads, which complete I/Os of `group`. Returns 0, or an errno.
int pool_start(struct pool *pool, struct clone_group *group, uint32_t threads);

// Returns CLONE_GROUP_PENDING, or CLONE_GROUP_RETRY if too many wait.
int32_t pool_submit(struct pool *pool, const struct clone_group_io *io);

// Calls `each` for every I/O that is under way and is no host's.
void pool_copies(struct pool *pool, void (*each)(void *context, const struct clone_group_io *io),
                 void *context);

// Lets the threads finish what there is, and ends them.
void pool_destroy(struct pool *pool);

#endif
