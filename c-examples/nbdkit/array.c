#include "array.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "state.h"

enum { REQUESTS_MOST = 512, COPIES_MOST = 8, PAGE_WRITES_MOST = 8, COPY_BYTES = 1 << 20 };

const char *clone_state_name(uint32_t state)
{
    static const char *const NAMES[] = {
        [CLONE_GROUP_CLONE_ABSENT] = "Absent",
        [CLONE_GROUP_CLONE_OUT_OF_SYNC] = "OutOfSync",
        [CLONE_GROUP_CLONE_SYNCHRONIZING] = "Synchronizing",
        [CLONE_GROUP_CLONE_SYNCHRONIZED] = "Synchronized",
        [CLONE_GROUP_CLONE_FRACTURED] = "Fractured",
        [CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING] = "ReverseSynchronizing",
        [CLONE_GROUP_CLONE_RESTORING] = "Restoring",
    };

    return state < sizeof NAMES / sizeof *NAMES ? NAMES[state] : "Unknown";
}

// The library speaks to programmers, and of its persistent area only.
const char *status_text(int32_t status)
{
    switch (status) {
    case CLONE_GROUP_ERR_NO_SPACE: return "the file system of the array is full";
    case CLONE_GROUP_ERR_STATE: return "the present state does not allow it";
    case CLONE_GROUP_ERR_BUSY: return "another operation runs: try again";
    default: return clone_group_status_text(status);
    }
}

const char *lu_name(uint32_t lu, char name[16])
{
    if (lu == CLONE_GROUP_LU_NONE)
        snprintf(name, 16, "group");
    else if (lu == CLONE_GROUP_LU_SOURCE)
        snprintf(name, 16, "source");
    else
        snprintf(name, 16, "clone%" PRIu32, lu);
    return name;
}

struct clone_group *array_group(struct array *array)
{
    return array->group;
}

const struct settings *array_settings(const struct array *array)
{
    return &array->settings;
}

struct history *array_history(struct array *array)
{
    return &array->history;
}

bool array_discards(const struct array *array)
{
    for (uint32_t lu = 0; lu < array->lus_open; lu++)
        if (!array->lus[lu].discards)
            return false;
    return true;
}

// ----------------------------------------------------------------- the files

static int open_folder(struct array *array)
{
    const char *name = array->settings.folder;

    if (mkdir(name, 0700) != 0 && errno != EEXIST) {
        log_error("cannot make the folder '%s': %s", name, strerror(errno));
        return -1;
    }
    array->folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (array->folder < 0)
        log_error("cannot open the folder '%s': %s", name, strerror(errno));
    return array->folder < 0 ? -1 : 0;
}

// A folder with files but without `group.json` is none of ours, or has lost it:
// nothing there is overwritten.
static int check_is_empty(struct array *array)
{
    struct stat found;

    if (fstatat(array->folder, "source", &found, 0) != 0
        && fstat(array->metadata.file, &found) == 0 && found.st_size == 0)
        return 0;
    log_error("'%s' has the files of an array, but no 'group.json': bring it back, or take another"
              " folder", array->settings.folder);
    return -1;
}

// A file that was not there was made by opening it.
static int check_metadata(struct array *array)
{
    struct stat found;

    if (fstat(array->metadata.file, &found) == 0 && found.st_size > 0)
        return 0;
    log_error("'%s/metadata' is missing or empty: bring it back; without it nobody knows what of"
              " the Source and the Clones is valid", array->settings.folder);
    return -1;
}

// Finds out whether the files have to be made. Returns -1 after log_error().
static int settle(struct array *array, bool *make)
{
    struct settings *settings = &array->settings;
    enum settings_found found = settings_load(settings, array->folder);

    *make = found != SETTINGS_READY;
    if (found == SETTINGS_FAILED || (found == SETTINGS_NONE && check_is_empty(array) != 0))
        return -1;
    settings_default(settings);
    if (!*make)
        return check_metadata(array);
    if (getrandom(settings->group_id, sizeof settings->group_id, 0) != GROUP_ID_BYTES) {
        log_error("no random numbers for the id of the group: %s", strerror(errno));
        return -1;
    }
    return settings_save(settings, array->folder, false);
}

