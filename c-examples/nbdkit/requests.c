// What hosts and operators ask for. Each call waits until it is done.
#include <errno.h>
#include <string.h>
#include <time.h>

#include "state.h"

static void request_init(struct request *request)
{
    request->status = CLONE_GROUP_OK;
    sem_init(&request->over, 0, 0);
}

static uint64_t tag(const struct request *request)
{
    return (uint64_t)(uintptr_t)request;
}

static int32_t wait_for(struct request *request, int32_t status)
{
    if (status == CLONE_GROUP_PENDING) {
        while (sem_wait(&request->over) != 0) {} // a signal came
        status = request->status;
    }
    sem_destroy(&request->over);
    return status;
}

// ---------------------------------------------------------------------- hosts

struct range {
    uint32_t lu;
    uint64_t first_block;
    uint64_t block_count;
    void *data;
    uint32_t flags;
};

typedef int32_t submit(struct clone_group *group, const struct range *range, uint64_t tag);

static int32_t submit_read(struct clone_group *group, const struct range *range, uint64_t tag)
{
    return clone_group_host_read(group, range->lu, range->first_block, range->block_count,
                                 range->data, 0, tag);
}

static int32_t submit_write(struct clone_group *group, const struct range *range, uint64_t tag)
{
    return clone_group_host_write(group, range->lu, range->first_block, range->block_count,
                                  range->data, range->flags, tag);
}

static int32_t submit_zero(struct clone_group *group, const struct range *range, uint64_t tag)
{
    return clone_group_host_write_zeroes(group, range->lu, range->first_block,
                                         range->block_count, range->flags, tag);
}

static int32_t submit_discard(struct clone_group *group, const struct range *range, uint64_t tag)
{
    return clone_group_host_discard(group, range->lu, range->first_block, range->block_count,
                                    range->flags, tag);
}

static int32_t submit_flush(struct clone_group *group, const struct range *range, uint64_t tag)
{
    return clone_group_host_flush(group, range->lu, tag);
}

// Where every slot of the library is taken, one is free as soon as any request is done.
static int32_t submit_when_free(struct array *array, submit *submit, const struct range *range,
                                struct request *request)
{
    static const struct timespec A_MOMENT = {.tv_nsec = 200000};
    int32_t status;

    io_place = IO_OF_HOST;
    while ((status = submit(array->group, range, tag(request))) == CLONE_GROUP_ERR_BUSY)
        nanosleep(&A_MOMENT, NULL);
    io_place = IO_BY_POOL;
    return status;
}

static int32_t host_request(struct array *array, submit *submit, const struct range *range)
{
    struct request request;
    int32_t status;

    request_init(&request);
    atomic_fetch_add(&array->hosts, 1);
    atomic_store(&array->hosts_ns, now_ns());
    status = submit_when_free(array, submit, range, &request);
    status = wait_for(&request, status);
    atomic_fetch_sub(&array->hosts, 1);
    return status;
}

static struct range range(struct array *array, uint32_t lu, void *data, uint64_t bytes,
                          uint64_t offset, bool durable)
{
    uint32_t block_bytes = array->settings.block_bytes;

    return (struct range){lu, offset / block_bytes, bytes / block_bytes, data,
                          durable ? CLONE_GROUP_HOST_FUA : 0};
}

int32_t array_read(struct array *array, uint32_t lu, void *data, uint64_t bytes, uint64_t offset)
{
    struct range read = range(array, lu, data, bytes, offset, false);

    return host_request(array, submit_read, &read);
}

int32_t array_write(struct array *array, uint32_t lu, const void *data, uint64_t bytes,
                    uint64_t offset, bool durable)
{
    struct range write = range(array, lu, (void *)(uintptr_t)data, bytes, offset, durable);

    return host_request(array, submit_write, &write);
}

int32_t array_zero(struct array *array, uint32_t lu, uint64_t bytes, uint64_t offset,
                   bool durable)
{
    struct range zero = range(array, lu, NULL, bytes, offset, durable);

    return host_request(array, submit_zero, &zero);
}

