#include "bucket.h"

enum { NS_PER_S = 1000000000 };

// What may be saved up: 100 ms, but at least two pieces; with one, what flows in
// between the moment it is full and the next poll would be lost.
static int64_t burst(const struct bucket *bucket, uint64_t bytes_per_s)
{
    uint64_t least = 2 * bucket->piece_bytes;
    uint64_t most = bytes_per_s / 10;

    return (int64_t)(most > least ? most : least);
}

static int64_t filled(const struct bucket *bucket, int64_t bytes, uint64_t bytes_per_s,
                      uint64_t elapsed_ns)
{
    double more = (double)bytes_per_s * (double)elapsed_ns / NS_PER_S;
    int64_t full = burst(bucket, bytes_per_s);

    return (double)bytes + more < (double)full ? bytes + (int64_t)more : full;
}

void bucket_init(struct bucket *bucket, struct rate rate, uint64_t piece_bytes, uint64_t now_ns)
{
    *bucket = (struct bucket){.rate = rate, .piece_bytes = piece_bytes, .now_ns = now_ns};
}

void bucket_set(struct bucket *bucket, struct rate rate)
{
    bucket->rate = rate;
    bucket->cap_bytes = bucket->minimum_bytes = 0;
}

uint64_t bucket_allows(struct bucket *bucket, uint64_t now_ns, bool hosts_are_busy)
{
    enum { LEAST_NS = 1000000 }; // less would round to nothing at low rates
    const struct rate *rate = &bucket->rate;
    uint64_t elapsed_ns = now_ns - bucket->now_ns;
    int64_t allowed;

    if (elapsed_ns >= LEAST_NS) {
        bucket->now_ns = now_ns;
        bucket->cap_bytes = filled(bucket, bucket->cap_bytes, rate->cap_bytes_per_s, elapsed_ns);
        bucket->minimum_bytes =
            filled(bucket, bucket->minimum_bytes, rate->minimum_bytes_per_s, elapsed_ns);
    }
    if (!hosts_are_busy && rate->cap_bytes_per_s == 0)
        return UINT64_MAX;
    allowed = hosts_are_busy ? bucket->minimum_bytes : bucket->cap_bytes;
    return allowed >= (int64_t)bucket->piece_bytes ? (uint64_t)allowed : 0;
}

void bucket_take(struct bucket *bucket, uint64_t bytes)
{
    int64_t debt = -burst(bucket, bucket->rate.minimum_bytes_per_s);

    bucket->cap_bytes -= (int64_t)bytes;
    bucket->minimum_bytes -= (int64_t)bytes;
    // What was copied while hosts were idle is no reason to keep the minimum from
    // a copy when they come back.
    if (bucket->minimum_bytes < debt)
        bucket->minimum_bytes = debt;
    if (bucket->rate.cap_bytes_per_s == 0)
        bucket->cap_bytes = 0;
}
