// The controller: puts a Clone Group and the array together, and polls. One
// thread polls; requests may come from any.
#ifndef CONTROLLER_H
#define CONTROLLER_H

#include <pthread.h>
#include <stdint.h>

#include "array.h"
#include "clone_group.h"
#include "settings.h"

enum { EVENT_KINDS = CLONE_GROUP_EVENT_SET_RESOLVED + 1 };

// A call into the library that may return CLONE_GROUP_PENDING. Its address is
// its tag.
struct request {
    int done;
    int32_t status;
};

struct controller {
    struct clone_group *group;
    struct array *array;
    pthread_mutex_t mutex;          // guards what follows, and every struct request
    pthread_cond_t woken_changed;
    pthread_cond_t request_done;
    int woken;                      // there is something for the polling thread
    uint32_t events[EVENT_KINDS];   // how often each happened
    struct request own;             // what the polling thread itself asks for
    struct request of_set;          // what a set asks of this group
};

#define REQUEST_TAG(request) ((uint64_t)(uintptr_t)(request))

// The tag of a call for a set of groups: each has its own `of_set` for it.
#define TAG_OF_SET 1

enum controller_start { CONTROLLER_FORMAT, CONTROLLER_RECOVER };

// Opens the array, creates the group, attaches the LUs, and formats or recovers
// the group. Ends the process if that fails.
void controller_open(struct controller *controller, const struct settings *settings,
                     enum controller_start start);

// Closes the group and the array. Ends the process if that fails.
void controller_close(struct controller *controller);

// Polls once, and begins background copies of at most `budget` extents. Then, if
// there is nothing more to do, sleeps until something happens, for at most
// `sleep_ms`, or for as long as it takes if that is negative.
void controller_poll(struct controller *controller, uint32_t budget, int sleep_ms);

// For the polling thread: polls until the request is done whose call returned
// `status`. Returns its final status.
int32_t controller_finish(struct controller *controller, struct request *request,
                          int32_t status);

// For all other threads: waits until the polling thread has seen to it.
int32_t controller_wait(struct controller *controller, struct request *request,
                        int32_t status);

int request_is_done(struct controller *controller, const struct request *request);

// What the polling thread asks for itself, one thing at a time: pass
// controller_tag() as the tag of the call, and what it returned to one of
//   controller_try()    polls until it is done, returns its final status
//   controller_must()   the same, but ends the process if that is not OK
uint64_t controller_tag(struct controller *controller);
int32_t controller_try(struct controller *controller, int32_t status);
void controller_must(struct controller *controller, int32_t status, const char *call);

// Reads one Clone's state. `lu` must be one that was attached.
struct clone_group_clone_info controller_clone(struct controller *controller, uint32_t lu);

// How often an event of this kind happened.
uint32_t controller_events(struct controller *controller, uint32_t kind);

struct clone_group_info controller_info(struct controller *controller);

struct clone_group_statistics controller_statistics(struct controller *controller);

// A monotonic time in nanoseconds.
uint64_t now_ns(void);

// Says what went wrong and ends the process with 1.
void give_up(const char *format, ...);

#endif