int32_t array_discard(struct array *array, uint32_t lu, uint64_t bytes, uint64_t offset,
                      bool durable)
{
    struct range discard = range(array, lu, NULL, bytes, offset, durable);

    return host_request(array, submit_discard, &discard);
}

int32_t array_flush(struct array *array, uint32_t lu)
{
    struct range flush = {.lu = lu};

    return host_request(array, submit_flush, &flush);
}

// Something is being copied to the Source: its file does not say what hosts read.
static bool source_is_copied(const struct clone_group_info *info)
{
    return info->restoring_lu != 0 || info->reversing_lu != 0
        || (info->conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID) != 0;
}

int array_run(struct array *array, uint32_t lu, uint64_t offset, uint64_t limit, uint64_t *end,
              bool *zeroes)
{
    struct clone_group_info before = array_info(array);
    int error = lu_run(&array->lus[lu], offset, limit, end, zeroes);
    struct clone_group_info after = array_info(array);
    bool known = lu == CLONE_GROUP_LU_SOURCE
        ? !source_is_copied(&before) && !source_is_copied(&after)
            && before.restore_generation == after.restore_generation
        : array_clone(array, lu).state == CLONE_GROUP_CLONE_FRACTURED;

    if (error == 0 && !known) {
        *end = limit;
        *zeroes = false;
    }
    return error;
}

// ------------------------------------------------------------------ operators

int32_t array_operate(struct array *array, array_begin *begin, const void *arguments)
{
    struct request request;
    int32_t status;

    request_init(&request);
    status = begin(array->group, arguments, tag(&request));
    if (!array->poller_runs)
        status = poll_until_done(array, &request, status);
    else if (status == CLONE_GROUP_PENDING)
        poll_wake(array);
    return wait_for(&request, status);
}

struct clone_group_info array_info(struct array *array)
{
    struct clone_group_info info = {.struct_size = sizeof info};

    clone_group_query(array->group, &info);
    return info;
}

struct clone_group_clone_info array_clone(struct array *array, uint32_t lu)
{
    struct clone_group_clone_info info = {.struct_size = sizeof info, .lu = lu};

    clone_group_clone_query(array->group, lu, &info);
    return info;
}

struct rate array_rate(struct array *array)
{
    struct rate rate;

    pthread_mutex_lock(&array->mutex);
    rate = array->bucket.rate;
    pthread_mutex_unlock(&array->mutex);
    return rate;
}

int array_set_rate(struct array *array, struct rate rate)
{
    struct settings settings = array->settings;
    int saved;

    pthread_mutex_lock(&array->settings_mutex);
    pthread_mutex_lock(&array->mutex);
    bucket_set(&array->bucket, rate);
    pthread_mutex_unlock(&array->mutex);
    settings.rate = rate;
    saved = settings_save(&settings, array->folder, true);
    pthread_mutex_unlock(&array->settings_mutex);
    return saved;
}

// -------------------------------------------------------------------- pictures

struct drawing {
    struct array *array;
    struct picture *picture;
};

static void mark(void *context, const struct clone_group_io *io)
{
    const struct drawing *drawing = context;
    uint64_t extent_bytes = drawing->array->settings.extent_bytes;
    uint64_t first = io->offset_bytes / extent_bytes;

    if (io->length_bytes > 0)
        picture_copying(drawing->picture, first,
                        (io->offset_bytes + io->length_bytes - 1) / extent_bytes - first + 1);
}

static void mark_copies(void *context, struct picture *picture)
{
    struct drawing drawing = {context, picture};

    pool_copies(drawing.array->pool, mark, &drawing);
}

int32_t array_picture(struct array *array, uint32_t lu, struct cell *cells, uint32_t count)
{
    return picture_draw(&array->picture, array->group, lu, mark_copies, array, cells, count);
}
