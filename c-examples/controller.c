#include "controller.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

enum { REQUESTS_BESIDE_HOSTS = 32 };

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void give_up(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("demo: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1); // other threads run: leave them no time to touch anything
}

// ---------------------------------------------------------------- callbacks

static int32_t on_io(void *context, const struct clone_group_io *io)
{
    struct controller *controller = context;

    return array_submit(controller->array, io);
}

static void wake_locked(struct controller *controller)
{
    controller->woken = 1;
    pthread_cond_signal(&controller->woken_changed);
}

static void on_done(void *context, uint64_t tag, int32_t status)
{
    struct controller *controller = context;
    struct request *request =
        tag == TAG_OF_SET ? &controller->of_set : (struct request *)(uintptr_t)tag;

    pthread_mutex_lock(&controller->mutex);
    request->status = status;
    request->done = 1;
    pthread_cond_broadcast(&controller->request_done);
    wake_locked(controller); // the polling thread may be the one that waits for it
    pthread_mutex_unlock(&controller->mutex);
}

// After these the demo has nothing left to wait for.
static int is_fatal(uint32_t kind)
{
    return kind == CLONE_GROUP_EVENT_CLONE_FAILED || kind == CLONE_GROUP_EVENT_STALLED
        || kind == CLONE_GROUP_EVENT_METADATA_FAILED
        || kind == CLONE_GROUP_EVENT_CALLBACK_RESULT;
}

static void on_event(void *context, const struct clone_group_event *event)
{
    struct controller *controller = context;

    if (is_fatal(event->kind))
        give_up("the library reports of LU %" PRIu32 ": %s (%s)", event->lu, event->text,
                clone_group_status_name(event->status));
    pthread_mutex_lock(&controller->mutex);
    if (event->kind < EVENT_KINDS)
        controller->events[event->kind]++;
    wake_locked(controller);
    pthread_mutex_unlock(&controller->mutex);
}

static void on_wake(void *context)
{
    struct controller *controller = context;

    pthread_mutex_lock(&controller->mutex);
    wake_locked(controller);
    pthread_mutex_unlock(&controller->mutex);
}

static uint64_t on_clock(void *context)
{
    (void)context;
    return now_ns();
}

// ------------------------------------------------------------------ polling

// Sleeps until there is something for the polling thread, at most `sleep_ms`.
static void sleep_until_woken(struct controller *controller, int sleep_ms)
{
    uint64_t until = now_ns() + (uint64_t)sleep_ms * 1000000;
    struct timespec time = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    int error = 0;

    pthread_mutex_lock(&controller->mutex);
    while (!controller->woken && error == 0)
        error = sleep_ms < 0
            ? pthread_cond_wait(&controller->woken_changed, &controller->mutex)
            : pthread_cond_timedwait(&controller->woken_changed, &controller->mutex, &time);
    pthread_mutex_unlock(&controller->mutex);
}

void controller_poll(struct controller *controller, uint32_t budget, int sleep_ms)
{
    enum { CALLBACKS = 64 };
    int32_t status;

    // Before the poll: what happens during it must not be slept over.
    pthread_mutex_lock(&controller->mutex);
    controller->woken = 0;
    pthread_mutex_unlock(&controller->mutex);

    status = budget > 0 ? clone_group_sync_step(controller->group, budget)
                        : clone_group_cod_poll(controller->group, CALLBACKS);
    if (status < 0)
        give_up("a poll failed: %s", clone_group_status_text(status));
    if (status != CLONE_GROUP_MORE && sleep_ms != 0)
        sleep_until_woken(controller, sleep_ms);
}

int request_is_done(struct controller *controller, const struct request *request)
{
    int done;

    pthread_mutex_lock(&controller->mutex);
    done = request->done;
    pthread_mutex_unlock(&controller->mutex);
    return done;
}

int32_t controller_finish(struct controller *controller, struct request *request,
                          int32_t status)
{
    if (status != CLONE_GROUP_PENDING)
        return status;
    while (!request_is_done(controller, request))
        controller_poll(controller, 0, -1);
    return request->status;
}

int32_t controller_wait(struct controller *controller, struct request *request, int32_t status)
{
    if (status != CLONE_GROUP_PENDING)
        return status;
    pthread_mutex_lock(&controller->mutex);
    while (!request->done)
        pthread_cond_wait(&controller->request_done, &controller->mutex);
    pthread_mutex_unlock(&controller->mutex);
    return request->status;
}

uint64_t controller_tag(struct controller *controller)
{
    controller->own = (struct request){0};
    return REQUEST_TAG(&controller->own);
}

int32_t controller_try(struct controller *controller, int32_t status)
{
    return controller_finish(controller, &controller->own, status);
}

void controller_must(struct controller *controller, int32_t status, const char *call)
{
    status = controller_try(controller, status);
    if (status != CLONE_GROUP_OK)
        give_up("%s: %s: %s", call, clone_group_status_name(status),
                clone_group_status_text(status));
}

// --------------------------------------------------------- opening, closing

static void must_now(int32_t status, const char *call)
{
    if (status != CLONE_GROUP_OK)
        give_up("%s: %s: %s", call, clone_group_status_name(status),
                clone_group_status_text(status));
}

static void configure(struct clone_group_config *config, const struct settings *settings)
{
    uint64_t state = settings->seed;

    must_now(clone_group_config_init(config, sizeof *config), "config_init");
    config->lu_blocks = settings->lu_blocks;
    config->block_bytes = BLOCK_BYTES;
    config->extent_blocks = settings->extent_blocks;
    config->clones_max = LUS - 1;
    config->requests_max = settings->hosts + REQUESTS_BESIDE_HOSTS;
    if (settings->host_durable)
        config->flags |= CLONE_GROUP_CONFIG_HOST_DURABLE;
    if (settings->redirect_reads)
        config->flags |= CLONE_GROUP_CONFIG_REDIRECT_READS;
    if (settings->map_per_clone)
        config->flags |= CLONE_GROUP_CONFIG_MAP_PER_CLONE;
    if (settings->skip_equal)
        config->flags |= CLONE_GROUP_CONFIG_SKIP_EQUAL;
    for (size_t i = 0; i < sizeof config->group_id; i++)
        config->group_id[i] = (uint8_t)random_next(&state);
}

static void set_callbacks(struct clone_group_ops *ops, struct controller *controller)
{
    must_now(clone_group_ops_init(ops, sizeof *ops), "ops_init");
    ops->context = controller;
    ops->read = on_io;
    ops->write = on_io;
    ops->flush = on_io;
    ops->persist_read = on_io;
    ops->persist_write = on_io;
    ops->persist_flush = on_io;
    ops->done = on_done;
    ops->event = on_event;
    ops->wake = on_wake;
    ops->clock = on_clock;
}

static void attach(struct controller *controller, const struct settings *settings)
{
    for (uint32_t lu = 0; lu < LUS; lu++) {
        struct clone_group_lu config = {.struct_size = sizeof config};

        if (settings->volatile_cache)
            config.flags = CLONE_GROUP_LU_VOLATILE_CACHE;
        snprintf((char *)config.identity, sizeof config.identity, "%sfile %" PRIu32,
                 settings->group, lu);
        must_now(clone_group_lu_attach(controller->group, lu, &config), "lu_attach");
    }
}

static void prepare_waiting(struct controller *controller)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&controller->mutex, NULL);
    pthread_cond_init(&controller->woken_changed, &monotonic);
    pthread_cond_init(&controller->request_done, NULL);
    pthread_condattr_destroy(&monotonic);
}

