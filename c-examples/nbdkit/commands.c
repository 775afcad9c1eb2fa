#include "commands.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

enum { CELLS_MOST = 4096, EVENTS_MOST = 256, LABEL_BYTES = 64, EXTENTS_PER_S_LEAST = 10 };

const char COMMAND_TOO_MANY[] =
    "{\"ok\": false, \"kind\": \"failed\", \"text\": \"too many clients: try again\"}\n";

// What a command was given, checked.
struct arguments {
    uint32_t clone;
    uint32_t flags;
    uint8_t label[LABEL_BYTES];
};

// ------------------------------------------------------------ the operations

#define ON_CLONE(name, call)                                                        \
    static int32_t name(struct clone_group *group, const void *arguments, uint64_t tag) \
    {                                                                               \
        return call(group, ((const struct arguments *)arguments)->clone, tag);      \
    }
#define ON_GROUP(name, call)                                                        \
    static int32_t name(struct clone_group *group, const void *arguments, uint64_t tag) \
    {                                                                               \
        (void)arguments;                                                            \
        return call(group, tag);                                                    \
    }

ON_CLONE(begin_add, clone_group_clone_add)
ON_CLONE(begin_remove, clone_group_clone_remove)
ON_CLONE(begin_synchronize, clone_group_synchronize)
ON_CLONE(begin_restore, clone_group_protected_restore)
ON_CLONE(begin_reverse, clone_group_reverse_synchronize)
ON_CLONE(begin_cancel, clone_group_cancel)
ON_CLONE(begin_retarget, clone_group_retarget)
ON_GROUP(begin_accept, clone_group_source_accept)
ON_GROUP(begin_verify_stop, clone_group_verify_stop)
ON_GROUP(begin_pause, clone_group_pause)
ON_GROUP(begin_resume, clone_group_resume)
ON_GROUP(begin_repair, clone_group_metadata_repair)

static int32_t begin_fracture(struct clone_group *group, const void *pointer, uint64_t tag)
{
    const struct arguments *arguments = pointer;

    return clone_group_fracture(group, arguments->clone, arguments->label, 0, tag);
}

static int32_t begin_verify(struct clone_group *group, const void *pointer, uint64_t tag)
{
    const struct arguments *arguments = pointer;

    return clone_group_verify(group, arguments->clone, arguments->flags, tag);
}

struct operation {
    const char *name;
    array_begin *begin;
    bool needs_clone;
};

static const struct operation OPERATIONS[] = {
    {"add", begin_add, true},
    {"remove", begin_remove, true},
    {"synchronize", begin_synchronize, true},
    {"fracture", begin_fracture, true},
    {"restore", begin_restore, true},
    {"reverse", begin_reverse, true},
    {"cancel", begin_cancel, true},
    {"retarget", begin_retarget, true},
    {"accept", begin_accept, false},
    {"verify", begin_verify, true},
    {"verify-stop", begin_verify_stop, false},
    {"pause", begin_pause, false},
    {"resume", begin_resume, false},
    {"repair", begin_repair, false},
};

// --------------------------------------------------------------- the answers

static json_t *wrong(const char *text)
{
    return json_pack("{sb ss ss}", "ok", 0, "kind", "usage", "text", text);
}

// Whether the library refused to begin, or tried and failed.
static const char *kind_of(int32_t status)
{
    switch (status) {
    case CLONE_GROUP_ERR_IO:
    case CLONE_GROUP_ERR_NOMEM:
    case CLONE_GROUP_ERR_NO_SPACE:
    case CLONE_GROUP_ERR_METADATA_FAILED:
    case CLONE_GROUP_ERR_INTERNAL:
    case CLONE_GROUP_ERR_CANCELED:
        return "failed";
    default:
        return "refused";
    }
}

static json_t *outcome(int32_t status)
{
    if (status == CLONE_GROUP_OK)
        return json_pack("{sb}", "ok", 1);
    return json_pack("{sb ss si ss ss}", "ok", 0, "kind", kind_of(status), "status", (int)status,
                     "name", clone_group_status_name(status),
                     "text", status_text(status));
}

// ----------------------------------------------------------- the arguments

// A whole number, or what is given if the command does not say one. Returns false
// if it is none, or not in the range.
static bool number(const json_t *command, const char *key, uint64_t least, uint64_t most,
                   uint64_t *value)
{
    const json_t *found = json_object_get(command, key);
    json_int_t said;

    if (found == NULL)
        return true;
    said = json_integer_value(found);
    if (!json_is_integer(found) || said < 0 || (uint64_t)said < least || (uint64_t)said > most)
        return false;
    *value = (uint64_t)said;
    return true;
}

static bool clone_of(struct array *array, const json_t *command, uint32_t *clone)
{
    uint64_t said = 0;

    if (!number(command, "clone", 1, array_settings(array)->clones, &said) || said == 0)
        return false;
    *clone = (uint32_t)said;
    return true;
}

