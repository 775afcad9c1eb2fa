#include "array.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "pattern.h"

enum { FILES = LUS + 1, METADATA = LUS };
enum { QUEUE_ITEMS = 64 };

static const char *const FILE_NAMES[FILES] = {"source", "clone1", "clone2", "metadata"};
static const char *const GROUPS[] = {"", "a-", "b-"};

// I/Os that wait for a thread. A clone_group_io is valid only during its
// callback, so the queue holds copies; the buffer it points to stays.
struct queue {
    struct clone_group_io items[QUEUE_ITEMS];
    uint32_t first;
    uint32_t count;
};

struct array {
    int files[FILES];
    int durable_files[FILES];   // the same, O_DSYNC: for writes with FUA, which must
                                // not wait for all else that is in the cache
    struct clone_group *group;
    uint32_t workers_wanted;
    uint32_t workers_running;
    pthread_t workers[WORKERS_MOST];
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct queue urgent;        // somebody waits for these
    struct queue background;    // copies of the Sync Engine
    int closing;
};

// ------------------------------------------------------------------ the I/O

// An errno says what is wrong with the disk; the library and the hosts need only
// know that the I/O failed.
static int32_t failed(const char *what, uint32_t number)
{
    fprintf(stderr, "demo: cannot %s '%s': %s\n", what, FILE_NAMES[number], strerror(errno));
    return CLONE_GROUP_ERR_IO;
}

