// Goal: what a callback or a completion reports is taken at its word, and only
// if it is one (R80, R81). Statuses of the controller's own reach the host
// unchanged; positive nonsense, such as the count that pread returns, is a
// failed I/O and an event; RETRY is offered again on a later poll, under a new
// id; a completion that nobody waits for is refused and does nothing.

#include "array.h"

static struct array array;
static unsigned char *image;

// What the next I/Os with this operation return, and how many of them do.
static struct {
    uint32_t operation;
    int32_t result;
    uint32_t count;
    uint64_t ids[64];
    uint32_t seen;
} answer;

static int give_answer(struct array *of, const struct clone_group_io *io,
                       int32_t *result)
{
    (void)of;
    if (io->operation != answer.operation || answer.seen >= answer.count) {
        return 0;
    }
    answer.ids[answer.seen++] = io->id;
    *result = answer.result;
    return 1;
}

static void answer_with(uint32_t operation, int32_t result, uint32_t count)
{
    answer.operation = operation;
    answer.result = result;
    answer.count = count;
    answer.seen = 0;
    array.hook = give_answer;
}

static int32_t read_block(void)
{
    static uint8_t data[512];

    return array_finish(&array, clone_group_host_read(array.group, 0, 4, 1,
                                                      data, 0,
                                                      array_tag(&array)));
}

static int32_t flush(void)
{
    return array_finish(&array, clone_group_host_flush(array.group, 0,
                                                       array_tag(&array)));
}

// ------------------------------------------------------------------ statuses

// Any negative number is the controller's own, and goes to the host as it is.
static void check_negative(void)
{
    static const int32_t statuses[] = {CLONE_GROUP_ERR_IO, -4242, -1, -1000,
                                       CLONE_GROUP_ERR_INTERNAL, INT32_MIN};
    size_t index;

    for (index = 0; index < sizeof statuses / sizeof *statuses; index++) {
        uint64_t errors = array_statistics(&array).io_errors;

        answer_with(CLONE_GROUP_IO_READ, statuses[index], 1);
        CHECK_STATUS(statuses[index], read_block());
        answer_with(CLONE_GROUP_IO_WRITE, statuses[index], 1);
        CHECK_STATUS(statuses[index], array_write(&array, 0, image, 4, 1));
        answer_with(CLONE_GROUP_IO_FLUSH, statuses[index], 1);
        CHECK_STATUS(statuses[index], flush());
        CHECK_EQUAL(errors + 3, array_statistics(&array).io_errors);
        // The group goes on.
        CHECK_STATUS(CLONE_GROUP_OK, array_write(&array, 0, image, 4, 1));
        CHECK_STATUS(CLONE_GROUP_OK, read_block());
    }
    CHECK_EQUAL(0, array_info(&array).conditions);
}

static void check_positive(void)
{
    static const int32_t statuses[] = {CLONE_GROUP_MORE, 4, 512, 4096,
                                       INT32_MAX};
    size_t index;

    for (index = 0; index < sizeof statuses / sizeof *statuses; index++) {
        const struct clone_group_event *event =
            &array.last_event[CLONE_GROUP_EVENT_CALLBACK_RESULT];
        uint32_t *events =
            &array.event_count[CLONE_GROUP_EVENT_CALLBACK_RESULT];
        uint32_t before = *events;

        answer_with(CLONE_GROUP_IO_READ, statuses[index], 1);
        CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_RESULT, read_block());
        array_drain(&array);
        CHECK_EQUAL(before + 1, *events);
        CHECK_EQUAL(statuses[index], event->value);
        CHECK_EQUAL(0, event->lu);
        answer_with(CLONE_GROUP_IO_WRITE, statuses[index], 1);
        CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_RESULT,
                     array_write(&array, 0, image, 4, 1));
        answer_with(CLONE_GROUP_IO_FLUSH, statuses[index], 1);
        CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_RESULT, flush());
        array_drain(&array);
        CHECK_EQUAL(before + 3, *events);
    }
    CHECK_STATUS(CLONE_GROUP_OK, array_write(&array, 0, image, 4, 1));
}