static bool take_label(const json_t *command, uint8_t *label)
{
    const json_t *found = json_object_get(command, "label");
    size_t bytes = json_string_length(found);

    if (found == NULL)
        return true;
    if (!json_is_string(found) || bytes > LABEL_BYTES)
        return false;
    memcpy(label, json_string_value(found), bytes);
    return true;
}

static json_t *wrong_clone(struct array *array)
{
    char text[80];

    snprintf(text, sizeof text, "\"clone\" must be a number from 1 to %" PRIu32,
             array_settings(array)->clones);
    return wrong(text);
}

static json_t *operate(struct array *array, const struct operation *operation,
                       const json_t *command)
{
    struct arguments arguments = {0};
    json_t *answer;

    if (operation->needs_clone && !clone_of(array, command, &arguments.clone))
        return wrong_clone(array);
    if (!take_label(command, arguments.label))
        return wrong("\"label\" must be a string of at most 64 bytes");
    if (json_is_true(json_object_get(command, "mark")))
        arguments.flags = CLONE_GROUP_VERIFY_MARK;
    answer = outcome(array_operate(array, operation->begin, &arguments));
    if (operation->needs_clone)
        json_object_set_new(answer, "state",
                            json_string(clone_state_name(array_clone(array, arguments.clone).state)));
    return answer;
}

// ------------------------------------------------------------- the questions

static json_t *rate(struct array *array, const json_t *command)
{
    struct rate rate = array_rate(array);
    uint64_t least = (uint64_t)EXTENTS_PER_S_LEAST * array_settings(array)->extent_bytes;
    json_t *answer;

    if (!number(command, "cap_bytes_per_s", 0, INT64_MAX / 16, &rate.cap_bytes_per_s)
        || !number(command, "minimum_bytes_per_s", 0, INT64_MAX / 16, &rate.minimum_bytes_per_s))
        return wrong("\"cap_bytes_per_s\" and \"minimum_bytes_per_s\" must be whole numbers");
    // R69: a restore has to come to its end.
    if (rate.cap_bytes_per_s != 0 && rate.cap_bytes_per_s < least)
        return wrong("the cap must be at least 10 extents a second");
    if (rate.cap_bytes_per_s != 0 && rate.minimum_bytes_per_s > rate.cap_bytes_per_s)
        rate.minimum_bytes_per_s = rate.cap_bytes_per_s;
    if (rate.minimum_bytes_per_s < least)
        rate.minimum_bytes_per_s = least;
    if (json_object_size(command) > 1 && array_set_rate(array, rate) != 0)
        return json_pack("{sb ss ss}", "ok", 0, "kind", "failed",
                         "text", "the rate is set, but could not be kept for the next start");
    answer = outcome(CLONE_GROUP_OK);
    json_object_set_new(answer, "rate", report_rate(array));
    return answer;
}

static json_t *map(struct array *array, const json_t *command)
{
    uint64_t cells = 256;
    uint32_t clone;

    if (!clone_of(array, command, &clone))
        return wrong_clone(array);
    if (!number(command, "cells", 1, CELLS_MOST, &cells))
        return wrong("\"cells\" must be a number from 1 to 4096");
    return report_map(array, clone, (uint32_t)cells);
}

static json_t *events(struct array *array, const json_t *command)
{
    uint64_t after = 0;

    if (!number(command, "after", 0, INT64_MAX, &after))
        return wrong("\"after\" must be the number of an event");
    return report_events(array, after, EVENTS_MOST);
}

static json_t *status(struct array *array, const json_t *command)
{
    (void)command;
    return report_status(array);
}

static json_t *statistics(struct array *array, const json_t *command)
{
    (void)command;
    return report_statistics(array);
}

static const struct {
    const char *name;
    json_t *(*ask)(struct array *array, const json_t *command);
} QUESTIONS[] = {
    {"status", status}, {"rate", rate}, {"map", map}, {"events", events},
    {"statistics", statistics},
};

// ---------------------------------------------------------------- the line

static json_t *run(struct array *array, const json_t *command)
{
    const char *name = json_string_value(json_object_get(command, "command"));

    if (name == NULL)
        return wrong("a command is an object with the string \"command\"");
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++)
        if (strcmp(name, OPERATIONS[i].name) == 0)
            return operate(array, &OPERATIONS[i], command);
    for (size_t i = 0; i < sizeof QUESTIONS / sizeof *QUESTIONS; i++)
        if (strcmp(name, QUESTIONS[i].name) == 0)
            return QUESTIONS[i].ask(array, command);
    return wrong("no such command");
}

char *command_run(struct array *array, const char *line, size_t bytes)
{
    json_error_t error;
    json_t *command = line == NULL ? NULL : json_loadb(line, bytes, 0, &error);
    json_t *answer = line == NULL ? wrong("the line is too long")
        : command == NULL ? wrong("the line is not JSON") : run(array, command);
    char *text = json_dumps(answer, JSON_COMPACT);

    json_decref(command);
    json_decref(answer);
    return text;
}
