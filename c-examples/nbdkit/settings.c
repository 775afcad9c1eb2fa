#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

static const char NAME[] = "group.json";
static const char NEW_NAME[] = "group.json.new";

void settings_default(struct settings *settings)
{
    if (settings->lu_bytes == 0)
        settings->lu_bytes = UINT64_C(1) << 30;
    if (settings->block_bytes == 0)
        settings->block_bytes = 4096;
    if (settings->extent_bytes == 0)
        settings->extent_bytes = 65536;
    if (settings->clones == 0)
        settings->clones = 2;
    if (settings->rate.minimum_bytes_per_s == 0)
        settings->rate.minimum_bytes_per_s = UINT64_C(32) << 20;
}

// ------------------------------------------------------------------- the file

static void id_to_text(const uint8_t *id, char *text)
{
    for (int i = 0; i < GROUP_ID_BYTES; i++)
        sprintf(text + 2 * i, "%02x", id[i]);
}

static bool id_from_text(const char *text, uint8_t *id)
{
    for (int i = 0; i < GROUP_ID_BYTES; i++) {
        unsigned int byte;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        id[i] = (uint8_t)byte;
    }
    return strlen(text) == 2 * GROUP_ID_BYTES;
}

static bool whole_number(const json_t *file, const char *key, uint64_t most, uint64_t *value)
{
    const json_t *found = json_object_get(file, key);

    if (!json_is_integer(found) || json_integer_value(found) < 0
        || (uint64_t)json_integer_value(found) > most) {
        log_error("'%s' says nothing that can be used as \"%s\"", NAME, key);
        return false;
    }
    *value = (uint64_t)json_integer_value(found);
    return true;
}

// Takes what the file says, if nothing else was said.
static bool same(const json_t *file, const char *key, uint64_t most, uint64_t *said)
{
    uint64_t found;

    if (!whole_number(file, key, most, &found))
        return false;
    if (*said != 0 && *said != found) {
        log_error("this array was made with %s = %" PRIu64 ", not %" PRIu64 ": leave that parameter out",
                  key, found, *said);
        return false;
    }
    *said = found;
    return true;
}

static bool same32(const json_t *file, const char *key, uint32_t most, uint32_t *said)
{
    uint64_t wide = *said;
    bool good = same(file, key, most, &wide);

    *said = (uint32_t)wide;
    return good;
}

// Each start may say another rate.
static bool kept(const json_t *file, const char *key, uint64_t *said)
{
    return *said != 0 || whole_number(file, key, INT64_MAX, said);
}

static enum settings_found take(struct settings *settings, const json_t *file)
{
    const char *id = json_string_value(json_object_get(file, "group_id"));
    const json_t *ready = json_object_get(file, "ready");

    // Only who said so has not finished: LUs are made anew then, and lose what they hold.
    if (!json_is_boolean(ready)) {
        log_error("'%s' says nothing that can be used as \"ready\"", NAME);
        return SETTINGS_FAILED;
    }
    if (!json_is_true(ready))
        return SETTINGS_UNFINISHED;
    if (id == NULL || !id_from_text(id, settings->group_id)) {
        log_error("'%s' has no \"group_id\"", NAME);
        return SETTINGS_FAILED;
    }
    return same(file, "lu_bytes", INT64_MAX, &settings->lu_bytes)
            && same32(file, "block_bytes", 65536, &settings->block_bytes)
            && same32(file, "extent_bytes", UINT32_C(1) << 30, &settings->extent_bytes)
            && same32(file, "clones", CLONES_MOST, &settings->clones)
            && kept(file, "cap_bytes_per_s", &settings->rate.cap_bytes_per_s)
            && kept(file, "minimum_bytes_per_s", &settings->rate.minimum_bytes_per_s)
        ? SETTINGS_READY : SETTINGS_FAILED;
}

enum settings_found settings_load(struct settings *settings, int folder)
{
    int file = openat(folder, NAME, O_RDONLY | O_CLOEXEC);
    enum settings_found found;
    json_error_t error;
    json_t *json;

    if (file < 0 && errno == ENOENT)
        return SETTINGS_NONE;
    if (file < 0) {
        log_error("cannot open '%s': %s", NAME, strerror(errno));
        return SETTINGS_FAILED;
    }
    json = json_loadfd(file, 0, &error);
    close(file);
    if (!json_is_object(json)) {
        log_error("'%s' is damaged: %s", NAME, json == NULL ? error.text : "not an object");
        json_decref(json);
        return SETTINGS_FAILED;
    }
    found = take(settings, json);
    json_decref(json);
    return found;
}

static int replace(const json_t *json, int folder)
{
    int file = openat(folder, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int good = file >= 0 && json_dumpfd(json, file, JSON_INDENT(2)) == 0 && fsync(file) == 0;

    if (file >= 0 && close(file) != 0)
        good = 0;
    return good && renameat(folder, NEW_NAME, folder, NAME) == 0 && fsync(folder) == 0;
}

int settings_save(const struct settings *settings, int folder, bool ready)
{
    char id[2 * GROUP_ID_BYTES + 1];
    json_t *json;
    int good;

    id_to_text(settings->group_id, id);
    json = json_pack("{sb ss sI sI sI sI sI sI}",
                     "ready", ready, "group_id", id,
                     "lu_bytes", (json_int_t)settings->lu_bytes,
                     "block_bytes", (json_int_t)settings->block_bytes,
                     "extent_bytes", (json_int_t)settings->extent_bytes,
                     "clones", (json_int_t)settings->clones,
                     "cap_bytes_per_s", (json_int_t)settings->rate.cap_bytes_per_s,
                     "minimum_bytes_per_s", (json_int_t)settings->rate.minimum_bytes_per_s);
    errno = ENOMEM;
    good = json != NULL && replace(json, folder);
    if (!good)
        log_error("cannot write '%s': %s", NAME, strerror(errno));
    json_decref(json);
    return good ? 0 : -1;
}
