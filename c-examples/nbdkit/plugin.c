// The array as an nbdkit plugin: the Source and every Clone is an NBD export.
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <nbdkit-plugin.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "control.h"
#include "log.h"
#include "parameters.h"

enum { MOST_BYTES = 32 << 20 };

static struct array *array;
static struct control *control;

// An export that a client has open.
struct export {
    uint32_t lu;
    char name[16];
    char description[64];
};

// ------------------------------------------------------------ start and stop

// Before nbdkit goes into the background: who starts the array sees what is wrong, and
// may connect as soon as nbdkit has returned.
static int plugin_get_ready(void)
{
    array = array_open(parameters_settings());
    if (array == NULL)
        return -1;
    control = control_open(array, parameters_control_path());
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
    .config = parameters_take,
    .config_complete = parameters_complete,
    .config_help = PARAMETERS_HELP,
    .get_ready = plugin_get_ready,
    .after_fork = plugin_after_fork,
    .cleanup = plugin_cleanup,
    .unload = parameters_free,
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