static int whole_read(int file, uint8_t *data, uint64_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t got = pread(file, data, bytes, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ENXIO; // the file ends too early: somebody has cut it
        if (got <= 0)
            return 0;
        data += got;
        offset += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return 1;
}

static int whole_write(int file, const uint8_t *data, uint64_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t put = pwrite(file, data, bytes, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return 0;
        data += put;
        offset += (uint64_t)put;
        bytes -= (uint64_t)put;
    }
    return 1;
}

static int32_t perform(const struct array *array, const struct clone_group_io *io)
{
    uint32_t number = io->lu == CLONE_GROUP_LU_NONE ? METADATA : io->lu;
    const int *files = io->flags & CLONE_GROUP_IO_FUA ? array->durable_files : array->files;
    uint8_t *data = io->flags & CLONE_GROUP_IO_HOST ? io->payload : io->buffer;

    switch (io->operation) {
    case CLONE_GROUP_IO_READ:
    case CLONE_GROUP_IO_PERSIST_READ:
        if (!whole_read(files[number], data, io->length_bytes, io->offset_bytes))
            return failed("read", number);
        return CLONE_GROUP_OK;
    case CLONE_GROUP_IO_WRITE:
    case CLONE_GROUP_IO_PERSIST_WRITE:
        if (!whole_write(files[number], data, io->length_bytes, io->offset_bytes))
            return failed("write", number);
        return CLONE_GROUP_OK;
    case CLONE_GROUP_IO_FLUSH:
    case CLONE_GROUP_IO_PERSIST_FLUSH:
        return fdatasync(files[number]) == 0 ? CLONE_GROUP_OK : failed("flush", number);
    default:
        return CLONE_GROUP_ERR_NOT_SUPPORTED;
    }
}

// --------------------------------------------------------------- the queues

static int queue_put(struct queue *queue, const struct clone_group_io *io)
{
    if (queue->count == QUEUE_ITEMS)
        return 0;
    queue->items[(queue->first + queue->count++) % QUEUE_ITEMS] = *io;
    return 1;
}

static int queue_take(struct queue *queue, struct clone_group_io *io)
{
    if (queue->count == 0)
        return 0;
    *io = queue->items[queue->first];
    queue->first = (queue->first + 1) % QUEUE_ITEMS;
    queue->count--;
    return 1;
}

// Host requests, copies that a host waits for and metadata go before the rest.
static int is_urgent(const struct clone_group_io *io)
{
    return io->lu == CLONE_GROUP_LU_NONE
        || (io->flags & (CLONE_GROUP_IO_HOST | CLONE_GROUP_IO_URGENT)) != 0;
}

int32_t array_submit(struct array *array, const struct clone_group_io *io)
{
    int taken;

    pthread_mutex_lock(&array->mutex);
    taken = queue_put(is_urgent(io) ? &array->urgent : &array->background, io);
    if (taken)
        pthread_cond_signal(&array->filled);
    pthread_mutex_unlock(&array->mutex);
    return taken ? CLONE_GROUP_PENDING : CLONE_GROUP_RETRY;
}

// Waits for an I/O. Returns 0 when the array closes.
static int next_io(struct array *array, struct clone_group_io *io)
{
    int found;

    pthread_mutex_lock(&array->mutex);
    while (!(found = queue_take(&array->urgent, io) || queue_take(&array->background, io))
           && !array->closing)
        pthread_cond_wait(&array->filled, &array->mutex);
    pthread_mutex_unlock(&array->mutex);
    return found;
}

static void *worker(void *argument)
{
    struct array *array = argument;
    struct clone_group_io io;

    while (next_io(array, &io)) {
        int32_t refused = clone_group_io_complete(array->group, io.id, perform(array, &io));

        if (refused != CLONE_GROUP_OK) {
            fprintf(stderr, "demo: the completion of an I/O was refused: %s\n",
                    clone_group_status_text(refused));
            abort();
        }
    }
    return NULL;
}

// --------------------------------------------------------- opening, closing

static int file_path(char *path, size_t size, const char *dir, const char *group, int number)
{
    int length = snprintf(path, size, "%s/%s%s", dir, group, FILE_NAMES[number]);

    return length > 0 && (size_t)length < size;
}

static int open_file(const struct settings *settings, int number, int flags)
{
    char path[4096];
    int file;

    if (!file_path(path, sizeof path, settings->dir, settings->group, number)) {
        fprintf(stderr, "demo: the path of the folder '%s' is too long\n", settings->dir);
        return -1;
    }
    file = open(path, O_RDWR | flags, 0600);
    if (file < 0)
        fprintf(stderr, "demo: cannot %s '%s': %s\n", flags & O_CREAT ? "create" : "open", path,
                strerror(errno));
    return file;
}

// Opens one file twice. Returns 0 after it has said what is wrong.
static int open_both(struct array *array, const struct settings *settings, int number,
                     uint64_t bytes, int create)
{
    array->files[number] = open_file(settings, number, create ? O_CREAT | O_EXCL : 0);
    if (array->files[number] < 0)
        return 0;
    if (create && ftruncate(array->files[number], (off_t)bytes) != 0) {
        fprintf(stderr, "demo: cannot make '%s/%s%s' %" PRIu64 " bytes long: %s\n", settings->dir,
                settings->group, FILE_NAMES[number], bytes, strerror(errno));
        return 0;
    }
    array->durable_files[number] = open_file(settings, number, O_DSYNC);
    return array->durable_files[number] >= 0;
}

// Gives up an array that is half open, and removes what was created for it.
static void array_abandon(struct array *array, const struct settings *settings, int created)
{
    char path[4096];

    for (int i = 0; i < FILES && created; i++)
        if (array->files[i] >= 0
            && file_path(path, sizeof path, settings->dir, settings->group, i))
            unlink(path);
    array_close(array);
}

struct array *array_open(const struct settings *settings, uint64_t metadata_bytes, int create)
{
    struct array *array = calloc(1, sizeof *array);

    if (array == NULL) {
        fputs("demo: no memory for the array\n", stderr);
        return NULL;
    }
    pthread_mutex_init(&array->mutex, NULL);
    pthread_cond_init(&array->filled, NULL);
    array->workers_wanted = settings->workers;
    for (int i = 0; i < FILES; i++)
        array->files[i] = array->durable_files[i] = -1;
    for (int i = 0; i < FILES; i++) {
        uint64_t bytes = i == METADATA ? metadata_bytes : settings->lu_blocks * BLOCK_BYTES;

        if (!open_both(array, settings, i, bytes, create)) {
            array_abandon(array, settings, create);
            return NULL;
        }
    }
    return array;
}

int array_start(struct array *array, struct clone_group *group)
{
    array->group = group;
    while (array->workers_running < array->workers_wanted) {
        int error = pthread_create(&array->workers[array->workers_running], NULL, worker, array);

        if (error != 0)
            return error;
        array->workers_running++;
    }
    return 0;
}

int array_peek(struct array *array, uint32_t lu, uint64_t offset, void *data, uint64_t bytes)
{
    return whole_read(array->files[lu], data, bytes, offset);
}

int array_poke(struct array *array, uint32_t lu, uint64_t offset, const void *data, uint64_t bytes)
{
    return whole_write(array->files[lu], data, bytes, offset);
}

uint64_t array_allocated_bytes(struct array *array, uint32_t lu)
{
    struct stat file = {0};

    fstat(array->files[lu], &file);
    return (uint64_t)file.st_blocks * 512;
}

void array_close(struct array *array)
{
    pthread_mutex_lock(&array->mutex);
    array->closing = 1;
    pthread_cond_broadcast(&array->filled);
    pthread_mutex_unlock(&array->mutex);
    for (uint32_t i = 0; i < array->workers_running; i++)
        pthread_join(array->workers[i], NULL);
    for (int i = 0; i < FILES; i++) {
        if (array->files[i] >= 0)
            close(array->files[i]);
        if (array->durable_files[i] >= 0)
            close(array->durable_files[i]);
    }
    pthread_cond_destroy(&array->filled);
    pthread_mutex_destroy(&array->mutex);
    free(array);
}

void array_remove_files(const char *dir)
{
    char path[4096];

    for (size_t group = 0; group < sizeof GROUPS / sizeof *GROUPS; group++)
        for (int i = 0; i < FILES; i++)
            if (file_path(path, sizeof path, dir, GROUPS[group], i))
                unlink(path);
}
