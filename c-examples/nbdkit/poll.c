// The callbacks of the library, and the thread that polls it. It never waits for a
// disk: what it asks for goes to the pool.
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "state.h"

enum { CALLBACKS = 64, EXTENTS_UNLIMITED = 256, HOSTS_BUSY_NS = 20000000 };
enum { SLEEP_MS = 100, SLEEP_FOR_TOKENS_MS = 2 };

_Thread_local enum io_place io_place;

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// ------------------------------------------------------------------- the I/O

static int perform_persistent(struct array *array, const struct clone_group_io *io)
{
    switch (io->operation) {
    case CLONE_GROUP_IO_PERSIST_READ:
        return metadata_read(&array->metadata, io->buffer, io->length_bytes, io->offset_bytes);
    case CLONE_GROUP_IO_PERSIST_WRITE:
        return metadata_write(&array->metadata, io->buffer, io->length_bytes, io->offset_bytes);
    default:
        return metadata_flush(&array->metadata);
    }
}

static int perform_lu(struct lu *lu, const struct clone_group_io *io)
{
    void *data = io->flags & CLONE_GROUP_IO_HOST ? io->payload : io->buffer;
    bool durable = (io->flags & CLONE_GROUP_IO_FUA) != 0;

    switch (io->operation) {
    case CLONE_GROUP_IO_READ:
        return lu_read(lu, data, io->length_bytes, io->offset_bytes);
    case CLONE_GROUP_IO_WRITE:
        return lu_write(lu, data, io->length_bytes, io->offset_bytes, durable);
    case CLONE_GROUP_IO_WRITE_ZEROES:
        return lu_zero(lu, io->length_bytes, io->offset_bytes, durable);
    case CLONE_GROUP_IO_DISCARD:
        return lu_discard(lu, io->length_bytes, io->offset_bytes, durable);
    default:
        return lu_flush(lu);
    }
}

static const char *operation_name(uint32_t operation)
{
    switch (operation) {
    case CLONE_GROUP_IO_READ:
    case CLONE_GROUP_IO_PERSIST_READ: return "read";
    case CLONE_GROUP_IO_FLUSH:
    case CLONE_GROUP_IO_PERSIST_FLUSH: return "flush";
    default: return "write";
    }
}

// A disk that fails does so often: a few lines a second say it.
static void log_failure(struct array *array, const struct clone_group_io *io, int error)
{
    enum { LINES_PER_S = 5 };
    uint64_t second = now_ns() / 1000000000;

    if (atomic_exchange(&array->failures_second, second) != second)
        atomic_store(&array->failures, 0);
    if (atomic_fetch_add(&array->failures, 1) < LINES_PER_S)
        log_error("cannot %s %" PRIu64 " bytes at %" PRIu64 " of '%s': %s",
                  operation_name(io->operation), io->length_bytes, io->offset_bytes,
                  io->lu == CLONE_GROUP_LU_NONE ? "metadata" : array->lus[io->lu].name,
                  strerror(error));
}

int32_t perform_io(void *context, const struct clone_group_io *io)
{
    struct array *array = context;
    int error = io->lu == CLONE_GROUP_LU_NONE ? perform_persistent(array, io)
                                              : perform_lu(&array->lus[io->lu], io);

    if (error == 0)
        return CLONE_GROUP_OK;
    log_failure(array, io, error);
    // The one error that hosts and operators do something about.
    return error == ENOSPC || error == EDQUOT ? CLONE_GROUP_ERR_NO_SPACE : CLONE_GROUP_ERR_IO;
}

// A host that waits anyway does its own I/O: no thread has to be woken. A write
// that goes to several LUs is quicker on several threads.
static bool is_done_here(struct array *array, const struct clone_group_io *io)
{
    if (io_place != IO_OF_HOST)
        return io_place == IO_HERE;
    return (io->flags & CLONE_GROUP_IO_HOST) != 0
        && (io->operation == CLONE_GROUP_IO_READ || atomic_load(&array->mirrors) == 0);
}

static bool is_background_read(const struct clone_group_io *io)
{
    return io->operation == CLONE_GROUP_IO_READ
        && (io->flags & (CLONE_GROUP_IO_HOST | CLONE_GROUP_IO_URGENT)) == 0;
}

static int32_t on_io(void *context, const struct clone_group_io *io)
{
    struct array *array = context;

    if (is_done_here(array, io))
        return perform_io(array, io);
    if (is_background_read(io)) {
        pthread_mutex_lock(&array->mutex);
        bucket_take(&array->bucket, io->length_bytes);
        pthread_mutex_unlock(&array->mutex);
    }
    return pool_submit(array->pool, io);
}

// ------------------------------------------------------- the other callbacks

static void on_done(void *context, uint64_t tag, int32_t status)
{
    struct request *request = (struct request *)(uintptr_t)tag;

    (void)context;
    request->status = status;
    sem_post(&request->over); // from here on the request may be gone
}

