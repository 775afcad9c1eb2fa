#include "hosts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pattern.h"

enum { SMALL_BLOCKS = 64, WHOLE_EXTENTS = 2 }; // sizes of requests, at most
enum { THINK_LEAST_US = 1000, THINK_MOST_US = 5000, EXTENTS_OF_A_GIB = 16384 };
enum operation { READ_SOURCE, READ_CLONE, WRITE, WRITE_FUA, FLUSH };

struct host {
    struct hosts *all;
    pthread_t thread;
    uint64_t random;
    uint64_t first;     // the range it is busy with: no two hosts overlap, as
    uint64_t count;     // no file system lets its own requests overlap
    uint64_t tag;       // of its write in flight, or 0
    uint32_t contents;  // `contents` of all hosts when it took the range
    uint8_t *data;
};

struct hosts {
    struct controller *controller;
    struct record *record;
    const struct settings *settings;
    const struct extents *corrupted;
    uint32_t unchanged_clone;   // a Clone that holds what the Source was filled with, or 0
    pthread_mutex_t mutex;  // guards ranges and tags of all hosts, record and figures
    uint32_t running;
    int stopping;
    int may_be_refused;     // the Source is about to become invalid
    uint32_t refused;
    uint32_t contents;      // counts replacements of the Source; odd: one is under way
    struct host host[HOSTS_MOST];
};

// ------------------------------------------------------------- what to do

static enum operation choose_operation(struct host *host)
{
    switch (random_below(&host->random, 64)) {
    case 0: return FLUSH;
    case 1:
    case 2: return host->all->unchanged_clone != 0 ? READ_CLONE : READ_SOURCE;
    case 3:
    case 4: return WRITE_FUA;
    default: return random_below(&host->random, 2) ? WRITE : READ_SOURCE;
    }
}

// Mostly a few blocks anywhere, sometimes whole extents; every fourth time where
// the data was corrupted.
static void choose_range(struct host *host, uint64_t *first, uint64_t *count)
{
    const struct settings *settings = host->all->settings;
    const struct extents *corrupted = host->all->corrupted;
    uint32_t small = settings->extent_blocks < SMALL_BLOCKS ? settings->extent_blocks
                                                            : SMALL_BLOCKS;
    uint64_t extent = random_below(&host->random, 4) == 0
        ? corrupted->extents[random_below(&host->random, corrupted->count)]
        : random_below(&host->random, settings->extents);

    *first = extent * settings->extent_blocks;
    if (random_below(&host->random, 8) == 0) {
        *count = settings->extent_blocks * (1 + random_below(&host->random, WHOLE_EXTENTS));
    } else {
        *first += random_below(&host->random, settings->extent_blocks);
        *count = 1 + random_below(&host->random, small);
    }
    if (*first >= settings->lu_blocks) // the last extent may be short
        *first = settings->lu_blocks - 1;
    if (*count > settings->lu_blocks - *first)
        *count = settings->lu_blocks - *first;
}

// Takes the range if no other host is busy there, and numbers the write.
static int claim(struct host *host, uint64_t first, uint64_t count, int writes)
{
    struct hosts *all = host->all;
    int is_free = 1;

    pthread_mutex_lock(&all->mutex);
    for (uint32_t i = 0; i < all->settings->hosts; i++) {
        const struct host *other = &all->host[i];

        if (other->count > 0 && first < other->first + other->count
            && other->first < first + count)
            is_free = 0;
    }
    if (is_free) {
        host->first = first;
        host->count = count;
        host->contents = all->contents;
        if (writes) {
            host->tag = ++all->record->last_tag;
            record_submit(all->record, first, count, host->tag);
        }
    }
    pthread_mutex_unlock(&all->mutex);
    return is_free;
}

static void release(struct host *host, struct histogram *histogram, uint64_t began_ns)
{
    pthread_mutex_lock(&host->all->mutex);
    histogram_add(histogram, now_ns() - began_ns);
    host->count = 0;
    host->tag = 0;
    pthread_mutex_unlock(&host->all->mutex);
}

static void complain(struct host *host, const char *what, uint64_t block, uint64_t found)
{
    pthread_mutex_lock(&host->all->mutex);
    check(&host->all->record->figures, 0, "host thread: %s, block %" PRIu64 ", tag %" PRIx64
          " in place of %" PRIx64, what, block, found,
          (uint64_t)host->all->record->blocks[block].acknowledged);
    pthread_mutex_unlock(&host->all->mutex);
}

static void complain_status(struct host *host, const char *what, int32_t status)
{
    pthread_mutex_lock(&host->all->mutex);
    if (host->all->may_be_refused && status == CLONE_GROUP_ERR_SOURCE_INVALID) {
        host->all->refused++;
        host->all->stopping = 1;
        pthread_mutex_unlock(&host->all->mutex);
        return;
    }
    check(&host->all->record->figures, 0, "host thread: %s of %" PRIu64 " blocks at %" PRIu64
          " returned %s", what, host->count, host->first, clone_group_status_name(status));
    pthread_mutex_unlock(&host->all->mutex);
}

