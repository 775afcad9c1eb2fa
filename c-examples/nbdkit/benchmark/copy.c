// The copy limit: what copies a range of one file to another one as the Sync Engine of the array does, with
// nothing around it. As many threads as the array has copies at once; each reads a piece and writes it, with
// O_DIRECT; the target is flushed at the end.
//   copy FROM TO BYTES PIECE_BYTES THREADS BYTES_PER_S
// BYTES_PER_S 0: as fast as it goes. SIGTERM ends it early. Prints how many bytes it has copied, and in how
// many seconds.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MOST = 64, ALIGN_BYTES = 4096 };

static int from, to;
static uint64_t bytes, piece_bytes, bytes_per_s;
static double start_s;
static atomic_uint_least64_t next, copied;
static atomic_bool stopped;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "copy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void stop(int number)
{
    (void)number;
    atomic_store(&stopped, true);
}

// At the rate, this piece's turn comes when all before it have had their time.
static void wait_for_turn(uint64_t offset)
{
    double left_s;

    while (bytes_per_s > 0 && !atomic_load(&stopped)
           && (left_s = start_s + (double)offset / (double)bytes_per_s - now_s()) > 0)
        usleep((useconds_t)((left_s < 0.05 ? left_s : 0.05) * 1e6) + 1);
}

static void *copy(void *unused)
{
    void *buffer;
    uint64_t offset;

    (void)unused;
    if ((errno = posix_memalign(&buffer, ALIGN_BYTES, piece_bytes)) != 0)
        fail("no memory");
    while ((offset = atomic_fetch_add(&next, piece_bytes)) < bytes) {
        uint64_t length = bytes - offset < piece_bytes ? bytes - offset : piece_bytes;

        wait_for_turn(offset);
        if (atomic_load(&stopped))
            break;
        if (pread(from, buffer, length, (off_t)offset) != (ssize_t)length)
            fail("cannot read");
        if (pwrite(to, buffer, length, (off_t)offset) != (ssize_t)length)
            fail("cannot write");
        atomic_fetch_add(&copied, length);
    }
    free(buffer);
    return NULL;
}

static int open_file(const char *path)
{
    int file = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (file < 0)
        fail(path);
    return file;
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS_MOST];
    unsigned long thread_count;

    if (count != 7 || (thread_count = strtoul(arguments[5], NULL, 10)) < 1 || thread_count > THREADS_MOST) {
        fprintf(stderr, "usage: copy FROM TO BYTES PIECE_BYTES THREADS BYTES_PER_S\n");
        return 2;
    }
    from = open_file(arguments[1]);
    to = open_file(arguments[2]);
    bytes = strtoull(arguments[3], NULL, 10);
    piece_bytes = strtoull(arguments[4], NULL, 10);
    bytes_per_s = strtoull(arguments[6], NULL, 10);
    signal(SIGTERM, stop);
    start_s = now_s();
    for (unsigned long i = 0; i < thread_count; i++)
        if ((errno = pthread_create(&threads[i], NULL, copy, NULL)) != 0)
            fail("cannot start a thread");
    for (unsigned long i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    if (fdatasync(to) != 0)
        fail("cannot flush");
    printf("%" PRIu64 " %.6f\n", (uint64_t)atomic_load(&copied), now_s() - start_s);
    return 0;
}
