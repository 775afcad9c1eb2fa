#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "log.h"

enum { THREADS_MOST = 64, THREADS_FOR_HOSTS = 2 };

// A clone_group_io is valid only during its callback, so items are copies; the
// buffer that one points to stays.
struct item {
    struct clone_group_io io;
    struct item *next;
};

struct queue {
    struct item *first;
    struct item **end;
};

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct item *items;         // all there are
    struct item *spare;
    struct queue urgent;        // somebody waits for these
    struct queue background;
    struct item *running[THREADS_MOST];
    uint32_t background_running;
    uint32_t background_most;
    uint32_t threads;
    pthread_t thread[THREADS_MOST];
    bool closing;
    pool_perform *perform;
    void *context;
    struct clone_group *group;
};

struct worker {
    struct pool *pool;
    uint32_t number;
};

static void queue_put(struct queue *queue, struct item *item)
{
    item->next = NULL;
    *queue->end = item;
    queue->end = &item->next;
}

static struct item *queue_take(struct queue *queue)
{
    struct item *item = queue->first;

    if (item != NULL && (queue->first = item->next) == NULL)
        queue->end = &queue->first;
    return item;
}

struct pool *pool_create(uint32_t items, pool_perform *perform, void *context)
{
    struct pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL || (pool->items = calloc(items, sizeof *pool->items)) == NULL) {
        free(pool);
        return NULL;
    }
    for (uint32_t i = 0; i < items; i++) {
        pool->items[i].next = pool->spare;
        pool->spare = &pool->items[i];
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->filled, NULL);
    pool->urgent.end = &pool->urgent.first;
    pool->background.end = &pool->background.first;
    pool->perform = perform;
    pool->context = context;
    return pool;
}

// Metadata is urgent: hosts wait for it.
static bool is_background(const struct clone_group_io *io)
{
    return io->lu != CLONE_GROUP_LU_NONE
        && (io->flags & (CLONE_GROUP_IO_HOST | CLONE_GROUP_IO_URGENT)) == 0;
}

int32_t pool_submit(struct pool *pool, const struct clone_group_io *io)
{
    struct item *item;

    pthread_mutex_lock(&pool->mutex);
    if ((item = pool->spare) != NULL) {
        pool->spare = item->next;
        item->io = *io;
        queue_put(is_background(io) ? &pool->background : &pool->urgent, item);
        pthread_cond_signal(&pool->filled);
    }
    pthread_mutex_unlock(&pool->mutex);
    return item != NULL ? CLONE_GROUP_PENDING : CLONE_GROUP_RETRY;
}

static struct item *take(struct pool *pool)
{
    struct item *item = queue_take(&pool->urgent);

    if (item == NULL && pool->background_running < pool->background_most
        && (item = queue_take(&pool->background)) != NULL)
        pool->background_running++;
    return item;
}

// Called with the mutex. Returns NULL when the pool closes.
static struct item *wait_for_item(struct pool *pool)
{
    struct item *item;

    while ((item = take(pool)) == NULL && !pool->closing)
        pthread_cond_wait(&pool->filled, &pool->mutex);
    return item;
}

static void give_back(struct pool *pool, struct item *item)
{
    if (is_background(&item->io)) {
        pool->background_running--;
        if (pool->background.first != NULL)
            pthread_cond_signal(&pool->filled);
    }
    item->next = pool->spare;
    pool->spare = item;
}

static void *work(void *argument)
{
    struct worker worker = *(struct worker *)argument;
    struct pool *pool = worker.pool;
    struct item *item;

    free(argument);
    pthread_mutex_lock(&pool->mutex);
    while ((item = wait_for_item(pool)) != NULL) {
        uint64_t id = item->io.id;
        int32_t status;

        pool->running[worker.number] = item;
        pthread_mutex_unlock(&pool->mutex);
        status = pool->perform(pool->context, &item->io);
        pthread_mutex_lock(&pool->mutex);
        pool->running[worker.number] = NULL;
        give_back(pool, item);
        pthread_mutex_unlock(&pool->mutex);
        status = clone_group_io_complete(pool->group, id, status);
        if (status != CLONE_GROUP_OK)
            log_error("the completion of an I/O was refused: %s", clone_group_status_text(status));
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

int pool_start(struct pool *pool, struct clone_group *group, uint32_t threads)
{
    pool->group = group;
    pool->background_most = threads > THREADS_FOR_HOSTS ? threads - THREADS_FOR_HOSTS : 1;
    while (pool->threads < threads && pool->threads < THREADS_MOST) {
        struct worker *worker = malloc(sizeof *worker);
        int error = worker == NULL ? ENOMEM : 0;

        if (error == 0) {
            *worker = (struct worker){pool, pool->threads};
            error = pthread_create(&pool->thread[pool->threads], NULL, work, worker);
        }
        if (error != 0) {
            free(worker);
            return error;
        }
        pool->threads++;
    }
    return 0;
}

static void call(const struct item *item,
                 void (*each)(void *context, const struct clone_group_io *io), void *context)
{
    if (item->io.lu != CLONE_GROUP_LU_NONE && (item->io.flags & CLONE_GROUP_IO_HOST) == 0)
        each(context, &item->io);
}

void pool_copies(struct pool *pool, void (*each)(void *context, const struct clone_group_io *io),
                 void *context)
{
    pthread_mutex_lock(&pool->mutex);
    for (uint32_t i = 0; i < THREADS_MOST; i++)
        if (pool->running[i] != NULL)
            call(pool->running[i], each, context);
    for (const struct item *item = pool->urgent.first; item != NULL; item = item->next)
        call(item, each, context);
    for (const struct item *item = pool->background.first; item != NULL; item = item->next)
        call(item, each, context);
    pthread_mutex_unlock(&pool->mutex);
}

void pool_destroy(struct pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->threads; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->items);
    free(pool);
}