// The same in a completion; RETRY and PENDING mean nothing there either.
static void check_completions(void)
{
    static const int32_t statuses[] = {1, 2, 3, 512, INT32_MAX, -4242, -5};
    size_t index;

    array.hook = NULL;
    array.mode = ARRAY_LATE;
    for (index = 0; index < sizeof statuses / sizeof *statuses; index++) {
        int32_t expected = statuses[index] > 0 ? CLONE_GROUP_ERR_CALLBACK_RESULT
                                               : statuses[index];
        uint32_t *events =
            &array.event_count[CLONE_GROUP_EVENT_CALLBACK_RESULT];
        uint32_t before = *events;
        uint8_t data[512];

        CHECK_STATUS(CLONE_GROUP_PENDING,
                     clone_group_host_read(array.group, 0, 0, 1, data, 0,
                                           array_tag(&array)));
        CHECK_EQUAL(1, array.in_flight_count);
        array_complete(&array, 0, statuses[index]);
        CHECK_EQUAL(0, array.done_count[array.last_tag]);
        CHECK_STATUS(expected, array_wait(&array, array.last_tag));
        array_drain(&array);
        CHECK_EQUAL(before + (statuses[index] > 0), *events);
    }
    array.mode = ARRAY_SYNC;
}

// --------------------------------------------------------------------- RETRY

// Not taken three times: offered at most once in a poll, each time anew.
static void check_retry(int32_t status)
{
    uint32_t offers = answer.seen;
    uint32_t index;
    uint32_t polls;

    CHECK_STATUS(CLONE_GROUP_PENDING, status);
    CHECK(offers <= 1); // a flush begins in a poll
    for (polls = 0; array.done_count[array.last_tag] == 0; polls++) {
        CHECK(polls < 100);
        offers = answer.seen;
        CHECK(array_poll(&array, 0) >= 0);
        CHECK(answer.seen <= offers + 1);
    }
    CHECK_EQUAL(3, answer.seen);
    CHECK_STATUS(CLONE_GROUP_OK, array.done_status[array.last_tag]);
    for (index = 1; index < 3; index++) {
        CHECK(answer.ids[index] != answer.ids[index - 1]);
    }
    // An id of an offer that was not taken is not in flight.
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(array.group, answer.ids[0], 0));
}

static void check_retries(void)
{
    unsigned char *payload = image + 4 * 512;

    answer_with(CLONE_GROUP_IO_READ, CLONE_GROUP_RETRY, 3);
    check_retry(clone_group_host_read(array.group, 0, 4, 1, payload, 0,
                                      array_tag(&array)));
    memset(payload, 0x77, 512);
    answer_with(CLONE_GROUP_IO_WRITE, CLONE_GROUP_RETRY, 3);
    check_retry(clone_group_host_write(array.group, 0, 4, 1, payload, 0,
                                       array_tag(&array)));
    CHECK_EQUAL(0, memcmp(payload, array.lu[0] + 4 * 512, 512));
    answer_with(CLONE_GROUP_IO_FLUSH, CLONE_GROUP_RETRY, 3);
    check_retry(clone_group_host_flush(array.group, 0, array_tag(&array)));
    array.hook = NULL;
}

// -------------------------------------------------------------------- copies

// A copy that returns a count has failed, on either side: the Synchronization
// stalls, and goes on when resume lets it try again.
static void check_copies(uint32_t operation, uint32_t lu)
{
    uint32_t failed = array.event_count[CLONE_GROUP_EVENT_COPY_FAILED];
    uint32_t results = array.event_count[CLONE_GROUP_EVENT_CALLBACK_RESULT];
    uint32_t stalls = array.event_count[CLONE_GROUP_EVENT_STALLED];
    struct clone_group_clone_info info;

    array_add_clone(&array, lu);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array,
                              clone_group_synchronize(array.group, lu,
                                                      array_tag(&array))));
    answer_with(operation, 4096, 64);
    array_settle(&array);
    CHECK(answer.seen >= 21 && answer.seen < 64); // every extent, at least once
    array.hook = NULL;
    CHECK_EQUAL(stalls + 1, array.event_count[CLONE_GROUP_EVENT_STALLED]);
    // A run that failed is copied extent by extent: each of the 21 is named once.
    CHECK_EQUAL(failed + 21,
                array.event_count[CLONE_GROUP_EVENT_COPY_FAILED]);
    CHECK_EQUAL(results + answer.seen,
                array.event_count[CLONE_GROUP_EVENT_CALLBACK_RESULT]);
    info = array_clone_info(&array, lu);
    CHECK_EQUAL(CLONE_GROUP_CLONE_SYNCHRONIZING, info.state);
    CHECK_EQUAL(CLONE_GROUP_CONDITION_STALLED, info.conditions);
    CHECK_EQUAL(21, info.extents_failed);
    CHECK_EQUAL(21, info.extents_left);
    CHECK_EQUAL(0, info.first_failed_extent);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array, clone_group_resume(array.group,
                                                         array_tag(&array))));
    array_settle(&array);
    CHECK_EQUAL(CLONE_GROUP_CLONE_SYNCHRONIZED, array_clone_state(&array, lu));
    CHECK_EQUAL(0, memcmp(array.lu[0], array.lu[lu], (size_t)array.lu_bytes));
}

