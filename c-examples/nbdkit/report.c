#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define INTEGER(value) ((json_int_t)(value))

struct name {
    uint32_t flag;
    const char *name;
};

static const struct name CONDITIONS[] = {
    {CLONE_GROUP_CONDITION_METADATA_FAILED, "MetadataFailed"},
    {CLONE_GROUP_CONDITION_PAUSED, "Paused"},
    {CLONE_GROUP_CONDITION_SOURCE_INVALID, "SourceInvalid"},
    {CLONE_GROUP_CONDITION_POISONED, "Poisoned"},
    {CLONE_GROUP_CONDITION_STALLED, "Stalled"},
    {CLONE_GROUP_CONDITION_FAILED, "Failed"},
    {CLONE_GROUP_CONDITION_PREPARED, "Prepared"},
    {CLONE_GROUP_CONDITION_RESTORABLE, "Restorable"},
    {CLONE_GROUP_CONDITION_VERIFYING, "Verifying"},
};

static json_t *conditions(uint32_t flags)
{
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof CONDITIONS / sizeof *CONDITIONS; i++)
        if (flags & CONDITIONS[i].flag)
            json_array_append_new(list, json_string(CONDITIONS[i].name));
    return list;
}

static json_t *lu_counters(struct array *array, uint32_t lu)
{
    struct clone_group_lu_info info = {.struct_size = sizeof info};

    clone_group_lu_query(array_group(array), lu, &info);
    return json_pack("{sI sI sI sI sI sI}",
                     "reads", INTEGER(info.reads), "writes", INTEGER(info.writes),
                     "flushes", INTEGER(info.flushes), "read_errors", INTEGER(info.read_errors),
                     "write_errors", INTEGER(info.write_errors),
                     "flush_errors", INTEGER(info.flush_errors));
}

// A label is whatever somebody gave, perhaps no text.
static json_t *label(const uint8_t *bytes, size_t most)
{
    json_t *text = json_stringn((const char *)bytes, strnlen((const char *)bytes, most));

    return text != NULL ? text : json_string("");
}

static json_t *clone_status(struct array *array, uint32_t lu)
{
    struct clone_group_clone_info info = array_clone(array, lu);

    return json_pack("{si ss so so sI sI sI sI sI sI sI sI sI sI so}",
                     "clone", (int)lu, "state", clone_state_name(info.state),
                     "conditions", conditions(info.conditions),
                     "label", label(info.label, sizeof info.label),
                     "extents_left", INTEGER(info.extents_left),
                     "extents_to_copy", INTEGER(info.extents_to_copy),
                     "extents_copied", INTEGER(info.extents_copied),
                     "extents_skipped", INTEGER(info.extents_skipped),
                     "extents_failed", INTEGER(info.extents_failed),
                     "first_failed_extent", INTEGER(info.first_failed_extent),
                     "copy_time_ns", INTEGER(info.copy_time_ns),
                     "verify_extents_left", INTEGER(info.verify_extents_left),
                     "verify_extents_failed", INTEGER(info.verify_extents_failed),
                     "mismatched_extents", INTEGER(info.mismatched_extents),
                     "io", lu_counters(array, lu));
}

json_t *report_rate(struct array *array)
{
    struct rate rate = array_rate(array);

    return json_pack("{sI sI}", "cap_bytes_per_s", INTEGER(rate.cap_bytes_per_s),
                     "minimum_bytes_per_s", INTEGER(rate.minimum_bytes_per_s));
}

static json_t *group_status(struct array *array)
{
    const struct settings *settings = array_settings(array);
    struct clone_group_info info = array_info(array);

    return json_pack("{ss so sI sI sI sI sI si si sI si si sI so so}",
                     "folder", settings->folder, "conditions", conditions(info.conditions),
                     "lu_bytes", INTEGER(settings->lu_bytes),
                     "block_bytes", INTEGER(settings->block_bytes),
                     "extent_bytes", INTEGER(settings->extent_bytes),
                     "extents", INTEGER(info.extents_total),
                     "protected_restore_extents", INTEGER(info.protected_restore_extents),
                     "restoring", (int)info.restoring_lu, "reversing", (int)info.reversing_lu,
                     "restore_generation", INTEGER(info.restore_generation),
                     "requests", (int)info.requests,
                     "cod_queue_depth", (int)info.cod_queue_depth,
                     "events", INTEGER(history_count(array_history(array))),
                     "rate", report_rate(array),
                     "source_io", lu_counters(array, CLONE_GROUP_LU_SOURCE));
}