static int open_lus(struct array *array, bool make)
{
    const struct settings *settings = &array->settings;
    char name[16];

    for (uint32_t lu = 0; lu <= settings->clones; lu++) {
        if (lu_open(&array->lus[lu], array->folder, lu_name(lu, name), settings->lu_bytes,
                    settings->block_bytes, settings->direct, make, settings->preallocate) != 0)
            return -1;
        array->lus_open++;
    }
    return 0;
}

// ----------------------------------------------------------------- the group

static int refused(const char *what, int32_t status)
{
    log_error("%s: %s (%s)", what, status_text(status),
              clone_group_status_name(status));
    return -1;
}

static void configure(struct clone_group_config *config, const struct settings *settings)
{
    clone_group_config_init(config, sizeof *config);
    config->block_bytes = settings->block_bytes;
    config->lu_blocks = settings->lu_bytes / settings->block_bytes;
    config->extent_blocks = settings->extent_bytes / settings->block_bytes;
    config->clones_max = settings->clones;
    config->requests_max = REQUESTS_MOST;
    config->copies_max = COPIES_MOST;
    config->page_writes_max = PAGE_WRITES_MOST;
    config->copy_buffer_bytes = COPY_BYTES;
    config->buffer_align_bytes = LU_ALIGN_BYTES;
    config->flags = CLONE_GROUP_CONFIG_MAP_PER_CLONE;
    if (settings->skip_equal)
        config->flags |= CLONE_GROUP_CONFIG_SKIP_EQUAL;
    if (settings->redirect_reads)
        config->flags |= CLONE_GROUP_CONFIG_REDIRECT_READS;
    memcpy(config->group_id, settings->group_id, sizeof config->group_id);
}

// The identity is part of the group's id: files of another array are refused.
static int attach(struct array *array)
{
    for (uint32_t lu = 0; lu <= array->settings.clones; lu++) {
        struct clone_group_lu config = {
            .struct_size = sizeof config, .flags = CLONE_GROUP_LU_VOLATILE_CACHE};
        int32_t status;

        if (array_discards(array))
            config.flags |= CLONE_GROUP_LU_DISCARD_ZEROES;
        memcpy(config.identity, array->settings.group_id, sizeof config.identity);
        config.identity[0] = (uint8_t)lu;
        status = clone_group_lu_attach(array->group, lu, &config);
        if (status != CLONE_GROUP_OK)
            return refused("an LU was not attached", status);
    }
    return 0;
}

static int32_t begin_format(struct clone_group *group, const void *arguments, uint64_t tag)
{
    (void)arguments;
    return clone_group_format(group, CLONE_GROUP_FORMAT_FORCE, tag);
}

static int32_t begin_recover(struct clone_group *group, const void *arguments, uint64_t tag)
{
    (void)arguments;
    return clone_group_recover(group, 0, tag);
}

static int32_t begin_add(struct clone_group *group, const void *arguments, uint64_t tag)
{
    return clone_group_clone_add(group, *(const uint32_t *)arguments, tag);
}

static int32_t begin_close(struct clone_group *group, const void *arguments, uint64_t tag)
{
    (void)arguments;
    return clone_group_close(group, tag);
}

static int make_group(struct array *array)
{
    int32_t status = array_operate(array, begin_format, NULL);

    if (status != CLONE_GROUP_OK)
        return refused("the group was not formatted", status);
    for (uint32_t lu = 1; lu <= array->settings.clones; lu++)
        if ((status = array_operate(array, begin_add, &lu)) != CLONE_GROUP_OK)
            return refused("a Clone was not added", status);
    return settings_save(&array->settings, array->folder, true);
}

static int recover_group(struct array *array)
{
    int32_t status = array_operate(array, begin_recover, NULL);

    if (status != CLONE_GROUP_OK)
        return refused("the group was not recovered", status);
    for (uint32_t lu = 1; lu <= array->settings.clones; lu++)
        note_clones(array, lu);
    return 0;
}

