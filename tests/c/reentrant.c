// Goal: what the header allows inside callbacks, it means. From I/O callbacks:
// host requests, queries, completions of other I/Os. From `done` and `event`:
// administration and host I/O. A poll from inside a poll's callback returns
// CLONE_GROUP_MORE and harms nothing. All of it while a restore runs, so that
// every kind of I/O is a place to call back from.

#include "array.h"

enum { DEPTH_MAX = 3 };

static struct array array;
static unsigned char *image;
static uint8_t sink[4096];
static uint32_t depth;
static uint32_t nested_requests;
static uint32_t nested_polls;
static uint32_t nested_completions;

static void query_everything(void)
{
    struct clone_group_info info = array_info(&array);

    CHECK_EQUAL(CLONE_GROUP_STATE_READY, info.state);
    CHECK_EQUAL(21, info.extents_total);
    (void)array_clone_info(&array, 1);
    (void)array_statistics(&array);
    (void)array_map(&array, CLONE_GROUP_MAP_DELTA, 1);
    (void)array_map(&array, CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
    (void)array_map(&array, CLONE_GROUP_MAP_PERSISTENT_DELTA, 0);
}

// A read of anything, and a write of what is there already: image and Source
// stay equal whatever the order is.
static void request_something(void)
{
    uint64_t first = array_random(array.config.lu_blocks);
    int32_t status;

    if (array_info(&array).requests >= array.config.requests_max / 2) {
        return;
    }
    status = array_random(2) == 0
                 ? clone_group_host_read(array.group, 0, first, 1, sink, 0,
                                         array_tag(&array))
                 : clone_group_host_write(array.group, 0, first, 1,
                                          image + first * 512, 0,
                                          array_tag(&array));
    CHECK(status == CLONE_GROUP_OK || status == CLONE_GROUP_PENDING
          || status == CLONE_GROUP_ERR_BUSY);
    nested_requests += status != CLONE_GROUP_ERR_BUSY;
}

static void poll_inside(void)
{
    int32_t cod = clone_group_cod_poll(array.group, 8);
    int32_t sync = clone_group_sync_step(array.group, 8);

    // The poll that called this callback runs.
    CHECK_STATUS(CLONE_GROUP_MORE, cod);
    CHECK_STATUS(CLONE_GROUP_MORE, sync);
    nested_polls++;
}

static int call_back(struct array *of, const struct clone_group_io *io,
                     int32_t *result)
{
    (void)io;
    (void)result;
    if (depth >= DEPTH_MAX || array_info(of).state != CLONE_GROUP_STATE_READY) {
        return 0;
    }
    depth++;
    query_everything();
    if (of->in_flight_count > 0 && array_random(2) == 0) {
        array_complete(of, (uint32_t)array_random(of->in_flight_count),
                       CLONE_GROUP_OK);
        nested_completions++;
    }
    if (array_random(4) == 0) {
        request_something();
    }
    if (of->polling) {
        poll_inside();
    }
    depth--;
    return 0;
}

// ----------------------------------------------- administration from inside

// Operations are begun from `done` calls and events, one at a time, in the
// order in which they were wished for: when a restore has begun, a pause and a
// resume; when it is over, the next restore.
enum { RESTORE, PAUSE, RESUME, WISHES_MAX = 16 };

static uint32_t wishes[WISHES_MAX];
static uint32_t wish_count;
static uint64_t running_tag; // 0: no operation runs
static uint32_t running_wish;
static uint32_t restores_left;
static uint32_t operations_done[3];

static void wish(uint32_t operation)
{
    CHECK(wish_count < WISHES_MAX);
    wishes[wish_count++] = operation;
}

static int32_t begin(struct array *of, uint32_t operation, uint64_t tag)
{
    switch (operation) {
    case RESTORE:
        return clone_group_protected_restore(of->group, 1, tag);
    case PAUSE:
        return clone_group_pause(of->group, tag);
    default:
        return clone_group_resume(of->group, tag);
    }
}

static void begin_next(struct array *of)
{
    uint64_t tag;
    int32_t status;

    if (running_tag != 0 || wish_count == 0) {
        return;
    }
    tag = array_tag(of);
    status = begin(of, wishes[0], tag);
    if (status == CLONE_GROUP_ERR_BUSY) {
        return; // the library ends a restore just now; the next event comes
    }
    CHECK_STATUS(CLONE_GROUP_PENDING, status);
    running_tag = tag;
    running_wish = wishes[0];
    wish_count--;
    memmove(wishes, wishes + 1, wish_count * sizeof *wishes);
}

static void act_on_done(struct array *of, uint64_t tag, int32_t status)
{
    query_everything();
    poll_inside();
    if (tag == running_tag) {
        CHECK_STATUS(CLONE_GROUP_OK, status);
        operations_done[running_wish]++;
        running_tag = 0;
        if (running_wish == RESTORE) {
            wish(PAUSE);
            wish(RESUME);
        }
    } else if (array_random(8) == 0) {
        request_something();
    }
    begin_next(of);
}

static void act_on_event(struct array *of,
                         const struct clone_group_event *event)
{
    query_everything();
    poll_inside();
    if (event->kind == CLONE_GROUP_EVENT_RESTORED && restores_left > 0) {
        restores_left--;
        wish(RESTORE);
    }
    request_something();
    begin_next(of);
}

// --------------------------------------------------------------------- phases

static void build(void)
{
    unsigned char *point;

    array_format(&array);
    image = array_image(&array, array.lu[0]);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_write(&array, 0, image, 0, array.config.lu_blocks));
    array_add_clone(&array, 1);
    array_synchronize(&array, 1);
    array_fracture(&array, 1);
    point = array_image(&array, image);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_write(&array, 0, image, 0, array.config.lu_blocks));
    array_drain(&array);
    free(image);
    image = point; // what the restore brings back
}

