// Goal: every call from any thread at once. Host threads read and write the
// Source, each its own blocks but all of them in the same extents; workers
// complete I/Os out of order; the main thread polls and administers, and host
// threads that wait poll too. Three phases: a Synchronization, a fractured
// Clone, a Protected Restore; in the first two a Verify too. In each of them a host reads what it wrote last,
// or what the phase began with; at the end the LUs are compared.

#include <pthread.h>
#include <sched.h>

#include "array.h"

enum {
    HOSTS = 4,
    WORKERS = 2,
    BLOCKS = 20 * 8 + 3,
    REQUESTS_PER_PHASE = 1500,
    QUEUE_MAX = 256
};

// The array serves one command at a time; commands wait in a list.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct array array;
static struct clone_group_io queue[QUEUE_MAX];
static uint32_t queue_count;
static int stopping;

// What is done: tag n is a request of host n, HOSTS the main thread's.
static int done[HOSTS + 1];
static int32_t done_status[HOSTS + 1];
static uint32_t synchronized_events;
static uint32_t restored_events;
static uint32_t verified_events;

// What the Source must hold. Host h owns the blocks with index % HOSTS == h.
static unsigned char image[BLOCKS * 512];

// ---------------------------------------------------------------- callbacks

// One in three is done at once, the others by a worker.
static int32_t on_io(void *context, const struct clone_group_io *io)
{
    int32_t result = CLONE_GROUP_PENDING;

    (void)context;
    pthread_mutex_lock(&lock);
    if (io->id % 3 == 0 || queue_count == QUEUE_MAX) {
        array_move(&array, io);
        result = CLONE_GROUP_OK;
    } else {
        queue[queue_count++] = *io;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void on_done(void *context, uint64_t tag, int32_t status)
{
    (void)context;
    pthread_mutex_lock(&lock);
    CHECK(tag <= HOSTS);
    CHECK(!done[tag]);
    done[tag] = 1;
    done_status[tag] = status;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_event(void *context, const struct clone_group_event *event)
{
    (void)context;
    pthread_mutex_lock(&lock);
    synchronized_events += event->kind == CLONE_GROUP_EVENT_SYNCHRONIZED;
    restored_events += event->kind == CLONE_GROUP_EVENT_RESTORED;
    verified_events += event->kind == CLONE_GROUP_EVENT_VERIFIED;
    // Hosts are no mismatch.
    CHECK(event->kind != CLONE_GROUP_EVENT_MISMATCH);
    pthread_mutex_unlock(&lock);
}

static void *work(void *argument)
{
    uint32_t pick = (uint32_t)(uintptr_t)argument;

    pthread_mutex_lock(&lock);
    while (!stopping || queue_count > 0) {
        if (queue_count == 0) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        pick = pick * 1664525 + 1013904223;
        {
            uint32_t index = (pick >> 16) % queue_count;
            struct clone_group_io io = queue[index];

            queue[index] = queue[--queue_count];
            array_move(&array, &io);
            pthread_mutex_unlock(&lock);
            CHECK_STATUS(CLONE_GROUP_OK,
                         clone_group_io_complete(array.group, io.id, 0));
            pthread_mutex_lock(&lock);
        }
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

// ------------------------------------------------------------------ waiting

static int is_done(uint64_t tag, int32_t *status)
{
    int is;

    pthread_mutex_lock(&lock);
    is = done[tag];
    if (is) {
        *status = done_status[tag];
        done[tag] = 0;
    }
    pthread_mutex_unlock(&lock);
    return is;
}

static void check_poll(int32_t status)
{
    CHECK(status == CLONE_GROUP_OK || status == CLONE_GROUP_PENDING
          || status == CLONE_GROUP_MORE);
}

// Waits for the request with this tag; polls like everybody else.
static int32_t finish(uint64_t tag, int32_t status)
{
    uint32_t polls = 0;

    if (status != CLONE_GROUP_PENDING) {
        return status;
    }
    while (!is_done(tag, &status)) {
        CHECK(++polls < 50000000);
        check_poll(clone_group_cod_poll(array.group, 4));
        sched_yield();
    }
    return status;
}

// -------------------------------------------------------------------- hosts

struct host {
    pthread_t thread;
    uint64_t number;
    uint32_t random;
    uint32_t stamp;
};

static struct host hosts[HOSTS];

static uint32_t pick(struct host *host, uint32_t bound)
{
    host->random = host->random * 1664525 + 1013904223;
    return (host->random >> 12) % bound;
}

static uint64_t own_block(struct host *host)
{
    uint64_t block = pick(host, BLOCKS) / HOSTS * HOSTS + host->number;

    return block < BLOCKS ? block : host->number;
}

static void read_block(struct host *host, uint64_t block)
{
    unsigned char data[512];
    int32_t status;

    memset(data, 0x5A, sizeof data);
    do {
        status = finish(host->number,
                        clone_group_host_read(array.group, 0, block, 1, data, 0,
                                              host->number));
    } while (status == CLONE_GROUP_ERR_BUSY);
    CHECK_STATUS(CLONE_GROUP_OK, status);
    CHECK_EQUAL(0, memcmp(data, image + block * 512, sizeof data));
}

static void write_block(struct host *host, uint64_t block)
{
    unsigned char *data = image + block * 512;
    int32_t status;

    array_fill(data, block, 1, 512, ++host->stamp);
    do {
        status = finish(host->number,
                        clone_group_host_write(array.group, 0, block, 1, data,
                                               0, host->number));
    } while (status == CLONE_GROUP_ERR_BUSY);
    CHECK_STATUS(CLONE_GROUP_OK, status);
}

static void *serve_host(void *argument)
{
    struct host *host = argument;
    uint32_t request;

    for (request = 0; request < REQUESTS_PER_PHASE; request++) {
        uint64_t block = own_block(host);
        uint32_t kind = pick(host, 10);

        if (kind < 5) {
            write_block(host, block);
        } else if (kind < 9) {
            read_block(host, block);
        } else {
            struct clone_group_info info;

            info.struct_size = sizeof info;
            CHECK_STATUS(CLONE_GROUP_OK,
                         clone_group_query(array.group, &info));
            CHECK_STATUS(CLONE_GROUP_OK,
                         finish(host->number,
                                clone_group_host_flush(array.group, 0,
                                                       host->number)));
        }
    }
    return NULL;
}

static void start_hosts(void)
{
    uint32_t index;

    for (index = 0; index < HOSTS; index++) {
        hosts[index].number = index;
        hosts[index].random += (uint32_t)array_random(UINT32_MAX);
        hosts[index].stamp += index * 50;
        CHECK_EQUAL(0, pthread_create(&hosts[index].thread, NULL, serve_host,
                                      &hosts[index]));
    }
}

static void join_hosts(void)
{
    uint32_t index;

    for (index = 0; index < HOSTS; index++) {
        CHECK_EQUAL(0, pthread_join(hosts[index].thread, NULL));
    }
}

// ------------------------------------------------------------------- phases

static int has_happened(const uint32_t *events, uint32_t count)
{
    int has;

    pthread_mutex_lock(&lock);
    has = *events >= count;
    pthread_mutex_unlock(&lock);
    return has;
}

static void sync_until(const uint32_t *events, uint32_t count)
{
    uint32_t polls = 0;

    while (!has_happened(events, count)) {
        CHECK(++polls < 50000000);
        check_poll(clone_group_sync_step(array.group, 1));
        sched_yield();
    }
}

static void settle(void)
{
    int32_t status;
    uint32_t polls = 0;

    do {
        CHECK(++polls < 50000000);
        status = clone_group_sync_step(array.group, 4);
        check_poll(status);
        sched_yield();
    } while (status != CLONE_GROUP_OK);
}

static void check_lu(uint32_t lu, const unsigned char *expected)
{
    pthread_mutex_lock(&lock);
    CHECK_EQUAL(0, memcmp(array.lu[lu], expected, sizeof image));
    pthread_mutex_unlock(&lock);
}

#define MAIN HOSTS
#define ADMINISTER(call) CHECK_STATUS(CLONE_GROUP_OK, finish(MAIN, call))

static void live(void)
{
    static unsigned char point[sizeof image];
    struct clone_group *group = array.group;
    uint32_t verifies;

    ADMINISTER(clone_group_format(group, 0, MAIN));
    memcpy(image, array.lu[0], sizeof image);
    ADMINISTER(clone_group_clone_add(group, 1, MAIN));

    start_hosts();
    ADMINISTER(clone_group_synchronize(group, 1, MAIN));
    sync_until(&synchronized_events, 1);
    join_hosts();
    settle();
    check_lu(0, image);
    check_lu(1, image);

    start_hosts();
    for (verifies = 1; verifies <= 8; verifies++) {
        ADMINISTER(clone_group_verify(group, 1, 0, MAIN));
        sync_until(&verified_events, verifies);
    }
    join_hosts();
    settle();

    memcpy(point, image, sizeof image);
    ADMINISTER(clone_group_fracture(group, 1, NULL, 0, MAIN));
    start_hosts();
    ADMINISTER(clone_group_verify(group, 1, 0, MAIN));
    sync_until(&verified_events, verifies);
    join_hosts();
    settle();
    check_lu(0, image);
    check_lu(1, point);

    ADMINISTER(clone_group_protected_restore(group, 1, MAIN));
    memcpy(image, point, sizeof image);
    start_hosts();
    sync_until(&restored_events, 1);
    join_hosts();
    settle();
    check_lu(0, image);
    check_lu(1, point);

    // Again, with nobody but the hosts to poll: copies on demand only.
    ADMINISTER(clone_group_protected_restore(group, 1, MAIN));
    memcpy(image, point, sizeof image);
    start_hosts();
    join_hosts();
    sync_until(&restored_events, 2);
    settle();
    check_lu(0, image);
    check_lu(1, point);
    ADMINISTER(clone_group_close(group, MAIN));
}

static void take_callbacks(void)
{
    struct clone_group_ops *ops = &array.ops;

    CHECK_STATUS(CLONE_GROUP_OK, clone_group_ops_init(ops, sizeof *ops));
    ops->read = on_io;
    ops->write = on_io;
    ops->flush = on_io;
    ops->persist_read = on_io;
    ops->persist_write = on_io;
    ops->persist_flush = on_io;
    ops->done = on_done;
    ops->event = on_event;
}

int main(int argc, char **argv)
{
    pthread_t workers[WORKERS];
    uint32_t index;

    array_seed(argc, argv);
    array_init(&array, 2);
    array.config.lu_blocks = BLOCKS;
    take_callbacks();
    array_make(&array);
    array_open(&array);
    for (index = 0; index < WORKERS; index++) {
        CHECK_EQUAL(0, pthread_create(&workers[index], NULL, work,
                                      (void *)(uintptr_t)(index + 1)));
    }
    live();
    pthread_mutex_lock(&lock);
    stopping = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (index = 0; index < WORKERS; index++) {
        CHECK_EQUAL(0, pthread_join(workers[index], NULL));
    }
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(array.group));
    array_free(&array);
    return 0;
}
