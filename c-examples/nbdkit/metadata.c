#include "metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "log.h"

static const char NAME[] = "metadata";

// flock() and not fcntl(): the lock goes along when nbdkit forks into the
// background, and flock(1) of a script sees it.
int metadata_open(struct metadata *metadata, int folder, const char *folder_name)
{
    metadata->file = openat(folder, NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (metadata->file < 0) {
        log_error("cannot open '%s/%s' for reading and writing: %s", folder_name, NAME,
                  strerror(errno));
        return -1;
    }
    if (flock(metadata->file, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        log_error("another array runs on '%s': it holds the lock of the file '%s'", folder_name,
                  NAME);
    else
        log_error("cannot lock '%s/%s': %s", folder_name, NAME, strerror(errno));
    metadata_close(metadata);
    return -1;
}

int metadata_make(struct metadata *metadata, uint64_t bytes)
{
    enum { PIECE = 65536 };
    uint8_t *zeroes = calloc(1, PIECE);
    int error = zeroes == NULL ? ENOMEM : 0;

    if (error == 0 && ftruncate(metadata->file, 0) != 0)
        error = errno;
    for (uint64_t at = 0; error == 0 && at < bytes; at += PIECE)
        error = metadata_write(metadata, zeroes, bytes - at < PIECE ? bytes - at : PIECE, at);
    if (error == 0 && fsync(metadata->file) != 0)
        error = errno;
    free(zeroes);
    if (error != 0)
        log_error("cannot make the file '%s': %s", NAME, strerror(error));
    return error == 0 ? 0 : -1;
}

void metadata_close(struct metadata *metadata)
{
    if (metadata->file >= 0)
        close(metadata->file);
    metadata->file = -1;
}

int metadata_read(struct metadata *metadata, void *data, uint64_t bytes, uint64_t offset)
{
    uint8_t *to = data;

    while (bytes > 0) {
        ssize_t got = pread(metadata->file, to, bytes, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : ENXIO;
        to += got;
        offset += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return 0;
}

int metadata_write(struct metadata *metadata, const void *data, uint64_t bytes, uint64_t offset)
{
    const uint8_t *from = data;

    while (bytes > 0) {
        ssize_t put = pwrite(metadata->file, from, bytes, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        from += put;
        offset += (uint64_t)put;
        bytes -= (uint64_t)put;
    }
    return 0;
}

int metadata_flush(struct metadata *metadata)
{
    return fdatasync(metadata->file) == 0 ? 0 : errno;
}
