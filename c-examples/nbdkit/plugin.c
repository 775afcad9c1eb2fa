// The array as an nbdkit plugin: the Source and every Clone is an NBD export.
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <nbdkit-plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "control.h"
#include "log.h"

enum { THREADS = 8, MOST_BYTES = 32 << 20 };

static struct settings settings = {.threads = THREADS};
static char *folder;
static char *control_path;
static struct array *array;
static struct control *control;

// An export that a client has open.
struct export {
    uint32_t lu;
    char name[16];
    char description[64];
};

void log_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    nbdkit_verror(format, arguments);
    va_end(arguments);
}

void log_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    nbdkit_vdebug(format, arguments);
    va_end(arguments);
}

// ------------------------------------------------------------- the parameters

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

static int plugin_config(const char *key, const char *value)
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

static int plugin_config_complete(void)
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

#define CONFIG_HELP                                                                       \
    "dir=DIR              (required) folder of the array; made at the first start\n"      \
    "size=SIZE            size of each LU, at the first start (default 1G)\n"             \
    "clones=N             number of Clones, at the first start (2)\n"                     \
    "block=SIZE           block size, at the first start (4096)\n"                        \
    "extent=SIZE          extent size, at the first start (64k)\n"                        \
    "preallocate=BOOL     LUs take their room at the first start (false)\n"               \
    "cap=SIZE             background copies per second, at most; 0: no cap (0)\n"         \
    "minimum=SIZE         the same while hosts are busy, at least (32M)\n"                \
    "direct=BOOL|auto     O_DIRECT (auto: where the file system has it)\n"                \
    "skip-equal=BOOL      copies write only what differs: thin LUs stay thin (false)\n"   \
    "redirect-reads=BOOL  reads of what is not restored yet go to the Clone (false)\n"    \
    "io-threads=N         threads for I/O (8)\n"                                          \
    "control=PATH         the control socket (DIR/control)"

// ------------------------------------------------------------ start and stop

// Before nbdkit goes into the background: who starts the array sees what is wrong, and
// may connect as soon as nbdkit has returned.
static int plugin_get_ready(void)
{
    array = array_open(&settings);
    if (array == NULL)
        return -1;
    control = control_open(array, control_path);
    return control == NULL ? -1 : 0;
}

static int plugin_after_fork(void)
{
    return array_start(array) != 0 ? -1 : control_start(control);
}

static void plugin_cleanup(void)
{
    if (control != NULL)
        control_close(control);
    if (array != NULL) {
        array_stop(array);
        array_free(array);
    }
    array = NULL;
}

static void plugin_unload(void)
{
    free(folder);
    free(control_path);
}

// ---------------------------------------------------------------- the exports

static bool is_readable(uint32_t lu)
{
    uint32_t state = lu == CLONE_GROUP_LU_SOURCE ? 0 : array_clone(array, lu).state;

    return lu == CLONE_GROUP_LU_SOURCE || state == CLONE_GROUP_CLONE_FRACTURED
        || state == CLONE_GROUP_CLONE_RESTORING || state == CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING;
}

static void describe(struct export *export)
{
    struct clone_group_clone_info info;

    lu_name(export->lu, export->name);
    if (export->lu == CLONE_GROUP_LU_SOURCE) {
        snprintf(export->description, sizeof export->description, "the Source");
        return;
    }
    info = array_clone(array, export->lu);
    snprintf(export->description, sizeof export->description, "%s %.40s",
             clone_state_name(info.state), (const char *)info.label);
}

static int plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    (void)readonly, (void)is_tls;
    for (uint32_t lu = 0; lu <= array_settings(array)->clones; lu++) {
        struct export export = {.lu = lu};

        describe(&export);
        if (is_readable(lu) && nbdkit_add_export(exports, export.name, export.description) != 0)
            return -1;
    }
    return 0;
}

static const char *plugin_default_export(int readonly, int is_tls)
{
    (void)readonly, (void)is_tls;
    return "source";
}

