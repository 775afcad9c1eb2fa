// The token bucket of docs/rate.md keeps its cap, keeps its minimum under busy
// hosts, saves up no more than its burst, and never holds a copy on demand.
#include "array.h"

#include "token_bucket.h"

enum { EXTENTS = 1000, MS = 1000000 };

static struct array array;
static struct token_bucket bucket;

static uint64_t copied(void)
{
    return array_statistics(&array).sync_extents;
}

static int32_t step(uint64_t now_ns, int hosts_are_busy)
{
    int32_t status;

    array.polling++;
    status = token_bucket_step(&bucket, array.group, now_ns, hosts_are_busy);
    array.polling--;
    CHECK(status >= CLONE_GROUP_OK);
    return status;
}

// Polls for so many milliseconds, several times in each; returns what was
// copied.
static uint64_t run(uint64_t duration_ms, int hosts_are_busy)
{
    uint64_t before = copied();
    uint64_t end_ns = bucket.now_ns + duration_ms * MS;
    uint64_t now_ns = bucket.now_ns;

    while (now_ns < end_ns) {
        now_ns += array_random(MS);
        step(now_ns < end_ns ? now_ns : end_ns, hosts_are_busy);
    }
    return copied() - before;
}

static void expect(uint64_t extents, uint64_t value)
{
    // Some were saved up before, some are left.
    CHECK(value + bucket.burst >= extents);
    CHECK(value <= extents + bucket.burst);
}

static void check_rates(void)
{
    bucket.cap_per_s = 200;
    bucket.minimum_per_s = 10;
    bucket.burst = 2;
    expect(100, run(500, 0));
    // Busy hosts get the bandwidth, but for the minimum.
    expect(10, run(1000, 1));
    expect(40, run(200, 0));
    // However many polls there are.
    bucket.cap_per_s = 10;
    expect(2, run(200, 0));
}

static void check_burst(void)
{
    uint64_t before = copied();

    bucket.cap_per_s = 1000;
    bucket.burst = 20;
    step(bucket.now_ns + (uint64_t)3600 * 1000 * MS, 0);
    CHECK_EQUAL(20, copied() - before);
    // A time that stands still gives nothing.
    step(bucket.now_ns, 0);
    CHECK_EQUAL(20, copied() - before);
}

// The bucket is empty; a host is served all the same.
static void check_copy_on_demand(void)
{
    uint64_t before = copied();
    uint64_t on_demand = array_statistics(&array).cod_extents;
    uint64_t now_ns = bucket.now_ns;
    unsigned char data[512];
    uint64_t tag = array_tag(&array);
    int32_t status;

    bucket.cap = 0;
    bucket.minimum = 0;
    status = clone_group_host_read(array.group, 0, 8 * (EXTENTS - 1), 1, data,
                                   0, tag);
    CHECK_EQUAL(CLONE_GROUP_PENDING, status);
    while (array.done_count[tag] == 0) {
        step(now_ns, 0);
    }
    CHECK_EQUAL(CLONE_GROUP_OK, array.done_status[tag]);
    CHECK_EQUAL(on_demand + 1, array_statistics(&array).cod_extents);
    CHECK_EQUAL(before, copied());
}

int main(int argc, char **argv)
{
    unsigned char *image;

    array_seed(argc, argv);
    array_init(&array, 2);
    array.config.lu_blocks = 8 * EXTENTS;
    array_format(&array);
    array_add_clone(&array, 1);
    array_synchronize(&array, 1);
    array_fracture(&array, 1);
    image = array_image(&array, array.lu[0]);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_write(&array, 0, image, 0, 8 * EXTENTS));
    free(image);
    array_restore(&array, 1);
    check_rates();
    check_burst();
    check_copy_on_demand();
    array_settle(&array);
    CHECK_EQUAL(0, memcmp(array.lu[0], array.lu[1], (size_t)array.lu_bytes));
    array_close(&array);
    array_free(&array);
    return 0;
}