static bool is_trouble(const struct clone_group_event *event)
{
    switch (event->kind) {
    case CLONE_GROUP_EVENT_CLONE_FAILED:
    case CLONE_GROUP_EVENT_STALLED:
    case CLONE_GROUP_EVENT_METADATA_FAILED:
    case CLONE_GROUP_EVENT_PAGE_DAMAGED:
    case CLONE_GROUP_EVENT_CALLBACK_RESULT:
    case CLONE_GROUP_EVENT_MISMATCH:
        return true;
    default:
        return false;
    }
}

static void on_event(void *context, const struct clone_group_event *event)
{
    struct array *array = context;
    char name[16];

    history_add(&array->history, event);
    if (is_trouble(event))
        log_error("%s: %s (%s)", lu_name(event->lu, name), event->text,
                  clone_group_status_name(event->status));
    if (event->kind == CLONE_GROUP_EVENT_CLONE_STATE
        || event->kind == CLONE_GROUP_EVENT_SOURCE_CHANGED)
        note_clones(array, event->lu);
}

void poll_wake(struct array *array)
{
    pthread_mutex_lock(&array->mutex);
    array->woken = true;
    pthread_cond_signal(&array->woken_changed);
    pthread_mutex_unlock(&array->mutex);
}

static void on_wake(void *context)
{
    poll_wake(context);
}

static uint64_t on_clock(void *context)
{
    (void)context;
    return now_ns();
}

void callbacks_set(struct clone_group_ops *ops, struct array *array)
{
    clone_group_ops_init(ops, sizeof *ops);
    ops->context = array;
    ops->read = ops->write = ops->flush = ops->write_zeroes = on_io;
    ops->persist_read = ops->persist_write = ops->persist_flush = on_io;
    if (array_discards(array))
        ops->discard = on_io;
    ops->done = on_done;
    ops->event = on_event;
    ops->wake = on_wake;
    ops->clock = on_clock;
}

void note_clones(struct array *array, uint32_t changed_lu)
{
    uint32_t mirrors = 0;

    for (uint32_t lu = 1; lu <= array->settings.clones; lu++) {
        uint32_t state = array_clone(array, lu).state;
        bool copied = state == CLONE_GROUP_CLONE_SYNCHRONIZING
            || state == CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING;

        mirrors += copied || state == CLONE_GROUP_CLONE_SYNCHRONIZED;
        if (lu == changed_lu && (copied || state == CLONE_GROUP_CLONE_RESTORING))
            picture_begin(&array->picture, array->group, lu);
    }
    atomic_store(&array->mirrors, mirrors);
}

// ------------------------------------------------------------------- polling

static bool hosts_are_busy(struct array *array)
{
    return atomic_load(&array->hosts) > 0
        || now_ns() - atomic_load(&array->hosts_ns) < HOSTS_BUSY_NS;
}

// The extents that background copies may begin now: a whole piece at least, so
// that adjoining ones are one I/O.
static uint32_t budget(struct array *array)
{
    bool busy = hosts_are_busy(array);
    uint64_t extents;

    pthread_mutex_lock(&array->mutex);
    extents = bucket_allows(&array->bucket, now_ns(), busy) / array->settings.extent_bytes;
    pthread_mutex_unlock(&array->mutex);
    return extents < EXTENTS_UNLIMITED ? (uint32_t)extents : EXTENTS_UNLIMITED;
}

// Sleeps until there is something to do. Returns false when the array stops.
static bool sleep_until_woken(struct array *array, uint32_t most_ms)
{
    uint64_t until = now_ns() + (uint64_t)most_ms * 1000000;
    struct timespec time = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    int error = 0;
    bool goes_on;

    pthread_mutex_lock(&array->mutex);
    while (!array->woken && !array->stopping && error == 0)
        error = pthread_cond_timedwait(&array->woken_changed, &array->mutex, &time);
    array->woken = false; // before the poll: what happens during it is not slept over
    goes_on = !array->stopping;
    pthread_mutex_unlock(&array->mutex);
    return goes_on;
}

void *poll_forever(void *argument)
{
    struct array *array = argument;
    uint32_t sleep_ms = 0;

    while (sleep_until_woken(array, sleep_ms)) {
        uint32_t extents = budget(array);
        int32_t status = extents > 0 ? clone_group_sync_step(array->group, extents)
                                     : clone_group_cod_poll(array->group, CALLBACKS);

        if (status < 0)
            log_error("a poll failed: %s", clone_group_status_text(status));
        sleep_ms = status == CLONE_GROUP_MORE ? 0 : extents > 0 ? SLEEP_MS : SLEEP_FOR_TOKENS_MS;
    }
    return NULL;
}

int32_t poll_until_done(struct array *array, struct request *request, int32_t status)
{
    if (status != CLONE_GROUP_PENDING)
        return status;
    while (sem_trywait(&request->over) != 0)
        if ((status = clone_group_cod_poll(array->group, CALLBACKS)) < 0)
            return status;
    return request->status;
}