// ------------------------------------------- when the Source is replaced

// Was the Source given another content while the request was under way? If so,
// returns when that is over: it is not known whether the request came before it.
static int replaced_meanwhile(struct host *host)
{
    static const struct timespec A_MOMENT = {0, 1000000};
    struct hosts *all = host->all;
    int replaced;

    pthread_mutex_lock(&all->mutex);
    replaced = host->contents % 2 != 0 || all->contents != host->contents;
    while (all->contents % 2 != 0) {
        pthread_mutex_unlock(&all->mutex);
        nanosleep(&A_MOMENT, NULL);
        pthread_mutex_lock(&all->mutex);
    }
    pthread_mutex_unlock(&all->mutex);
    return replaced;
}

// Finds out what became of such a write: each block is as in the new content, or written.
static void settle_write(struct host *host)
{
    struct hosts *all = host->all;
    struct request request = {0};
    int32_t status = controller_wait(
        all->controller, &request,
        clone_group_host_read(all->controller->group, 0, host->first, host->count, host->data,
                              0, REQUEST_TAG(&request)));

    if (status != CLONE_GROUP_OK) {
        complain_status(host, "a read", status);
        return;
    }
    for (uint64_t i = 0; i < host->count; i++) {
        uint64_t block = host->first + i;
        uint64_t tag;

        if (!pattern_tag(host->data + i * BLOCK_BYTES, all->settings->seed, block, &tag)
            || (tag != host->tag && tag != all->record->blocks[block].acknowledged)) {
            complain(host, "a write met a replacement and left the wrong data", block, tag);
            return;
        }
        record_settle(all->record, block, tag);
    }
}

void hosts_replace_begin(struct hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    hosts->contents++;
    pthread_mutex_unlock(&hosts->mutex);
}

void hosts_replace_end(struct hosts *hosts, const struct extents *tuesday)
{
    pthread_mutex_lock(&hosts->mutex);
    record_replace_all(hosts->record, hosts->settings, tuesday);
    hosts->contents++;
    pthread_mutex_unlock(&hosts->mutex);
}

// ------------------------------------------------------------- to do it

// Every block must be the last acknowledged write of it: the range is this
// host's own, so nothing is in flight. The Clone must be as it was.
static void check_read(struct host *host, uint32_t lu)
{
    const struct hosts *all = host->all;

    for (uint64_t i = 0; i < host->count; i++) {
        uint64_t block = host->first + i;
        uint64_t expected = lu == 0 ? all->record->blocks[block].acknowledged : TAG_ORIGINAL;
        uint64_t tag;

        if (!pattern_tag(host->data + i * BLOCK_BYTES, all->settings->seed, block, &tag)) {
            complain(host, "a read returned a damaged block", block, tag);
            return;
        }
        if (tag != expected) {
            complain(host, "a read returned the wrong data", block, tag);
            return;
        }
    }
}

static void read_and_check(struct host *host, uint32_t lu)
{
    struct hosts *all = host->all;
    struct request request = {0};
    uint64_t began_ns = now_ns();
    int32_t status = controller_wait(
        all->controller, &request,
        clone_group_host_read(all->controller->group, lu, host->first, host->count, host->data,
                              0, REQUEST_TAG(&request)));

    if (status != CLONE_GROUP_OK)
        complain_status(host, "a read", status);
    else if (!replaced_meanwhile(host))
        check_read(host, lu);
    release(host, &all->record->figures.reads, began_ns);
}

static void write_and_record(struct host *host, uint32_t flags)
{
    struct hosts *all = host->all;
    struct request request = {0};
    uint64_t began_ns;
    int32_t status;

    for (uint64_t i = 0; i < host->count; i++)
        pattern_make(host->data + i * BLOCK_BYTES, all->settings->seed, host->first + i,
                     host->tag);
    began_ns = now_ns();
    status = controller_wait(
        all->controller, &request,
        clone_group_host_write(all->controller->group, 0, host->first, host->count, host->data,
                               flags, REQUEST_TAG(&request)));
    if (status != CLONE_GROUP_OK)
        complain_status(host, "a write", status);
    else if (replaced_meanwhile(host))
        settle_write(host);
    else
        record_acknowledge(all->record, host->first, host->count, host->tag,
                           flags != 0 || all->settings->host_durable);
    release(host, &all->record->figures.writes, began_ns);
}

// A flush makes durable what was acknowledged before it: all tags below those
// that are in flight when it is submitted.
static void flush_and_record(struct host *host)
{
    struct hosts *all = host->all;
    struct record *record = all->record;
    struct request request = {0};
    uint64_t covered;
    int32_t status;

    pthread_mutex_lock(&all->mutex);
    covered = record->last_tag;
    for (uint32_t i = 0; i < all->settings->hosts; i++)
        if (all->host[i].tag != 0 && all->host[i].tag <= covered)
            covered = all->host[i].tag - 1;
    pthread_mutex_unlock(&all->mutex);

    status = controller_wait(
        all->controller, &request,
        clone_group_host_flush(all->controller->group, 0, REQUEST_TAG(&request)));
    if (status != CLONE_GROUP_OK) {
        complain_status(host, "a flush", status);
        return;
    }
    pthread_mutex_lock(&all->mutex);
    if (covered > record->flushed_tag)
        record->flushed_tag = covered;
    pthread_mutex_unlock(&all->mutex);
}

