// Background copies at a rate: a cap, and a minimum that hosts cannot take.
struct token_bucket {
    uint64_t cap_per_s;     // extents per second, at most
    uint64_t minimum_per_s; // extents per second, however busy hosts are
    uint64_t burst;         // extents that may be saved up, at least 2
    uint64_t now_ns;        // when it was filled last
    uint64_t cap;           // what is in it, in billionths of an extent
    uint64_t minimum;
};

enum { EXTENT = 1000000000 };

static uint64_t filled(uint64_t tokens, uint64_t per_s, uint64_t elapsed_ns, uint64_t burst)
{
    uint64_t full = burst * EXTENT;
    if (per_s == 0 || elapsed_ns < (full - tokens) / per_s)
        return tokens + per_s * elapsed_ns;
    return full;
}

static uint64_t without_one(uint64_t tokens)
{
    return tokens > EXTENT ? tokens - EXTENT : 0;
}

// In place of clone_group_sync_step(), and with what that returns.
static int32_t token_bucket_step(struct token_bucket *bucket, struct clone_group *group,
                                 uint64_t now_ns, int hosts_are_busy)
{
    uint64_t elapsed_ns = now_ns - bucket->now_ns;
    uint64_t *tokens = hosts_are_busy ? &bucket->minimum : &bucket->cap;

    bucket->now_ns = now_ns;
    bucket->cap = filled(bucket->cap, bucket->cap_per_s, elapsed_ns, bucket->burst);
    bucket->minimum = filled(bucket->minimum, bucket->minimum_per_s, elapsed_ns, bucket->burst);
    while (*tokens >= EXTENT) {
        int32_t status = clone_group_sync_step(group, 1);
        if (status != CLONE_GROUP_MORE)
            return status; // no copy was begun: idle, or every copy slot is taken
        bucket->cap = without_one(bucket->cap);
        bucket->minimum = without_one(bucket->minimum);
    }
    return clone_group_cod_poll(group, 64); // copy on demand needs no tokens (R69)
}
