#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t get_number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

const char *get_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

bool has_condition(const json_t *object, const char *name)
{
    const json_t *list = json_object_get(object, "conditions");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
            return true;
    return false;
}

// A size as people read it. The text is valid until the fourth next call.
static const char *size_text(uint64_t bytes)
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    static char texts[4][32];
    static unsigned int next;
    char *text = texts[next++ % 4];
    double value = (double)bytes;
    int unit = 0;

    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    snprintf(text, sizeof texts[0], value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value,
             UNITS[unit]);
    return text;
}

static void show_conditions(const json_t *object, const char *none)
{
    const json_t *list = json_object_get(object, "conditions");
    char text[128] = "";

    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t used = strlen(text);

        snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? "," : "",
                 json_string_value(json_array_get(list, i)));
    }
    printf("%-22s", *text == '\0' ? none : text);
}

// ------------------------------------------------------------------- a copy

void show_progress(const json_t *clone, uint64_t *left, uint64_t *all)
{
    const char *state = get_text(clone, "state");
    bool copied = strcmp(state, "Restoring") == 0 || strcmp(state, "Synchronizing") == 0
        || strcmp(state, "ReverseSynchronizing") == 0;

    *left = copied ? get_number(clone, "extents_left") : get_number(clone, "verify_extents_left");
    *all = copied ? get_number(clone, "extents_to_copy") : *left;
    if (*all < *left)
        *all = *left; // hosts have added to it
}

void show_bar(const json_t *clone, uint64_t extent_bytes, double bytes_per_s, bool paused)
{
    enum { WIDTH = 28 };
    uint64_t left, all;
    char bar[WIDTH + 1];
    int filled;

    show_progress(clone, &left, &all);
    filled = all == 0 ? WIDTH : (int)((all - left) * WIDTH / all);
    memset(bar, '-', WIDTH);
    memset(bar, '=', (size_t)filled);
    bar[WIDTH] = '\0';
    if (filled < WIDTH)
        bar[filled] = '>';
    printf("clone%" PRIu64 " %s [%s] %5.1f %%  %s of %s", get_number(clone, "clone"),
           has_condition(clone, "Verifying") ? "Verifying" : get_text(clone, "state"), bar,
           all == 0 ? 100.0 : 100.0 * (double)(all - left) / (double)all,
           size_text((all - left) * extent_bytes), size_text(all * extent_bytes));
    if (paused) {
        printf("  paused");
    } else if (bytes_per_s > 0) {
        uint64_t seconds = (uint64_t)((double)(left * extent_bytes) / bytes_per_s + 0.5);

        printf("  %s/s  %" PRIu64 ":%02" PRIu64 " left", size_text((uint64_t)bytes_per_s),
               seconds / 60, seconds % 60);
    }
}

// ------------------------------------------------------------------- tables

static void show_clone(const json_t *clone, uint64_t extent_bytes)
{
    char name[24];

    snprintf(name, sizeof name, "clone%" PRIu64, get_number(clone, "clone"));
    printf("%-9s%-22s", name, get_text(clone, "state"));
    show_conditions(clone, "-");
    printf("%10s  %s\n", size_text(get_number(clone, "extents_left") * extent_bytes),
           get_text(clone, "label"));
}

static const char *source_text(const json_t *group)
{
    static char text[64];

    if (get_number(group, "restoring") != 0)
        snprintf(text, sizeof text, "restored from clone%" PRIu64, get_number(group, "restoring"));
    else if (get_number(group, "reversing") != 0)
        snprintf(text, sizeof text, "synchronized from clone%" PRIu64,
                 get_number(group, "reversing"));
    else
        snprintf(text, sizeof text, "%s", has_condition(group, "SourceInvalid")
                 ? "a mixture, not served: restore or accept it" : "valid");
    return text;
}

void show_rate(const json_t *rate)
{
    uint64_t cap = get_number(rate, "cap_bytes_per_s");

    printf("copies: ");
    if (cap == 0)
        printf("no cap");
    else
        printf("at most %s/s", size_text(cap));
    printf(", while hosts are busy %s/s\n", size_text(get_number(rate, "minimum_bytes_per_s")));
}