static int find_export(const char *name, uint32_t *lu)
{
    char known[16];

    for (*lu = 0; *lu <= array_settings(array)->clones; ++*lu)
        if (strcmp(name, lu_name(*lu, known)) == 0)
            return 0;
    *lu = CLONE_GROUP_LU_SOURCE;
    if (*name == '\0')
        return 0;
    nbdkit_error("no export '%s': there are source, clone1 to clone%" PRIu32, name,
                 array_settings(array)->clones);
    return -1;
}

static void *plugin_open(int readonly)
{
    struct export *export = calloc(1, sizeof *export);
    const char *name = nbdkit_export_name();

    (void)readonly;
    if (export == NULL || name == NULL || find_export(name, &export->lu) != 0) {
        free(export);
        return NULL;
    }
    describe(export);
    if (!is_readable(export->lu)) {
        nbdkit_error("%s is %s: fracture it to read it", export->name,
                     clone_state_name(array_clone(array, export->lu).state));
        free(export);
        return NULL;
    }
    return export;
}

static void plugin_close(void *handle)
{
    free(handle);
}

static const char *plugin_export_description(void *handle)
{
    struct export *export = handle;

    return nbdkit_strdup_intern(export->description);
}

static int64_t plugin_get_size(void *handle)
{
    (void)handle;
    return (int64_t)array_settings(array)->lu_bytes;
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
                             uint32_t *maximum)
{
    (void)handle;
    *minimum = array_settings(array)->block_bytes;
    *preferred = *minimum > 4096 ? *minimum : 4096;
    *maximum = MOST_BYTES;
    return 0;
}

