#include "history.h"

void history_init(struct history *history)
{
    history->count = 0;
    pthread_mutex_init(&history->mutex, NULL);
}

void history_add(struct history *history, const struct clone_group_event *event)
{
    struct happened happened = {.event = *event};

    clock_gettime(CLOCK_REALTIME, &happened.time);
    pthread_mutex_lock(&history->mutex);
    history->last[history->count % HISTORY_EVENTS] = happened;
    history->last[history->count % HISTORY_EVENTS].number = history->count + 1;
    history->count++;
    pthread_mutex_unlock(&history->mutex);
}

uint32_t history_read(struct history *history, uint64_t after, struct happened *events,
                      uint32_t most)
{
    uint32_t copied = 0;

    pthread_mutex_lock(&history->mutex);
    if (history->count > HISTORY_EVENTS && after < history->count - HISTORY_EVENTS)
        after = history->count - HISTORY_EVENTS;
    while (after < history->count && copied < most)
        events[copied++] = history->last[after++ % HISTORY_EVENTS];
    pthread_mutex_unlock(&history->mutex);
    return copied;
}

uint64_t history_count(struct history *history)
{
    uint64_t count;

    pthread_mutex_lock(&history->mutex);
    count = history->count;
    pthread_mutex_unlock(&history->mutex);
    return count;
}
