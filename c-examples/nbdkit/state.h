// What the parts of the array share: array.c opens and closes it, poll.c has the
// callbacks and the thread that polls, requests.c what hosts and operators ask for.
#ifndef STATE_H
#define STATE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "array.h"
#include "bucket.h"
#include "metadata.h"
#include "pool.h"

struct array {
    struct settings settings;
    int folder;
    struct lu lus[CLONES_MOST + 1];
    uint32_t lus_open;
    struct metadata metadata;
    struct clone_group *group;
    struct pool *pool;
    struct history history;
    struct picture picture;
    pthread_t poller;
    bool poller_runs;

    atomic_uint hosts;          // requests of hosts in the array
    atomic_uint_least64_t hosts_ns;     // when the last one came
    atomic_uint mirrors;        // Clones that host writes go to, too

    atomic_uint failures;       // of I/O, in this second
    atomic_uint_least64_t failures_second;

    pthread_mutex_t settings_mutex;     // one at a time writes `group.json`
    pthread_mutex_t mutex;      // guards what follows
    pthread_cond_t woken_changed;
    bool woken;                 // there is something for the poller
    bool stopping;
    struct bucket bucket;
};

// A call into the library that may return CLONE_GROUP_PENDING. It lies on the
// stack of the one who waits; its address is the tag.
struct request {
    sem_t over;
    int32_t status;
};

// Which I/O callbacks do the I/O at once, on the thread that is in the library.
enum io_place {
    IO_BY_POOL,     // none: the thread has other things to do
    IO_OF_HOST,     // what the thread waits for anyway
    IO_HERE,        // all: there are no other threads yet
};
extern _Thread_local enum io_place io_place;

// Does one I/O, on whichever thread: see pool.h.
int32_t perform_io(void *array, const struct clone_group_io *io);

void callbacks_set(struct clone_group_ops *ops, struct array *array);
void *poll_forever(void *array);
void poll_wake(struct array *array);

// Polls on this thread until the call that returned `status` is over.
int32_t poll_until_done(struct array *array, struct request *request, int32_t status);

// The state of a Clone was read or has changed.
void note_clones(struct array *array, uint32_t changed_lu);

uint64_t now_ns(void);

#endif