void show_status(const json_t *status)
{
    const json_t *group = json_object_get(status, "group");
    const json_t *clones = json_object_get(status, "clones");
    uint64_t extent_bytes = get_number(group, "extent_bytes");

    printf("array   %s: LUs of %s, extents of %s\n", get_text(group, "folder"),
           size_text(get_number(group, "lu_bytes")), size_text(extent_bytes));
    printf("source  %s\n", source_text(group));
    if (json_array_size(json_object_get(group, "conditions")) > 0) {
        printf("group   ");
        show_conditions(group, "");
        printf("\n");
    }
    show_rate(json_object_get(group, "rate"));
    printf("\n%-9s%-22s%-22s%10s  %s\n", "CLONE", "STATE", "CONDITIONS", "DIFFERS", "LABEL");
    for (size_t i = 0; i < json_array_size(clones); i++)
        show_clone(json_array_get(clones, i), extent_bytes);
    for (size_t i = 0; i < json_array_size(clones); i++) {
        const json_t *clone = json_array_get(clones, i);
        uint64_t left, all;

        show_progress(clone, &left, &all);
        if (left > 0 && strcmp(get_text(clone, "state"), "OutOfSync") != 0) {
            printf("%s", i == 0 ? "\n" : "");
            show_bar(clone, extent_bytes, -1, has_condition(group, "Paused"));
            printf("\n");
        }
    }
}

void show_statistics(const json_t *statistics)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)statistics, key, value)
        if (json_is_integer(value))
            printf("%-22s %20" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
}

void show_event(const json_t *event)
{
    double time = json_real_value(json_object_get(event, "time"));
    time_t seconds = (time_t)time;
    char text[32];
    struct tm parts;

    localtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%F %T", &parts);
    printf("%6" PRIu64 "  %s.%03d  %-8s %s", get_number(event, "number"), text,
           (int)((time - (double)seconds) * 1000), get_text(event, "lu"),
           get_text(event, "text"));
    if (*get_text(event, "state") != '\0')
        printf(": %s", get_text(event, "state"));
    else if (get_number(event, "value") != 0)
        printf(": %" PRIu64, get_number(event, "value"));
    if (json_integer_value(json_object_get(event, "status")) != 0)
        printf(" (%s)", get_text(event, "status_name"));
    printf("\n");
}

// ------------------------------------------------------------------ the map

struct look {
    char character;
    const char *colour;
    const char *meaning;
};

enum { EQUAL, TO_COPY, PARTLY, COPYING, COPIED, WRITTEN, LOOKS };

static const struct look LOOK[LOOKS] = {
    [EQUAL] = {'.', "\033[90m", "equal"},
    [TO_COPY] = {'#', "\033[31m", "to copy"},
    [PARTLY] = {'+', "\033[33m", "partly copied"},
    [COPYING] = {'*', "\033[1;33m", "copying"},
    [COPIED] = {'=', "\033[32m", "copied"},
    [WRITTEN] = {'w', "\033[36m", "written by hosts"},
};

static uint64_t cell(const json_t *map, const char *row, size_t index)
{
    return (uint64_t)json_integer_value(json_array_get(json_object_get(map, row), index));
}

static int look_of(const json_t *map, size_t i)
{
    bool copied = cell(map, "copied", i) > 0;
    bool written = cell(map, "host_written", i) > 0;

    if (cell(map, "copying", i) > 0)
        return COPYING;
    if (cell(map, "to_copy", i) > 0)
        return copied || written ? PARTLY : TO_COPY;
    return written ? WRITTEN : copied ? COPIED : EQUAL;
}

int show_map(const json_t *map, bool colours)
{
    size_t cells = json_array_size(json_object_get(map, "extents"));
    int lines = 0;

    for (size_t i = 0; i < cells; i++) {
        const struct look *look = &LOOK[look_of(map, i)];

        if (i % SHOW_COLUMNS == 0)
            printf("  ");
        if (colours)
            printf("%s%c\033[0m", look->colour, look->character);
        else
            putchar(look->character);
        if (i % SHOW_COLUMNS == SHOW_COLUMNS - 1 || i == cells - 1) {
            printf("\n");
            lines++;
        }
    }
    return lines;
}

void show_legend(void)
{
    for (int i = 0; i < LOOKS; i++)
        printf("  %c %s", LOOK[i].character, LOOK[i].meaning);
    printf("\n");
}