static int open_group(struct array *array, bool make)
{
    struct clone_group_config config;
    struct clone_group_ops ops;
    uint64_t metadata_bytes;
    int32_t status;

    configure(&config, &array->settings);
    callbacks_set(&ops, array);
    status = clone_group_metadata_size(&config, &metadata_bytes);
    if (status == CLONE_GROUP_OK)
        status = clone_group_create(&config, &ops, NULL, 0, &array->group);
    if (status != CLONE_GROUP_OK)
        return refused("the group was not created", status);
    if (attach(array) != 0 || (make && metadata_make(&array->metadata, metadata_bytes) != 0))
        return -1;
    return make ? make_group(array) : recover_group(array);
}

// --------------------------------------------------------- opening, closing

static int prepare(struct array *array)
{
    const struct settings *settings = &array->settings;
    uint64_t extents = (settings->lu_bytes + settings->extent_bytes - 1) / settings->extent_bytes;
    uint32_t piece = settings->extent_bytes > COPY_BYTES ? settings->extent_bytes : COPY_BYTES;
    // Every I/O there can be: each request on each LU, copies, pages, flushes.
    uint32_t items = (REQUESTS_MOST + COPIES_MOST) * (settings->clones + 1) + 256;

    bucket_init(&array->bucket, settings->rate, piece, now_ns());
    array->pool = pool_create(items, perform_io, array);
    if (array->pool == NULL || picture_init(&array->picture, extents) != 0) {
        log_error("no memory for the array");
        return -1;
    }
    return 0;
}

static int open_all(struct array *array)
{
    bool make;
    int opened;

    if (open_folder(array) != 0
        || metadata_open(&array->metadata, array->folder, array->settings.folder) != 0
        || settle(array, &make) != 0 || open_lus(array, make) != 0 || prepare(array) != 0)
        return -1;
    io_place = IO_HERE;
    opened = open_group(array, make);
    io_place = IO_BY_POOL;
    return opened;
}

static void prepare_waiting(struct array *array)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&array->mutex, NULL);
    pthread_mutex_init(&array->settings_mutex, NULL);
    pthread_cond_init(&array->woken_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    history_init(&array->history);
}

struct array *array_open(const struct settings *settings)
{
    struct array *array = calloc(1, sizeof *array);

    if (array == NULL) {
        log_error("no memory for the array");
        return NULL;
    }
    array->settings = *settings;
    array->folder = array->metadata.file = -1;
    for (uint32_t lu = 0; lu <= CLONES_MOST; lu++)
        array->lus[lu].file = array->lus[lu].durable_file = -1;
    prepare_waiting(array);
    if (open_all(array) == 0)
        return array;
    array_free(array);
    return NULL;
}

int array_start(struct array *array)
{
    int error = pool_start(array->pool, array->group, array->settings.threads);

    if (error == 0)
        error = pthread_create(&array->poller, NULL, poll_forever, array);
    array->poller_runs = error == 0;
    if (error != 0)
        log_error("cannot start the threads of the array: %s", strerror(error));
    return error == 0 ? 0 : -1;
}

void array_stop(struct array *array)
{
    int32_t status = array_operate(array, begin_close, NULL);

    if (status != CLONE_GROUP_OK)
        refused("the group was not closed in order, the next start is as after a power loss",
                status);
    pthread_mutex_lock(&array->mutex);
    array->stopping = true;
    pthread_cond_signal(&array->woken_changed);
    pthread_mutex_unlock(&array->mutex);
    pthread_join(array->poller, NULL);
    array->poller_runs = false;
}

void array_free(struct array *array)
{
    // The threads end first: they report to the group.
    if (array->pool != NULL)
        pool_destroy(array->pool);
    if (array->group != NULL)
        clone_group_destroy(array->group);
    picture_free(&array->picture);
    for (uint32_t lu = 0; lu <= CLONES_MOST; lu++)
        lu_close(&array->lus[lu]);
    metadata_close(&array->metadata);
    if (array->folder >= 0)
        close(array->folder);
    pthread_cond_destroy(&array->woken_changed);
    pthread_mutex_destroy(&array->mutex);
    pthread_mutex_destroy(&array->settings_mutex);
    free(array);
}
