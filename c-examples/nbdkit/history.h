// The last events, for those who ask later.
#ifndef HISTORY_H
#define HISTORY_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "clone_group.h"

enum { HISTORY_EVENTS = 1024 };

struct happened {
    uint64_t number;    // counts from 1 since the array was started
    struct timespec time;
    struct clone_group_event event;
};

struct history {
    pthread_mutex_t mutex;
    uint64_t count;     // of all there ever were
    struct happened last[HISTORY_EVENTS];
};

void history_init(struct history *history);
void history_add(struct history *history, const struct clone_group_event *event);

// Copies up to `most` events with numbers above `after`, oldest first. Returns how many.
uint32_t history_read(struct history *history, uint64_t after, struct happened *events,
                      uint32_t most);

// How many there ever were: the number of the last one.
uint64_t history_count(struct history *history);

#endif