static int plugin_can_write(void *handle)
{
    struct export *export = handle;

    return export->lu == CLONE_GROUP_LU_SOURCE
        || array_clone(array, export->lu).state == CLONE_GROUP_CLONE_FRACTURED;
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

static int no(void *handle)
{
    (void)handle;
    return 0;
}

static int plugin_can_trim(void *handle)
{
    (void)handle;
    return array_discards(array);
}

static int plugin_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

// ---------------------------------------------------------------- the requests

static int error_number(int32_t status)
{
    switch (status) {
    case CLONE_GROUP_ERR_NO_SPACE: return ENOSPC;
    case CLONE_GROUP_ERR_NOMEM: return ENOMEM;
    case CLONE_GROUP_ERR_RANGE:
    case CLONE_GROUP_ERR_INVALID: return EINVAL;
    case CLONE_GROUP_ERR_NOT_SUPPORTED: return EOPNOTSUPP;
    case CLONE_GROUP_ERR_PROTECTED:
    case CLONE_GROUP_ERR_STATE: return EPERM;
    case CLONE_GROUP_ERR_CLOSED:
    case CLONE_GROUP_ERR_NOT_READY: return ESHUTDOWN;
    default: return EIO;
    }
}

static int answer(const struct export *export, const char *what, int32_t status)
{
    if (status == CLONE_GROUP_OK)
        return 0;
    if (status == CLONE_GROUP_ERR_STATE)
        nbdkit_error("%s of %s: it is %s, no point in time", what, export->name,
                     clone_state_name(array_clone(array, export->lu).state));
    else
        nbdkit_error("%s of %s: %s (%s)", what, export->name, status_text(status),
                     clone_group_status_name(status));
    nbdkit_set_error(error_number(status));
    return -1;
}

// nbdkit's blocksize filter makes whole blocks of odd requests. Without it they are
// refused: there is no reading and writing of parts here that could go wrong.
static int check(const struct export *export, uint32_t bytes, uint64_t offset)
{
    uint32_t block_bytes = array_settings(array)->block_bytes;

    if (bytes % block_bytes == 0 && offset % block_bytes == 0)
        return 0;
    nbdkit_error("%" PRIu32 " bytes at %" PRIu64 " of %s are no whole blocks of %" PRIu32
                 " bytes: start nbdkit with --filter=blocksize", bytes, offset, export->name,
                 block_bytes);
    nbdkit_set_error(EINVAL);
    return -1;
}

static int plugin_pread(void *handle, void *data, uint32_t bytes, uint64_t offset, uint32_t flags)
{
    struct export *export = handle;

    (void)flags;
    if (check(export, bytes, offset) != 0)
        return -1;
    return answer(export, "read", array_read(array, export->lu, data, bytes, offset));
}

static int plugin_pwrite(void *handle, const void *data, uint32_t bytes, uint64_t offset,
                         uint32_t flags)
{
    struct export *export = handle;

    if (check(export, bytes, offset) != 0)
        return -1;
    return answer(export, "write", array_write(array, export->lu, data, bytes, offset,
                                               (flags & NBDKIT_FLAG_FUA) != 0));
}

static int plugin_flush(void *handle, uint32_t flags)
{
    struct export *export = handle;

    (void)flags;
    return answer(export, "flush", array_flush(array, export->lu));
}

static int plugin_trim(void *handle, uint32_t bytes, uint64_t offset, uint32_t flags)
{
    struct export *export = handle;

    if (check(export, bytes, offset) != 0)
        return -1;
    return answer(export, "trim", array_discard(array, export->lu, bytes, offset,
                                                (flags & NBDKIT_FLAG_FUA) != 0));
}

// Where holes read as zeroes, one that may be made is the quickest way.
static int plugin_zero(void *handle, uint32_t bytes, uint64_t offset, uint32_t flags)
{
    struct export *export = handle;
    bool durable = (flags & NBDKIT_FLAG_FUA) != 0;
    bool discard = (flags & NBDKIT_FLAG_MAY_TRIM) != 0 && array_discards(array);

    if (check(export, bytes, offset) != 0)
        return -1;
    return answer(export, "zero",
                  discard ? array_discard(array, export->lu, bytes, offset, durable)
                          : array_zero(array, export->lu, bytes, offset, durable));
}

static int plugin_extents(void *handle, uint32_t bytes, uint64_t offset, uint32_t flags,
                          struct nbdkit_extents *extents)
{
    struct export *export = handle;
    uint64_t limit = offset + bytes;

    while (offset < limit) {
        uint64_t end;
        bool zeroes;
        int error = array_run(array, export->lu, offset, limit, &end, &zeroes);

        if (error != 0) {
            nbdkit_error("cannot look for holes of %s: %s", export->name, strerror(error));
            nbdkit_set_error(error);
            return -1;
        }
        if (nbdkit_add_extent(extents, offset, end - offset,
                              zeroes ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0) != 0)
            return -1;
        if (flags & NBDKIT_FLAG_REQ_ONE)
            return 0;
        offset = end;
    }
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "clone-group",
    .longname = "a storage array with Clones and Protected Restore",
    .description = "Serves the Source and the Clones of a Clone Group that lies in files.",
    .magic_config_key = "dir",
    .config = plugin_config,
    .config_complete = plugin_config_complete,
    .config_help = CONFIG_HELP,
    .get_ready = plugin_get_ready,
    .after_fork = plugin_after_fork,
    .cleanup = plugin_cleanup,
    .unload = plugin_unload,
    .list_exports = plugin_list_exports,
    .default_export = plugin_default_export,
    .export_description = plugin_export_description,
    .open = plugin_open,
    .close = plugin_close,
    .get_size = plugin_get_size,
    .block_size = plugin_block_size,
    .can_write = plugin_can_write,
    .can_flush = yes,
    .is_rotational = no,
    .can_trim = plugin_can_trim,
    .can_zero = yes,
    .can_fast_zero = plugin_can_trim,
    .can_fua = plugin_can_fua,
    // A flush goes to the LU, whichever connection wrote.
    .can_multi_conn = yes,
    .can_extents = yes,
    .pread = plugin_pread,
    .pwrite = plugin_pwrite,
    .flush = plugin_flush,
    .trim = plugin_trim,
    .zero = plugin_zero,
    .extents = plugin_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