void controller_open(struct controller *controller, const struct settings *settings,
                     enum controller_start start)
{
    struct clone_group_config config;
    struct clone_group_ops ops;
    uint64_t metadata_bytes;
    int error;

    memset(controller, 0, sizeof *controller);
    prepare_waiting(controller);
    configure(&config, settings);
    set_callbacks(&ops, controller);
    must_now(clone_group_metadata_size(&config, &metadata_bytes), "metadata_size");
    controller->array = array_open(settings, metadata_bytes, start == CONTROLLER_FORMAT);
    if (controller->array == NULL)
        _exit(1);
    must_now(clone_group_create(&config, &ops, NULL, 0, &controller->group), "create");
    attach(controller, settings);
    error = array_start(controller->array, controller->group);
    if (error != 0)
        give_up("cannot start the threads of the array: %s", strerror(error));
    if (start == CONTROLLER_FORMAT)
        controller_must(controller,
                        clone_group_format(controller->group, 0, controller_tag(controller)),
                        "format");
    else
        controller_must(controller,
                        clone_group_recover(controller->group, 0, controller_tag(controller)),
                        "recover");
}

void controller_close(struct controller *controller)
{
    controller_must(controller, clone_group_close(controller->group, controller_tag(controller)),
                    "close");
    // The threads end first: they report to the group.
    array_close(controller->array);
    must_now(clone_group_destroy(controller->group), "destroy");
    pthread_cond_destroy(&controller->woken_changed);
    pthread_cond_destroy(&controller->request_done);
    pthread_mutex_destroy(&controller->mutex);
}

struct clone_group_clone_info controller_clone(struct controller *controller, uint32_t lu)
{
    struct clone_group_clone_info info = {.struct_size = sizeof info};

    must_now(clone_group_clone_query(controller->group, lu, &info), "clone_query");
    return info;
}

struct clone_group_info controller_info(struct controller *controller)
{
    struct clone_group_info info = {.struct_size = sizeof info};

    must_now(clone_group_query(controller->group, &info), "query");
    return info;
}

struct clone_group_statistics controller_statistics(struct controller *controller)
{
    struct clone_group_statistics statistics = {.struct_size = sizeof statistics};

    must_now(clone_group_statistics_query(controller->group, &statistics), "statistics_query");
    return statistics;
}

uint32_t controller_events(struct controller *controller, uint32_t kind)
{
    uint32_t count;

    pthread_mutex_lock(&controller->mutex);
    count = controller->events[kind];
    pthread_mutex_unlock(&controller->mutex);
    return count;
}