static void one_request(struct host *host)
{
    enum operation operation = choose_operation(host);
    int writes = operation == WRITE || operation == WRITE_FUA;
    uint64_t first, count;

    if (operation == FLUSH) {
        flush_and_record(host);
        return;
    }
    do
        choose_range(host, &first, &count);
    while (!claim(host, first, count, writes));
    if (writes)
        write_and_record(host, operation == WRITE_FUA ? CLONE_GROUP_HOST_FUA : 0);
    else
        read_and_check(host, operation == READ_CLONE ? host->all->unchanged_clone : 0);
}

static int is_stopping(struct hosts *hosts)
{
    int stopping;

    pthread_mutex_lock(&hosts->mutex);
    stopping = hosts->stopping || hosts->record->figures.failures > 0;
    pthread_mutex_unlock(&hosts->mutex);
    return stopping;
}

// Between two requests. On a small Source hosts are slower, so that they leave
// something to the Sync Engine.
static void think(struct host *host)
{
    uint64_t most_us = THINK_LEAST_US * (uint64_t)EXTENTS_OF_A_GIB / host->all->settings->extents;
    struct timespec time = {0, 0};

    if (most_us < THINK_LEAST_US)
        most_us = THINK_LEAST_US;
    if (most_us > THINK_MOST_US)
        most_us = THINK_MOST_US;
    time.tv_nsec = (long)random_below(&host->random, most_us * 1000);
    nanosleep(&time, NULL);
}

static void *host_thread(void *argument)
{
    struct host *host = argument;

    while (!is_stopping(host->all)) {
        one_request(host);
        think(host);
    }
    pthread_mutex_lock(&host->all->mutex);
    host->all->running--;
    pthread_mutex_unlock(&host->all->mutex);
    return NULL;
}

// -------------------------------------------------------- starting, stopping

static void start_one(struct hosts *hosts, struct host *host, uint64_t random)
{
    uint64_t most = (uint64_t)hosts->settings->extent_blocks * WHOLE_EXTENTS;

    host->all = hosts;
    host->random = random;
    host->data = malloc(most * BLOCK_BYTES);
    if (host->data == NULL)
        give_up("no memory for the buffers of %" PRIu32 " host threads", hosts->settings->hosts);
    if (pthread_create(&host->thread, NULL, host_thread, host) != 0)
        give_up("cannot start %" PRIu32 " host threads", hosts->settings->hosts);
}

struct hosts *hosts_start(struct controller *controller, struct record *record,
                          const struct settings *settings, const struct extents *corrupted,
                          uint32_t unchanged_clone)
{
    struct hosts *hosts = calloc(1, sizeof *hosts);
    // The second life of the array must not repeat the requests of the first.
    uint64_t random = settings->seed ^ (record->last_tag << 8);

    if (hosts == NULL)
        give_up("no memory for the hosts");
    hosts->controller = controller;
    hosts->record = record;
    hosts->settings = settings;
    hosts->corrupted = corrupted;
    hosts->unchanged_clone = unchanged_clone;
    hosts->running = settings->hosts;
    pthread_mutex_init(&hosts->mutex, NULL);
    for (uint32_t i = 0; i < settings->hosts; i++)
        start_one(hosts, &hosts->host[i], random_next(&random));
    return hosts;
}

void hosts_must_be_content(struct hosts *hosts)
{
    uint32_t failures;

    pthread_mutex_lock(&hosts->mutex);
    failures = hosts->record->figures.failures;
    pthread_mutex_unlock(&hosts->mutex);
    if (failures > 0)
        give_up("stopped, because hosts found wrong data or had errors");
}

void hosts_expect_refusal(struct hosts *hosts)
{
    pthread_mutex_lock(&hosts->mutex);
    hosts->may_be_refused = 1;
    pthread_mutex_unlock(&hosts->mutex);
}

uint32_t hosts_stop(struct hosts *hosts)
{
    uint32_t running;
    uint32_t refused;

    pthread_mutex_lock(&hosts->mutex);
    hosts->stopping = !hosts->may_be_refused; // otherwise the first that is refused stops all
    pthread_mutex_unlock(&hosts->mutex);
    do { // what they wait for comes only if somebody polls
        controller_poll(hosts->controller, 0, 1);
        pthread_mutex_lock(&hosts->mutex);
        running = hosts->running;
        pthread_mutex_unlock(&hosts->mutex);
    } while (running > 0);
    for (uint32_t i = 0; i < hosts->settings->hosts; i++) {
        pthread_join(hosts->host[i].thread, NULL);
        free(hosts->host[i].data);
    }
    refused = hosts->refused;
    pthread_mutex_destroy(&hosts->mutex);
    free(hosts);
    return refused;
}