// ------------------------------------------------------------------- mirrors

static uint32_t in_flight_on(uint32_t lu, uint64_t block)
{
    uint32_t index;

    for (index = 0; index < array.in_flight_count; index++) {
        const struct clone_group_io *io = &array.in_flight[index];

        if (io->operation == CLONE_GROUP_IO_WRITE && io->lu == lu
            && io->first_block == block) {
            return index;
        }
    }
    array_fail(__FILE__, __LINE__, "the leg is in flight");
    return 0;
}

static void in_flight_all(void)
{
    // Until the legs are with the array: a page may have to be written first.
    while (array.in_flight_count < 6) {
        uint32_t index = array.in_flight_count;

        (void)array_poll_once(&array, 0);
        while (index-- > 0) {
            if (array.in_flight[index].operation != CLONE_GROUP_IO_WRITE) {
                array_complete(&array, index, CLONE_GROUP_OK);
            }
        }
    }
}

// A mirrored write has a leg on the Source and one on each Clone. Clone 2 fails
// because of one write; then another one, which reached it, fails on the
// Source: its extents may differ now, and Clone 2 must know although it has
// failed.
static void check_mirrors(void)
{
    uint64_t tags[2];
    uint32_t index;

    array.mode = ARRAY_LATE;
    for (index = 0; index < 2; index++) {
        uint64_t block = index == 0 ? 16 : 80;

        array_fill(image + block * 512, block, 1, 512, 55);
        CHECK_STATUS(CLONE_GROUP_PENDING,
                     clone_group_host_write(array.group, 0, block, 1,
                                            image + block * 512, 0,
                                            array_tag(&array)));
        tags[index] = array.last_tag;
    }
    in_flight_all();
    array_complete(&array, in_flight_on(2, 16), -77);
    array_complete(&array, in_flight_on(2, 80), CLONE_GROUP_OK);
    while (array_poll_once(&array, 0) == CLONE_GROUP_MORE) {
    }
    CHECK_EQUAL(CLONE_GROUP_CLONE_OUT_OF_SYNC, array_clone_state(&array, 2));
    CHECK_EQUAL(CLONE_GROUP_CONDITION_FAILED,
                array_clone_info(&array, 2).conditions);
    array_complete(&array, in_flight_on(0, 80), -78);
    // A mirror never fails the host; the Source does.
    CHECK_STATUS(CLONE_GROUP_OK, array_wait(&array, tags[0]));
    CHECK_STATUS(-78, array_wait(&array, tags[1]));
    array_drain(&array);
    array.mode = ARRAY_SYNC;
    CHECK_EQUAL(0, ~array_map(&array, CLONE_GROUP_MAP_DELTA, 2)
                       & ((1 << 16 / 8) | (1 << 80 / 8)));
    array_settle(&array);
    CHECK_EQUAL(CLONE_GROUP_CLONE_SYNCHRONIZED, array_clone_state(&array, 1));
    array_synchronize(&array, 2);
    CHECK_EQUAL(0, memcmp(array.lu[0], array.lu[1], (size_t)array.lu_bytes));
}

// ------------------------------------------------------------------ metadata

// A page write that returns a count was not done: the write that needs it is
// refused, and never reaches the LU; repair mends it.
static void check_metadata(void)
{
    array_fracture(&array, 1);
    answer_with(CLONE_GROUP_IO_PERSIST_WRITE, 512, 64);
    CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_RESULT,
                 array_write(&array, 0, image, 100, 1));
    CHECK(array_info(&array).conditions
          & CLONE_GROUP_CONDITION_METADATA_FAILED);
    array_fill(image + 100 * 512, 100, 1, 512, 0);
    CHECK(memcmp(image + 100 * 512, array.lu[0] + 100 * 512, 512) != 0);
    array.hook = NULL;
    CHECK_STATUS(CLONE_GROUP_ERR_METADATA_FAILED,
                 array_write(&array, 0, image, 108, 1));
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array,
                              clone_group_metadata_repair(array.group,
                                                          array_tag(&array))));
    CHECK_EQUAL(0, array_info(&array).conditions);
    CHECK_STATUS(CLONE_GROUP_OK, array_write(&array, 0, image, 100, 16));
    array_expect_range(&array, 0, image, 100, 16);
}

