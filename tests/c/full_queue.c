// Goal: every queue is bounded, and full is not broken. With requests_max host
// requests in the library the next one is refused with CLONE_GROUP_ERR_BUSY and
// changes nothing; then everything finishes and there is room again. Once with
// requests that wait for an LU, once with writes that wait for copies on demand
// in the COD Queue, while administration goes on; and with writes that wait for
// room among the write intents while the group is closed.

#include "array.h"

enum { REQUESTS = 16, MORE_REQUESTS = 3 };

static struct array array;
static unsigned char *image;

static int32_t submit(uint64_t first, int is_write)
{
    unsigned char *payload = image + first * 512;

    if (!is_write) {
        return clone_group_host_read(array.group, 0, first, 1, payload, 0,
                                     array_tag(&array));
    }
    array_fill(payload, first, 1, 512, 99);
    return clone_group_host_write(array.group, 0, first, 1, payload, 0,
                                  array_tag(&array));
}

static void refuse_more(void)
{
    uint64_t last = array.last_tag;
    uint32_t index;

    for (index = 0; index < MORE_REQUESTS; index++) {
        CHECK_STATUS(CLONE_GROUP_ERR_BUSY,
                     clone_group_host_read(array.group, 0, 0, 1, image, 0,
                                           array_tag(&array)));
        CHECK_STATUS(CLONE_GROUP_ERR_BUSY,
                     clone_group_host_write(array.group, 0, 160, 1, image, 0,
                                            array_tag(&array)));
        CHECK_STATUS(CLONE_GROUP_ERR_BUSY,
                     clone_group_host_flush(array.group, 0,
                                            array_tag(&array)));
    }
    CHECK_EQUAL(REQUESTS, array_info(&array).requests);
    array_drain(&array);
    while (++last <= array.last_tag) {
        CHECK_EQUAL(0, array.done_count[last]);
    }
}

static void fill_the_queue(int is_write)
{
    uint64_t tags[REQUESTS];
    uint32_t index;

    for (index = 0; index < REQUESTS; index++) {
        CHECK_STATUS(CLONE_GROUP_PENDING, submit(index * 8 + 1, is_write));
        CHECK_EQUAL(index + 1, array_info(&array).requests);
        tags[index] = array.last_tag;
    }
    refuse_more();
    CHECK_EQUAL(0, array_info(&array).requests);
    for (index = 0; index < REQUESTS; index++) {
        CHECK_EQUAL(1, array.done_count[tags[index]]);
        CHECK_STATUS(CLONE_GROUP_OK, array.done_status[tags[index]]);
    }
}

// All requests are at the LU.
static void check_in_flight(void)
{
    array.mode = ARRAY_LATE;
    fill_the_queue(0);
    fill_the_queue(0);
}

// All requests are in the COD Queue, with one copy at a time.
static void check_cod_queue(void)
{
    unsigned char *point;
    uint64_t copies;
    uint32_t index;

    array.mode = ARRAY_MIXED;
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_write(&array, 0, image, 0, array.config.lu_blocks));
    array_add_clone(&array, 1);
    array_synchronize(&array, 1);
    array_fracture(&array, 1);
    point = array_image(&array, image);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_write(&array, 0, image, 0, array.config.lu_blocks));
    array_drain(&array);
    array_restore(&array, 1);
    memcpy(image, point, (size_t)array.lu_bytes);
    array.frozen_lu = 1;

    copies = array_statistics(&array).cod_extents;
    array.mode = ARRAY_LATE;
    fill_the_queue(1);
    CHECK_EQUAL(copies + REQUESTS, array_statistics(&array).cod_extents);
    CHECK_EQUAL(REQUESTS, array_statistics(&array).cod_queue_peak);
    CHECK_EQUAL(0, array_info(&array).cod_queue_depth);
    array_expect(&array, 0, image);

    // An operation needs no request slot: it begins and ends with a full queue.
    for (index = 0; index < REQUESTS; index++) {
        CHECK_STATUS(CLONE_GROUP_PENDING, submit(index * 8 + 1, 0));
    }
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array, clone_group_pause(array.group,
                                                        array_tag(&array))));
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array, clone_group_resume(array.group,
                                                         array_tag(&array))));
    array_settle(&array);
    CHECK_EQUAL(CLONE_GROUP_CLONE_FRACTURED, array_clone_state(&array, 1));
    array_drain(&array);
    CHECK_EQUAL(0, memcmp(image, array.lu[0], (size_t)array.lu_bytes));
    CHECK_EQUAL(0, memcmp(point, array.lu[1], (size_t)array.lu_bytes));
    free(point);
}

// Every request waits for a write intent, because another one holds all of them
// (R78); then the group is closed: they finish all the same.
static void check_intents(void)
{
    static struct array small;
    unsigned char *content;
    uint64_t tags[2 * REQUESTS];
    uint32_t count = 0;
    uint32_t index;

    array_init(&small, 2);
    small.config.requests_max = 2 * REQUESTS;
    small.config.intent_extents_max = 16;
    array_format(&small);
    content = array_image(&small, small.lu[0]);
    array_add_clone(&small, 1);
    array_synchronize(&small, 1);
    small.mode = ARRAY_LATE;
    for (index = 0; index < 20; index++) {
        uint64_t block = index * 8;

        array_fill(content + block * 512, block, 1, 512, 7);
        CHECK_STATUS(CLONE_GROUP_PENDING,
                     clone_group_host_write(small.group, 0, block, 1,
                                            content + block * 512, 0,
                                            array_tag(&small)));
        tags[count++] = small.last_tag;
    }
    array_close(&small);
    for (index = 0; index < count; index++) {
        CHECK_EQUAL(1, small.done_count[tags[index]]);
        CHECK_STATUS(CLONE_GROUP_OK, small.done_status[tags[index]]);
    }
    CHECK_EQUAL(0, memcmp(content, small.lu[0], (size_t)small.lu_bytes));
    CHECK_EQUAL(0, memcmp(content, small.lu[1], (size_t)small.lu_bytes));
    array_free(&small);
    free(content);
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    array_init(&array, 2);
    array.config.requests_max = REQUESTS;
    array.config.copies_max = 1;
    array_format(&array);
    image = array_image(&array, array.lu[0]);
    check_in_flight();
    check_cod_queue();
    check_intents();
    array_close(&array);
    array_free(&array);
    free(image);
    return 0;
}
