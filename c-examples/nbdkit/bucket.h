// A token bucket for background copies (docs/rate.md), in bytes: a cap, and a
// minimum that hosts cannot take. It is filled by the clock, and emptied by the
// reads that copies begin: so adjoining extents may go as one I/O.
#ifndef BUCKET_H
#define BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    uint64_t cap_bytes_per_s;       // 0: none
    uint64_t minimum_bytes_per_s;   // while hosts are busy
};

struct bucket {
    struct rate rate;
    uint64_t piece_bytes;   // what should go as one I/O
    uint64_t now_ns;        // when it was filled last
    int64_t cap_bytes;      // what is in it; below 0: debts
    int64_t minimum_bytes;
};

void bucket_init(struct bucket *bucket, struct rate rate, uint64_t piece_bytes, uint64_t now_ns);
void bucket_set(struct bucket *bucket, struct rate rate);

// How many bytes may be begun now.
uint64_t bucket_allows(struct bucket *bucket, uint64_t now_ns, bool hosts_are_busy);

// So many were begun. May be more than was allowed: the rest is waited for.
void bucket_take(struct bucket *bucket, uint64_t bytes);

#endif
