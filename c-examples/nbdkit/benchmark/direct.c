// A limit for hosts: an nbdkit plugin that serves one file with the file I/O of the array (lu.c: O_DIRECT,
// bounce buffers, fdatasync for a flush, O_DSYNC for FUA), and without the library. nbdkit's own file plugin
// goes through the page cache even with cache=none, so that it alone would be no fair limit.
//   nbdkit --filter=blocksize direct.so dir=DIR name=FILE bytes=BYTES
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <nbdkit-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lu.h"

enum { BLOCK_BYTES = 4096, MOST_BYTES = 32 << 20 };

static struct lu lu = {.file = -1, .durable_file = -1};
static char *folder;
static char *name;
static uint64_t bytes;

static int direct_config(const char *key, const char *value)
{
    if (strcmp(key, "dir") == 0)
        return (folder = nbdkit_realpath(value)) == NULL ? -1 : 0;
    if (strcmp(key, "name") == 0)
        return (name = strdup(value)) == NULL ? -1 : 0;
    if (strcmp(key, "bytes") == 0)
        return nbdkit_parse_uint64_t(key, value, &bytes);
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int direct_get_ready(void)
{
    int file;
    int opened;

    if (folder == NULL || name == NULL || (file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        nbdkit_error("say which file: dir=DIR name=FILE bytes=BYTES");
        return -1;
    }
    opened = lu_open(&lu, file, name, bytes, BLOCK_BYTES, LU_DIRECT_AUTO, false, false);
    close(file);
    return opened;
}

static void direct_unload(void)
{
    lu_close(&lu);
    free(folder);
    free(name);
}

static void *direct_open(int readonly)
{
    (void)readonly;
    return &lu;
}

static int64_t direct_get_size(void *handle)
{
    (void)handle;
    return (int64_t)bytes;
}

static int direct_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = *preferred = BLOCK_BYTES;
    *maximum = MOST_BYTES;
    return 0;
}

static int yes(void *handle)
{
    (void)handle;
    return 1;
}

static int direct_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_NATIVE;
}

static int answer(int error)
{
    nbdkit_set_error(error);
    return error == 0 ? 0 : -1;
}

static int direct_pread(void *handle, void *data, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)flags;
    return answer(lu_read(handle, data, count, offset));
}

static int direct_pwrite(void *handle, const void *data, uint32_t count, uint64_t offset, uint32_t flags)
{
    return answer(lu_write(handle, data, count, offset, (flags & NBDKIT_FLAG_FUA) != 0));
}

static int direct_flush(void *handle, uint32_t flags)
{
    (void)flags;
    return answer(lu_flush(handle));
}

static struct nbdkit_plugin plugin = {
    .name = "direct",
    .config = direct_config,
    .get_ready = direct_get_ready,
    .unload = direct_unload,
    .open = direct_open,
    .get_size = direct_get_size,
    .block_size = direct_block_size,
    .can_flush = yes,
    .can_multi_conn = yes,
    .can_fua = direct_can_fua,
    .pread = direct_pread,
    .pwrite = direct_pwrite,
    .flush = direct_flush,
};

NBDKIT_REGISTER_PLUGIN(plugin)
