// An LU: a file that is read and written past the page cache where the file
// system can do that. Its writes are durable after lu_flush(): the disk below has
// a cache too. Every call may come from any thread, many at once.
#ifndef LU_H
#define LU_H

#include <stdbool.h>
#include <stdint.h>

enum { LU_ALIGN_BYTES = 4096 }; // of memory, for O_DIRECT; other memory is bounced

enum lu_direct { LU_DIRECT_AUTO, LU_DIRECT_ON, LU_DIRECT_OFF };

struct lu {
    char name[32];
    int file;
    int durable_file;   // the same, O_DSYNC: a write with FUA must not wait for
                        // all else that is in the cache
    uint64_t bytes;
    bool direct;
    bool discards;      // holes can be punched, and read as zeroes
};

// Opens the file `name` in the folder. Returns 0, or -1 after log_error().
// With `create` it is made, or made anew, as `bytes` zeroes; with `preallocate`
// it also takes its room on the disk.
int lu_open(struct lu *lu, int folder, const char *name, uint64_t bytes, uint32_t block_bytes,
            enum lu_direct direct, bool create, bool preallocate);
void lu_close(struct lu *lu);

// Each returns 0 or an errno. With `durable` it is over when it is on the disk.
int lu_read(struct lu *lu, void *data, uint64_t bytes, uint64_t offset);
int lu_write(struct lu *lu, const void *data, uint64_t bytes, uint64_t offset, bool durable);
int lu_zero(struct lu *lu, uint64_t bytes, uint64_t offset, bool durable);
int lu_discard(struct lu *lu, uint64_t bytes, uint64_t offset, bool durable);
int lu_flush(struct lu *lu);

// Where the run of data or of zeroes that begins at `offset` ends, at most at
// `limit`, and which of the two it is.
int lu_run(struct lu *lu, uint64_t offset, uint64_t limit, uint64_t *end, bool *zeroes);

#endif