// ---------------------------------------------------------- stale completions

static void check_stale(void)
{
    uint8_t data[512];
    uint64_t id;
    uint64_t other;

    array.mode = ARRAY_LATE;
    CHECK_STATUS(CLONE_GROUP_PENDING,
                 clone_group_host_read(array.group, 0, 0, 1, data, 0,
                                       array_tag(&array)));
    id = array.in_flight[0].id;
    for (other = 1; other < 64; other++) {
        uint64_t foreign = id ^ ((uint64_t)1 << other);

        CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                     clone_group_io_complete(array.group, foreign, -5));
    }
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(array.group, 0, -5));
    array_complete(&array, 0, CLONE_GROUP_OK);
    // Twice, before and after the poll that takes the first one in.
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(array.group, id, -5));
    CHECK_STATUS(CLONE_GROUP_OK, array_wait(&array, array.last_tag));
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(array.group, id, -5));
    // The slot serves another I/O, and the old id still means nothing.
    CHECK_STATUS(CLONE_GROUP_PENDING,
                 clone_group_host_read(array.group, 0, 0, 1, data, 0,
                                       array_tag(&array)));
    CHECK(array.in_flight[0].id != id);
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(array.group, id, -5));
    CHECK_EQUAL(CLONE_GROUP_PENDING, array_poll_once(&array, 0));
    // In flight: the workspace may not go (R82).
    CHECK_STATUS(CLONE_GROUP_ERR_BUSY, clone_group_destroy(array.group));
    array_complete(&array, 0, CLONE_GROUP_OK);
    CHECK_STATUS(CLONE_GROUP_OK, array_wait(&array, array.last_tag));
    array.mode = ARRAY_SYNC;
    // An I/O that was done at once is not in flight.
    answer_with(CLONE_GROUP_IO_READ, CLONE_GROUP_OK, 1);
    CHECK_STATUS(CLONE_GROUP_OK, read_block());
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(array.group, answer.ids[0], 0));
    array.hook = NULL;
}

// Format meets the same callbacks. The persistent area is no LU in an event.
static void check_format(void)
{
    answer_with(CLONE_GROUP_IO_PERSIST_FLUSH, 512, 1);
    CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_RESULT,
                 array_finish(&array, clone_group_format(array.group, 0,
                                                         array_tag(&array))));
    array_drain(&array);
    CHECK_EQUAL(1, array.event_count[CLONE_GROUP_EVENT_CALLBACK_RESULT]);
    CHECK_EQUAL(CLONE_GROUP_LU_NONE,
                array.last_event[CLONE_GROUP_EVENT_CALLBACK_RESULT].lu);
    answer_with(CLONE_GROUP_IO_PERSIST_WRITE, 512, 1);
    CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_RESULT,
                 array_finish(&array, clone_group_format(array.group, 0,
                                                         array_tag(&array))));
    answer_with(CLONE_GROUP_IO_PERSIST_READ, -4242, 1);
    CHECK_STATUS(-4242,
                 array_finish(&array, clone_group_format(array.group, 0,
                                                         array_tag(&array))));
    array.hook = NULL;
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array, clone_group_format(array.group, 0,
                                                         array_tag(&array))));
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    array_init(&array, 3);
    array.restless = 1;
    array.lu_flags = CLONE_GROUP_LU_VOLATILE_CACHE; // so that flushes get there
    array_make(&array);
    array_open(&array);
    check_format();
    image = array_image(&array, array.lu[0]);
    check_negative();
    check_positive();
    check_completions();
    check_retries();
    check_stale();
    check_copies(CLONE_GROUP_IO_READ, 1);
    check_copies(CLONE_GROUP_IO_WRITE, 2);
    check_mirrors();
    check_metadata();
    array_close(&array);
    array_free(&array);
    free(image);
    return 0;
}
