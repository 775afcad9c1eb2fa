#include "lu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

enum { BOUNCE_BYTES = 1 << 20 };

// -------------------------------------------------------------- the transfers

static int read_all(int file, uint8_t *data, uint64_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t got = pread(file, data, bytes, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return ENXIO; // the file ends too early: somebody has cut it
        data += got;
        offset += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return 0;
}

static int write_all(int file, const uint8_t *data, uint64_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t put = pwrite(file, data, bytes, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        data += put;
        offset += (uint64_t)put;
        bytes -= (uint64_t)put;
    }
    return 0;
}

// -------------------------------------------------------- the bounce buffers

// One for each thread: hosts' buffers are wherever they are, and O_DIRECT wants
// them aligned.
static pthread_key_t bounce_key;
static pthread_once_t bounce_once = PTHREAD_ONCE_INIT;

static void bounce_begin(void)
{
    if (pthread_key_create(&bounce_key, free) != 0)
        abort();
}

static uint8_t *bounce_buffer(void)
{
    void *buffer;

    pthread_once(&bounce_once, bounce_begin);
    buffer = pthread_getspecific(bounce_key);
    if (buffer == NULL) {
        if (posix_memalign(&buffer, LU_ALIGN_BYTES, BOUNCE_BYTES) != 0)
            return NULL;
        pthread_setspecific(bounce_key, buffer);
    }
    return buffer;
}

static bool must_bounce(const struct lu *lu, const void *data)
{
    return lu->direct && (uintptr_t)data % LU_ALIGN_BYTES != 0;
}

static uint64_t piece(uint64_t bytes)
{
    return bytes < BOUNCE_BYTES ? bytes : BOUNCE_BYTES;
}

int lu_read(struct lu *lu, void *data, uint64_t bytes, uint64_t offset)
{
    uint8_t *to = data;
    uint8_t *bounce;

    if (!must_bounce(lu, data))
        return read_all(lu->file, to, bytes, offset);
    if ((bounce = bounce_buffer()) == NULL)
        return ENOMEM;
    for (uint64_t at = 0; at < bytes; at += piece(bytes - at)) {
        int error = read_all(lu->file, bounce, piece(bytes - at), offset + at);

        if (error != 0)
            return error;
        memcpy(to + at, bounce, piece(bytes - at));
    }
    return 0;
}

int lu_write(struct lu *lu, const void *data, uint64_t bytes, uint64_t offset, bool durable)
{
    int file = durable ? lu->durable_file : lu->file;
    const uint8_t *from = data;
    uint8_t *bounce;

    if (!must_bounce(lu, data))
        return write_all(file, from, bytes, offset);
    if ((bounce = bounce_buffer()) == NULL)
        return ENOMEM;
    for (uint64_t at = 0; at < bytes; at += piece(bytes - at)) {
        int error;

        memcpy(bounce, from + at, piece(bytes - at));
        error = write_all(file, bounce, piece(bytes - at), offset + at);
        if (error != 0)
            return error;
    }
    return 0;
}

int lu_flush(struct lu *lu)
{
    return fdatasync(lu->file) == 0 ? 0 : errno;
}

// ------------------------------------------------------------ zeroes and holes

static int change_room(struct lu *lu, int mode, uint64_t bytes, uint64_t offset, bool durable)
{
    int error;

    do
        error = fallocate(lu->file, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) == 0
            ? 0 : errno;
    while (error == EINTR);
    return error != 0 || !durable ? error : lu_flush(lu);
}

static int write_zeroes(struct lu *lu, uint64_t bytes, uint64_t offset, bool durable)
{
    uint8_t *zeroes = bounce_buffer();

    if (zeroes == NULL)
        return ENOMEM;
    memset(zeroes, 0, piece(bytes));
    for (uint64_t at = 0; at < bytes; at += piece(bytes - at)) {
        int error = lu_write(lu, zeroes, piece(bytes - at), offset + at, durable);

        if (error != 0)
            return error;
    }
    return 0;
}

int lu_zero(struct lu *lu, uint64_t bytes, uint64_t offset, bool durable)
{
    int error = change_room(lu, FALLOC_FL_ZERO_RANGE, bytes, offset, durable);

    // tmpfs and others know holes, but no ZERO_RANGE.
    if (error == EOPNOTSUPP && lu->discards)
        error = change_room(lu, FALLOC_FL_PUNCH_HOLE, bytes, offset, durable);
    return error == EOPNOTSUPP ? write_zeroes(lu, bytes, offset, durable) : error;
}

int lu_discard(struct lu *lu, uint64_t bytes, uint64_t offset, bool durable)
{
    return change_room(lu, FALLOC_FL_PUNCH_HOLE, bytes, offset, durable);
}

int lu_run(struct lu *lu, uint64_t offset, uint64_t limit, uint64_t *end, bool *zeroes)
{
    off_t data = lseek(lu->file, (off_t)offset, SEEK_DATA);
    off_t next;

    if (data < 0 && errno != ENXIO)
        return errno;
    *zeroes = data < 0 || (uint64_t)data > offset;
    next = data < 0 ? (off_t)limit : *zeroes ? data : lseek(lu->file, data, SEEK_HOLE);
    if (next < 0)
        return errno;
    *end = (uint64_t)next < limit ? (uint64_t)next : limit;
    return *end > offset ? 0 : EIO;
}

// --------------------------------------------------------- opening, closing

// Some file systems refuse O_DIRECT at open, some at the first transfer.
static int try_direct(const struct lu *lu, uint32_t block_bytes)
{
    uint8_t *buffer = bounce_buffer();

    return buffer == NULL ? ENOMEM : read_all(lu->file, buffer, block_bytes, 0);
}

static int open_both(struct lu *lu, int folder, int flags)
{
    lu->file = openat(folder, lu->name, O_RDWR | O_CLOEXEC | flags);
    lu->durable_file = openat(folder, lu->name, O_RDWR | O_CLOEXEC | O_DSYNC | flags);
    return lu->file >= 0 && lu->durable_file >= 0 ? 0 : errno;
}

static int open_direct(struct lu *lu, int folder, uint32_t block_bytes)
{
    int error = open_both(lu, folder, O_DIRECT);

    lu->direct = true;
    if (error == 0)
        error = try_direct(lu, block_bytes);
    if (error != 0)
        lu_close(lu);
    return error;
}

static int make(const struct lu *lu, int folder, bool preallocate)
{
    int file = openat(folder, lu->name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int error = file < 0 ? errno : 0;

    if (error == 0 && ftruncate(file, (off_t)lu->bytes) != 0)
        error = errno;
    if (error == 0 && preallocate)
        error = posix_fallocate(file, 0, (off_t)lu->bytes);
    if (error == 0 && fsync(file) != 0)
        error = errno;
    if (file >= 0)
        close(file);
    return error;
}

static int check_size(const struct lu *lu)
{
    struct stat found;

    if (fstat(lu->file, &found) != 0) {
        log_error("cannot look at the file '%s': %s", lu->name, strerror(errno));
        return -1;
    }
    if ((uint64_t)found.st_size == lu->bytes)
        return 0;
    log_error("the file '%s' has %" PRIu64 " bytes, but the group was made with LUs of %" PRIu64,
              lu->name, (uint64_t)found.st_size, lu->bytes);
    return -1;
}

int lu_open(struct lu *lu, int folder, const char *name, uint64_t bytes, uint32_t block_bytes,
            enum lu_direct direct, bool create, bool preallocate)
{
    int error = 0;

    *lu = (struct lu){.file = -1, .durable_file = -1, .bytes = bytes};
    snprintf(lu->name, sizeof lu->name, "%s", name);
    if (create)
        error = make(lu, folder, preallocate);
    if (error == 0)
        error = direct == LU_DIRECT_OFF ? EINVAL : open_direct(lu, folder, block_bytes);
    if (error == EINVAL && direct != LU_DIRECT_ON) {
        lu->direct = false;
        error = open_both(lu, folder, 0);
        if (error == 0 && direct == LU_DIRECT_AUTO)
            log_note("'%s' is on a file system without O_DIRECT: its I/O goes through the page cache",
                     name);
    }
    if (error != 0) {
        log_error("cannot %s the file '%s': %s", create ? "create" : "open", name, strerror(error));
        lu_close(lu);
        return -1;
    }
    // Behind the end, where nothing is.
    lu->discards = change_room(lu, FALLOC_FL_PUNCH_HOLE, block_bytes, bytes, false) == 0;
    return check_size(lu);
}

void lu_close(struct lu *lu)
{
    if (lu->file >= 0)
        close(lu->file);
    if (lu->durable_file >= 0)
        close(lu->durable_file);
    lu->file = lu->durable_file = -1;
}