static void restore_from_inside(enum array_mode mode)
{
    uint32_t polls;

    array.mode = mode;
    array.hook = call_back;
    array.on_done = act_on_done;
    array.on_event = act_on_event;
    restores_left = 2;
    wish(RESTORE);
    begin_next(&array);
    for (polls = 0; restores_left > 0 || wish_count > 0 || running_tag != 0
                    || array_info(&array).restoring_lu != 0;
         polls++) {
        CHECK(polls < ARRAY_POLLS_MAX);
        (void)array_poll(&array, 2);
        begin_next(&array);
    }
    array.hook = NULL;
    array.on_done = NULL;
    array.on_event = NULL;
    array_drain(&array);
    array_expect(&array, 0, image);
    CHECK_EQUAL(0, memcmp(image, array.lu[0], (size_t)array.lu_bytes));
    CHECK_EQUAL(0, memcmp(image, array.lu[1], (size_t)array.lu_bytes));
}

// A poll from the callback of a host call is not inside a poll: it may do work,
// but must do no harm.
static int poll_from_host_call(struct array *of,
                               const struct clone_group_io *io, int32_t *result)
{
    (void)io;
    (void)result;
    if (!of->polling && depth == 0) {
        int32_t status;

        depth++;
        of->polling++;
        of->wakes_since_poll = 0;
        status = clone_group_cod_poll(of->group, 4);
        CHECK(status >= 0 && status <= CLONE_GROUP_MORE);
        of->polling--;
        depth--;
    }
    return 0;
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    array_init(&array, 2);
    build();
    restore_from_inside(ARRAY_SYNC);
    restore_from_inside(ARRAY_LATE);
    restore_from_inside(ARRAY_MIXED);
    CHECK_EQUAL(9, operations_done[RESTORE]);
    CHECK_EQUAL(9, operations_done[PAUSE]);
    CHECK_EQUAL(9, operations_done[RESUME]);
    CHECK(nested_requests > 0 && nested_polls > 0 && nested_completions > 0);

    array.mode = ARRAY_MIXED;
    array.hook = poll_from_host_call;
    array_write_burst(&array, 0, image);
    array_write_burst(&array, 0, image);
    array_expect(&array, 0, image);
    array.hook = NULL;
    array_close(&array);
    array_free(&array);
    free(image);
    return 0;
}
