// Goal: everything that "any thread" may call, called by many threads at once
// for some seconds on one group: host requests with a data check, polls, steps,
// queries, maps, statistics, operations that begin, end and are refused,
// completions of ids that are over, of another life of their slot, and that
// never were. Then the same with an I/O that hangs, while a thread tries to
// destroy the group: it is refused each time (R82). At the end the Clones are
// synchronized, and all LUs hold what the hosts wrote.

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "array.h"

enum { HOSTS = 3, CLONES = 2, BLOCKS = 20 * 8 + 3, QUEUE_MAX = 256,
       IDS = 64, MILLISECONDS_EACH = 1500, OPERATION = 100, HUNG = 200 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct array array;
static struct clone_group_io queue[QUEUE_MAX];
static uint32_t queue_count;
static uint64_t ids[IDS]; // that are over
static uint32_t id_count;
static struct clone_group_io hung;
static int hang_next;
static int done[256];
static int32_t done_status[256];
static int stopping;     // hosts, operations
static int stopping_all; // workers, pollers
static uint64_t counts[256]; // by what a thread did
static unsigned char image[BLOCKS * 512];

static int32_t on_io(void *context, const struct clone_group_io *io)
{
    int32_t result = CLONE_GROUP_PENDING;

    (void)context;
    pthread_mutex_lock(&lock);
    if (hang_next && io->operation == CLONE_GROUP_IO_READ
        && (io->flags & CLONE_GROUP_IO_HOST) && io->first_block == BLOCKS - 1) {
        hang_next = 0;
        hung = *io;
    } else if (io->id % 3 == 0 || queue_count == QUEUE_MAX) {
        array_move(&array, io);
        result = CLONE_GROUP_OK;
    } else {
        queue[queue_count++] = *io;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void on_done(void *context, uint64_t tag, int32_t status)
{
    (void)context;
    pthread_mutex_lock(&lock);
    CHECK(tag < 256 && !done[tag]);
    done[tag] = 1;
    done_status[tag] = status;
    pthread_mutex_unlock(&lock);
}

static void on_event(void *context, const struct clone_group_event *event)
{
    (void)context;
    CHECK(event->kind != CLONE_GROUP_EVENT_MISMATCH);
    CHECK(event->kind != CLONE_GROUP_EVENT_CALLBACK_RESULT);
}

static int is_set(const int *flag)
{
    int is;

    pthread_mutex_lock(&lock);
    is = *flag;
    pthread_mutex_unlock(&lock);
    return is;
}

static void set(int *flag)
{
    pthread_mutex_lock(&lock);
    *flag = 1;
    pthread_mutex_unlock(&lock);
}

static uint32_t next(uint32_t *random, uint32_t bound)
{
    *random = *random * 1664525 + 1013904223;
    return (*random >> 12) % bound;
}

// ---------------------------------------------------------------- completions

static void *work(void *argument)
{
    uint32_t random = (uint32_t)(uintptr_t)argument;

    while (!is_set(&stopping_all)) {
        struct clone_group_io io;
        int has = 0;

        pthread_mutex_lock(&lock);
        if (queue_count > 0) {
            uint32_t index = next(&random, queue_count);

            io = queue[index];
            queue[index] = queue[--queue_count];
            array_move(&array, &io);
            has = 1;
        }
        pthread_mutex_unlock(&lock);
        if (!has) {
            sched_yield();
            continue;
        }
        CHECK_STATUS(CLONE_GROUP_OK,
                     clone_group_io_complete(array.group, io.id, 0));
        CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                     clone_group_io_complete(array.group, io.id, -5));
        pthread_mutex_lock(&lock);
        ids[id_count++ % IDS] = io.id;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

// Ids that are over, from older lives of slots that are in use, of slots that
// do not exist, and of generations that are far.
static void *complete_nonsense(void *argument)
{
    uint32_t random = (uint32_t)(uintptr_t)argument;
    uint64_t refused = 0;

    while (!is_set(&stopping_all)) {
        uint64_t id;

        pthread_mutex_lock(&lock);
        id = id_count > 0 ? ids[next(&random, id_count < IDS ? id_count : IDS)]
                          : 0;
        pthread_mutex_unlock(&lock);
        switch (next(&random, 4)) {
        case 0:
            id = 0;
            break;
        case 1:
            id |= 0x80000000u;
            break;
        case 2:
            id ^= (uint64_t)1 << 60;
            break;
        default:
            break;
        }
        CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                     clone_group_io_complete(array.group, id, -5));
        refused++;
        sched_yield();
    }
    pthread_mutex_lock(&lock);
    counts[0] += refused;
    pthread_mutex_unlock(&lock);
    return NULL;
}

// ---------------------------------------------------------------------- polls

static void *poll_always(void *argument)
{
    uint32_t random = (uint32_t)(uintptr_t)argument;

    while (!is_set(&stopping_all)) {
        int32_t status = next(&random, 2)
                             ? clone_group_cod_poll(array.group,
                                                    next(&random, 8))
                             : clone_group_sync_step(array.group,
                                                     next(&random, 4));

        CHECK(status >= CLONE_GROUP_OK && status <= CLONE_GROUP_MORE);
        sched_yield();
    }
    return NULL;
}

static int32_t finish(uint64_t tag, int32_t status)
{
    uint64_t turns;

    for (turns = 0; status == CLONE_GROUP_PENDING; turns++) {
        CHECK(turns < 50000000);
        pthread_mutex_lock(&lock);
        if (done[tag]) {
            done[tag] = 0;
            status = done_status[tag];
        }
        pthread_mutex_unlock(&lock);
        sched_yield();
    }
    return status;
}

// ------------------------------------------------------------------ any thread

static void *serve_host(void *argument)
{
    uint64_t host = (uint64_t)(uintptr_t)argument;
    uint32_t random = (uint32_t)host * 77 + (uint32_t)host;
    uint32_t stamp = (uint32_t)host * 60;

    while (!is_set(&stopping)) {
        uint64_t block = next(&random, BLOCKS / HOSTS) * HOSTS + host;
        unsigned char *kept = image + block * 512;
        unsigned char data[512];
        uint32_t kind = next(&random, 8);
        int32_t status;

        if (kind < 4) {
            array_fill(kept, block, 1, 512, ++stamp);
        }
        do {
            status = kind == 7
                         ? clone_group_host_flush(array.group, 0, host)
                     : kind < 4
                         ? clone_group_host_write(array.group, 0, block, 1,
                                                  kept, 0, host)
                         : clone_group_host_read(array.group, 0, block, 1, data,
                                                 0, host);
            status = finish(host, status);
        } while (status == CLONE_GROUP_ERR_BUSY);
        CHECK_STATUS(CLONE_GROUP_OK, status);
        if (kind >= 4 && kind < 7) {
            CHECK_EQUAL(0, memcmp(kept, data, sizeof data));
        }
        // Nothing of it waits, or somebody else's request does not.
        CHECK_STATUS(CLONE_GROUP_ERR_NO_REQUEST,
                     clone_group_abort(array.group, 250));
    }
    return NULL;
}

static void *ask(void *argument)
{
    uint64_t asked = 0;

    (void)argument;
    while (!is_set(&stopping)) {
        struct clone_group_info info;
        struct clone_group_clone_info clone;
        struct clone_group_statistics statistics;
        uint8_t map[8];

        info.struct_size = sizeof info;
        clone.struct_size = sizeof clone;
        statistics.struct_size = sizeof statistics;
        CHECK_STATUS(CLONE_GROUP_OK, clone_group_query(array.group, &info));
        CHECK_EQUAL(CLONE_GROUP_STATE_READY, info.state);
        CHECK_STATUS(CLONE_GROUP_OK,
                     clone_group_clone_query(array.group, 1, &clone));
        CHECK(clone.extents_left <= 21);
        CHECK_STATUS(CLONE_GROUP_OK,
                     clone_group_statistics_query(array.group, &statistics));
        CHECK_STATUS(CLONE_GROUP_OK,
                     clone_group_map_read(array.group, CLONE_GROUP_MAP_DELTA, 1,
                                          0, 21, map, sizeof map));
        asked++;
        sched_yield();
    }
    pthread_mutex_lock(&lock);
    counts[1] += asked;
    pthread_mutex_unlock(&lock);
    return NULL;
}

// Operations that leave the Source as it is; many come at a wrong time.
static void *administer(void *argument)
{
    uint32_t random = 4711;
    uint64_t accepted = 0;
    uint64_t refused = 0;

    (void)argument;
    while (!is_set(&stopping)) {
        struct clone_group *group = array.group;
        uint32_t lu = 1 + next(&random, CLONES);
        int32_t status;

        switch (next(&random, 7)) {
        case 0:
            status = clone_group_fracture(group, lu, NULL, 0, OPERATION);
            break;
        case 1:
            status = clone_group_pause(group, OPERATION);
            break;
        case 2:
            status = clone_group_cancel(group, lu, OPERATION);
            break;
        case 3:
            status = clone_group_verify(group, lu, 0, OPERATION);
            break;
        case 4:
            status = clone_group_resume(group, OPERATION);
            break;
        default:
            status = clone_group_synchronize(group, lu, OPERATION);
            break;
        }
        CHECK(status == CLONE_GROUP_OK || status == CLONE_GROUP_PENDING
              || (status < 0 && status != CLONE_GROUP_ERR_INTERNAL));
        if (status >= 0) {
            accepted++;
            status = finish(OPERATION, status);
            CHECK(status <= 0 && status != CLONE_GROUP_ERR_INTERNAL);
        } else {
            refused++;
        }
        sched_yield();
    }
    pthread_mutex_lock(&lock);
    counts[2] += accepted;
    counts[3] += refused;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *destroy_always(void *argument)
{
    uint64_t refused = 0;

    (void)argument;
    while (!is_set(&stopping)) {
        CHECK_STATUS(CLONE_GROUP_ERR_BUSY, clone_group_destroy(array.group));
        refused++;
        sched_yield();
    }
    pthread_mutex_lock(&lock);
    counts[4] += refused;
    pthread_mutex_unlock(&lock);
    return NULL;
}

// --------------------------------------------------------------------- phases

static void sleep_some(void)
{
    struct timespec time = {MILLISECONDS_EACH / 1000,
                            MILLISECONDS_EACH % 1000 * 1000000L};

    nanosleep(&time, NULL);
}

// Hosts, one who asks, and one more kind of thread, for some time.
static void hammer(void *(*other)(void *))
{
    pthread_t threads[HOSTS + 2];
    uintptr_t index;

    stopping = 0; // nobody looks
    for (index = 0; index < HOSTS + 2; index++) {
        CHECK_EQUAL(0, pthread_create(&threads[index], NULL,
                                      index < HOSTS    ? serve_host
                                      : index == HOSTS ? ask
                                                       : other,
                                      (void *)index));
    }
    sleep_some();
    set(&stopping);
    for (index = 0; index < HOSTS + 2; index++) {
        CHECK_EQUAL(0, pthread_join(threads[index], NULL));
    }
}

#define ADMINISTER(call) CHECK_STATUS(CLONE_GROUP_OK, finish(OPERATION, call))

static void synchronize(uint32_t lu)
{
    struct clone_group_clone_info info;

    info.struct_size = sizeof info;
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_clone_query(array.group, lu, &info));
    if (info.state != CLONE_GROUP_CLONE_SYNCHRONIZED
        && info.state != CLONE_GROUP_CLONE_SYNCHRONIZING) {
        ADMINISTER(clone_group_synchronize(array.group, lu, OPERATION));
    }
    while (info.state != CLONE_GROUP_CLONE_SYNCHRONIZED) {
        sched_yield();
        CHECK_STATUS(CLONE_GROUP_OK,
                     clone_group_clone_query(array.group, lu, &info));
    }
}

static void live(void)
{
    struct clone_group *group = array.group;
    unsigned char data[512];
    uint32_t lu;

    ADMINISTER(clone_group_format(group, 0, OPERATION));
    memcpy(image, array.lu[0], sizeof image);
    for (lu = 1; lu <= CLONES; lu++) {
        ADMINISTER(clone_group_clone_add(group, lu, OPERATION));
    }
    hammer(administer);

    set(&hang_next);
    CHECK_STATUS(CLONE_GROUP_PENDING,
                 clone_group_host_read(group, 0, BLOCKS - 1, 1, data, 0, HUNG));
    while (is_set(&hang_next)) {
        sched_yield();
    }
    hammer(destroy_always);
    pthread_mutex_lock(&lock);
    array_move(&array, &hung);
    pthread_mutex_unlock(&lock);
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_io_complete(group, hung.id, 0));
    CHECK_STATUS(CLONE_GROUP_OK, finish(HUNG, CLONE_GROUP_PENDING));
    CHECK_EQUAL(0, memcmp(data, image + (BLOCKS - 1) * 512, sizeof data));

    ADMINISTER(clone_group_resume(group, OPERATION));
    for (lu = 1; lu <= CLONES; lu++) {
        synchronize(lu);
    }
    ADMINISTER(clone_group_close(group, OPERATION));
}

int main(int argc, char **argv)
{
    enum { HELPERS = 5 };
    void *(*const helpers[HELPERS])(void *) = {
        work, work, poll_always, poll_always, complete_nonsense};
    pthread_t threads[HELPERS];
    uintptr_t index;
    uint32_t lu;

    array_seed(argc, argv);
    array_init(&array, CLONES + 1);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_ops_init(&array.ops, sizeof array.ops));
    array.ops.read = array.ops.write = array.ops.flush = on_io;
    array.ops.persist_read = array.ops.persist_write = on_io;
    array.ops.persist_flush = on_io;
    array.ops.done = on_done;
    array.ops.event = on_event;
    array.lu_flags = CLONE_GROUP_LU_VOLATILE_CACHE;
    array_make(&array);
    array_open(&array);
    for (index = 0; index < HELPERS; index++) {
        CHECK_EQUAL(0, pthread_create(&threads[index], NULL, helpers[index],
                                      (void *)(index + array_random(1000))));
    }
    live();
    set(&stopping_all);
    for (index = 0; index < HELPERS; index++) {
        CHECK_EQUAL(0, pthread_join(threads[index], NULL));
    }
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(array.group));
    for (lu = 0; lu <= CLONES; lu++) {
        CHECK_EQUAL(0, memcmp(array.lu[lu], image, sizeof image));
    }
    printf("%llu nonsense completions, %llu rounds of queries, %llu operations "
           "(%llu refused), %llu times not destroyed\n",
           (unsigned long long)counts[0], (unsigned long long)counts[1],
           (unsigned long long)counts[2], (unsigned long long)counts[3],
           (unsigned long long)counts[4]);
    CHECK(counts[0] > 0 && counts[2] > 0 && counts[3] > 0 && counts[4] > 0);
    array_free(&array);
    return 0;
}