json_t *report_status(struct array *array)
{
    json_t *clones = json_array();

    for (uint32_t lu = 1; lu <= array_settings(array)->clones; lu++)
        json_array_append_new(clones, clone_status(array, lu));
    return json_pack("{sb so so}", "ok", 1, "group", group_status(array), "clones", clones);
}

// ---------------------------------------------------------------------- the map

// One row of numbers for each thing that is counted: short, and easy to sum up.
static json_t *row(const struct cell *cells, uint32_t count, size_t offset)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        uint64_t value;

        memcpy(&value, (const char *)&cells[i] + offset, sizeof value);
        json_array_append_new(list, json_integer(INTEGER(value)));
    }
    return list;
}

json_t *report_map(struct array *array, uint32_t clone, uint32_t count)
{
    uint64_t extents = array_info(array).extents_total;
    struct cell *cells;
    json_t *answer;
    int32_t status;

    count = count < extents ? count : (uint32_t)extents;
    cells = calloc(count, sizeof *cells);
    status = cells == NULL ? CLONE_GROUP_ERR_NOMEM : array_picture(array, clone, cells, count);
    if (status == CLONE_GROUP_OK)
        answer = json_pack("{sb si ss sI so so so so so}", "ok", 1, "clone", (int)clone,
                           "state", clone_state_name(array_clone(array, clone).state),
                           "extents_total", INTEGER(extents),
                           "extents", row(cells, count, offsetof(struct cell, extents)),
                           "to_copy", row(cells, count, offsetof(struct cell, to_copy)),
                           "copying", row(cells, count, offsetof(struct cell, copying)),
                           "copied", row(cells, count, offsetof(struct cell, copied)),
                           "host_written", row(cells, count, offsetof(struct cell, host_written)));
    else
        answer = json_pack("{sb ss si ss ss}", "ok", 0, "kind", "failed", "status", (int)status,
                           "name", clone_group_status_name(status),
                           "text", status_text(status));
    free(cells);
    return answer;
}

// ------------------------------------------------------------------- the events

static json_t *event(const struct happened *happened)
{
    char name[16];

    json_t *event = json_pack("{sI sf ss ss ss si ss sI}", "number", INTEGER(happened->number),
                              "time", (double)happened->time.tv_sec + happened->time.tv_nsec / 1e9,
                              "lu", lu_name(happened->event.lu, name),
                              "event", happened->event.name, "text", happened->event.text,
                              "status", (int)happened->event.status,
                              "status_name", clone_group_status_name(happened->event.status),
                              "value", INTEGER(happened->event.value));

    if (happened->event.kind == CLONE_GROUP_EVENT_CLONE_STATE)
        json_object_set_new(event, "state",
                            json_string(clone_state_name((uint32_t)happened->event.value)));
    return event;
}

json_t *report_events(struct array *array, uint64_t after, uint32_t most)
{
    struct happened *found = calloc(most, sizeof *found);
    uint32_t count = found == NULL ? 0 : history_read(array_history(array), after, found, most);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, event(&found[i]));
    free(found);
    return json_pack("{sb so}", "ok", 1, "events", list);
}

json_t *report_statistics(struct array *array)
{
    struct clone_group_statistics all = {.struct_size = sizeof all};
    json_t *answer = json_pack("{sb}", "ok", 1);

    clone_group_statistics_query(array_group(array), &all);
#define COUNTER(name) json_object_set_new(answer, #name, json_integer(INTEGER(all.name)))
    COUNTER(host_reads);
    COUNTER(host_writes);
    COUNTER(host_flushes);
    COUNTER(redirected_reads);
    COUNTER(cod_queued);
    COUNTER(cod_queue_peak);
    COUNTER(cod_extents);
    COUNTER(cod_wait_ns_max);
    COUNTER(cod_wait_ns_total);
    COUNTER(sync_extents);
    COUNTER(sync_copies);
    COUNTER(skipped_extents);
    COUNTER(overwritten_extents);
    COUNTER(collisions);
    COUNTER(exclusive_copies);
    COUNTER(page_writes);
    COUNTER(page_waits);
    COUNTER(superblock_writes);
    COUNTER(engine_flushes);
    COUNTER(io_errors);
    COUNTER(metadata_errors);
    COUNTER(verified_extents);
    COUNTER(mismatched_extents);
#undef COUNTER
    return answer;
}
