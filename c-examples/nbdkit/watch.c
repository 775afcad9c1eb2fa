#include "watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "link.h"
#include "show.h"

void sleep_ms(unsigned int ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void print_json(const json_t *answer)
{
    json_dumpf(answer, stdout, JSON_COMPACT);
    printf("\n");
    fflush(stdout);
}

// What was seen last of the copy, for its rate.
struct watch {
    uint64_t clone;
    uint64_t events_after;  // the number of the last event before the command
    double time_s;
    uint64_t left;
    double bytes_per_s;     // below 0: not known yet
    bool terminal;
    int lines;              // of the picture that stands on the terminal
    double printed_s;
};

static const json_t *find_clone(const json_t *status, uint64_t number)
{
    return json_array_get(json_object_get(status, "clones"), (size_t)number - 1);
}

static bool is_running(const json_t *clone)
{
    const char *state = get_text(clone, "state");

    return strcmp(state, "Restoring") == 0 || strcmp(state, "Synchronizing") == 0
        || strcmp(state, "ReverseSynchronizing") == 0 || has_condition(clone, "Verifying");
}

static void measure(struct watch *watch, const json_t *clone, uint64_t extent_bytes)
{
    enum { WEIGHT = 5 }; // of what was measured before
    uint64_t left, all;
    double now = now_s();
    double seconds = now - watch->time_s;

    show_progress(clone, &left, &all);
    if (watch->time_s > 0 && seconds > 0 && left <= watch->left) {
        double rate = (double)((watch->left - left) * extent_bytes) / seconds;

        watch->bytes_per_s = watch->bytes_per_s < 0
            ? rate : (watch->bytes_per_s * WEIGHT + rate) / (WEIGHT + 1);
    }
    watch->time_s = now;
    watch->left = left;
}

static void erase(struct watch *watch)
{
    if (watch->terminal && watch->lines > 0)
        printf("\033[%dA\r\033[J", watch->lines);
    watch->lines = 0;
}

static void draw(struct watch *watch, const json_t *group, const json_t *clone)
{
    erase(watch);
    show_bar(clone, get_number(group, "extent_bytes"), watch->bytes_per_s,
             has_condition(group, "Paused"));
    printf("\n");
    if (watch->terminal) {
        json_t *map = link_must(json_pack("{ss sI si}", "command", "map", "clone",
                                          (json_int_t)watch->clone,
                                          "cells", SHOW_COLUMNS * SHOW_ROWS));

        watch->lines = 1 + show_map(map, true);
        json_decref(map);
    }
    fflush(stdout);
}

// Where nobody looks, a line a second is enough.
static void show_step(struct watch *watch, const json_t *status, bool json)
{
    const json_t *group = json_object_get(status, "group");
    const json_t *clone = find_clone(status, watch->clone);

    measure(watch, clone, get_number(group, "extent_bytes"));
    if ((json || !watch->terminal) && now_s() - watch->printed_s < 1)
        return;
    watch->printed_s = now_s();
    if (json)
        print_json(status);
    else
        draw(watch, group, clone);
}

static bool is_event(const json_t *event, const char *name)
{
    return strcmp(get_text(event, "event"), name) == 0;
}

// Says how the copy ended, by the last event that tells.
static int show_end(const struct watch *watch, bool json)
{
    json_t *answer = link_must(json_pack("{ss sI}", "command", "events", "after",
                                         (json_int_t)watch->events_after));
    const json_t *list = json_object_get(answer, "events");
    const char *text = "the copy is over";
    int outcome = EXIT_DONE;
    char name[24];

    snprintf(name, sizeof name, "clone%" PRIu64, watch->clone);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *event = json_array_get(list, i);
        bool ours = strcmp(get_text(event, "lu"), name) == 0;
        bool done = is_event(event, "CLONE_GROUP_EVENT_RESTORED")
            || is_event(event, "CLONE_GROUP_EVENT_SYNCHRONIZED")
            || is_event(event, "CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED")
            || is_event(event, "CLONE_GROUP_EVENT_VERIFIED");
        bool stopped = is_event(event, "CLONE_GROUP_EVENT_CANCELED")
            || is_event(event, "CLONE_GROUP_EVENT_CLONE_FAILED");

        if (!ours && is_event(event, "CLONE_GROUP_EVENT_SOURCE_CHANGED")) {
            text = "the restore was given another Clone";
            outcome = EXIT_FAILED;
        } else if (ours && (done || stopped)) {
            text = get_text(event, "text");
            outcome = stopped || json_integer_value(json_object_get(event, "status")) != 0
                    || (is_event(event, "CLONE_GROUP_EVENT_VERIFIED")
                        && get_number(event, "value") != 0)
                ? EXIT_FAILED : EXIT_DONE;
        }
    }
    if (!json)
        fprintf(outcome == EXIT_DONE ? stdout : stderr, "%s: %s\n", name, text);
    json_decref(answer);
    return outcome;
}

int watch_copy(uint64_t clone, uint64_t events_after, bool json)
{
    struct watch watch = {.clone = clone, .events_after = events_after, .bytes_per_s = -1,
                          .terminal = isatty(STDOUT_FILENO) != 0 && !json};

    if (watch.terminal)
        show_legend();
    for (;;) {
        json_t *status = link_must(link_command("status"));
        bool runs = is_running(find_clone(status, clone));
        bool stalled = has_condition(find_clone(status, clone), "Stalled");

        if (runs)
            show_step(&watch, status, json);
        else if (json)
            print_json(status);
        json_decref(status);
        if (stalled) {
            fprintf(stderr, "clonectl: failed: all that is left could not be copied: see events;"
                            " resume tries again\n");
            return EXIT_FAILED;
        }
        if (!runs) {
            erase(&watch);
            return show_end(&watch, json);
        }
        sleep_ms(REFRESH_MS);
    }
}
