#include "parameters.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8 };

static struct settings settings = {.threads = THREADS};
static char *folder;
static char *control_path;

static int take_bytes(const char *key, const char *value, int64_t least, int64_t most,
                      int64_t *bytes)
{
    *bytes = nbdkit_parse_size(value);
    if (*bytes >= least && *bytes <= most)
        return 0;
    if (*bytes >= 0)
        nbdkit_error("%s must be from %" PRIi64 " to %" PRIi64 " bytes", key, least, most);
    return -1;
}

static int take_power(const char *key, const char *value, int64_t least, int64_t most,
                      uint32_t *bytes)
{
    int64_t wide;

    if (take_bytes(key, value, least, most, &wide) != 0)
        return -1;
    if ((wide & (wide - 1)) != 0) {
        nbdkit_error("%s must be a power of two", key);
        return -1;
    }
    *bytes = (uint32_t)wide;
    return 0;
}

static int take_rate(const char *key, const char *value, uint64_t *bytes)
{
    int64_t wide;

    if (take_bytes(key, value, 0, INT64_MAX / 16, &wide) != 0)
        return -1;
    *bytes = (uint64_t)wide;
    return 0;
}

static int take_size(const char *value)
{
    int64_t wide;

    if (take_bytes("size", value, 65536, INT64_C(1) << 50, &wide) != 0)
        return -1;
    settings.lu_bytes = (uint64_t)wide;
    return 0;
}

static int take_count(const char *key, const char *value, uint32_t most, uint32_t *count)
{
    if (nbdkit_parse_uint32_t(key, value, count) != 0)
        return -1;
    if (*count >= 1 && *count <= most)
        return 0;
    nbdkit_error("%s must be from 1 to %" PRIu32, key, most);
    return -1;
}

static int take_flag(const char *value, bool *flag)
{
    int said = nbdkit_parse_bool(value);

    *flag = said > 0;
    return said < 0 ? -1 : 0;
}

static int take_direct(const char *value)
{
    bool on;

    if (strcmp(value, "auto") == 0)
        return 0;
    if (take_flag(value, &on) != 0)
        return -1;
    settings.direct = on ? LU_DIRECT_ON : LU_DIRECT_OFF;
    return 0;
}

static int take_path(const char *value, char **path)
{
    free(*path);
    *path = nbdkit_absolute_path(value); // nbdkit goes to / when it goes into the background
    return *path == NULL ? -1 : 0;
}

int parameters_take(const char *key, const char *value)
{
    if (strcmp(key, "dir") == 0)
        return take_path(value, &folder);
    if (strcmp(key, "control") == 0)
        return take_path(value, &control_path);
    if (strcmp(key, "size") == 0)
        return take_size(value);
    if (strcmp(key, "clones") == 0)
        return take_count(key, value, CLONES_MOST, &settings.clones);
    if (strcmp(key, "block") == 0)
        return take_power(key, value, 512, 65536, &settings.block_bytes);
    if (strcmp(key, "extent") == 0)
        return take_power(key, value, 512, 1 << 30, &settings.extent_bytes);
    if (strcmp(key, "cap") == 0)
        return take_rate(key, value, &settings.rate.cap_bytes_per_s);
    if (strcmp(key, "minimum") == 0)
        return take_rate(key, value, &settings.rate.minimum_bytes_per_s);
    if (strcmp(key, "io-threads") == 0)
        return take_count(key, value, 64, &settings.threads);
    if (strcmp(key, "direct") == 0)
        return take_direct(value);
    if (strcmp(key, "preallocate") == 0)
        return take_flag(value, &settings.preallocate);
    if (strcmp(key, "skip-equal") == 0)
        return take_flag(value, &settings.skip_equal);
    if (strcmp(key, "redirect-reads") == 0)
        return take_flag(value, &settings.redirect_reads);
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

int parameters_complete(void)
{
    if (folder == NULL) {
        nbdkit_error("say where the array is: dir=DIR");
        return -1;
    }
    settings.folder = folder;
    if (control_path == NULL && asprintf(&control_path, "%s/control", folder) < 0)
        control_path = NULL;
    return control_path == NULL ? -1 : 0;
}

const struct settings *parameters_settings(void)
{
    return &settings;
}

const char *parameters_control_path(void)
{
    return control_path;
}

void parameters_free(void)
{
    free(folder);
    free(control_path);
}
