// Goal: programs and libraries of different age fit together. A struct of an
// older program is shorter, and what it lacks has its default; that of a newer
// program is longer, which is fine as long as the library need not know the
// rest: zeroes. Nothing is ever written behind the caller's size.

#include "array.h"

enum { TAIL = 32, PATTERN = 0xC7 };

static struct array array;

// A struct in a larger space, to see what is written around it.
union space {
    unsigned char bytes[512];
    uint64_t align;
    void *align_pointer;
};

static void paint(union space *space)
{
    memset(space->bytes, PATTERN, sizeof space->bytes);
}

static void check_painted(const union space *space, size_t from)
{
    for (; from < sizeof space->bytes; from++) {
        CHECK_EQUAL(PATTERN, space->bytes[from]);
    }
}

static uint32_t size_in(const union space *space)
{
    uint32_t size;

    memcpy(&size, space->bytes, sizeof size);
    return size;
}

// ------------------------------------------------------------------- init

static int32_t init_config(void *at, uint32_t struct_size)
{
    return clone_group_config_init(at, struct_size);
}

static int32_t init_ops(void *at, uint32_t struct_size)
{
    return clone_group_ops_init(at, struct_size);
}

// Zeroes and the size, nothing behind it, for callers of any age.
static void check_init(int32_t (*init)(void *, uint32_t), size_t full)
{
    const size_t sizes[] = {8, 24, full - 8, full, full + TAIL};
    union space *space = malloc(sizeof *space);
    size_t index;
    size_t at;

    CHECK(space != NULL);
    for (index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        paint(space);
        CHECK_STATUS(CLONE_GROUP_OK, init(space, (uint32_t)sizes[index]));
        CHECK_EQUAL(sizes[index], size_in(space));
        for (at = 4; at < sizes[index]; at++) {
            CHECK_EQUAL(0, space->bytes[at]);
        }
        check_painted(space, sizes[index]);
    }
    paint(space);
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, init(space, 0));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, init(space, 3));
    check_painted(space, 0);
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, init(NULL, (uint32_t)full));
    free(space);
}

// ----------------------------------------------------------------- config

// What a configuration of this age costs; also proves that create agrees.
static int32_t try_config(const void *config, uint64_t *workspace_bytes)
{
    uint64_t metadata_bytes = 1;
    struct clone_group *group = NULL;
    int32_t status = clone_group_workspace_size(config, workspace_bytes);

    CHECK_STATUS(status, clone_group_metadata_size(config, &metadata_bytes));
    CHECK_STATUS(status,
                 clone_group_create(config, &array.ops, NULL, 0, &group));
    CHECK((group != NULL) == (status == CLONE_GROUP_OK));
    if (group != NULL) {
        CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(group));
    }
    return status;
}

static void check_config(void)
{
    const size_t full = sizeof(struct clone_group_config);
    struct clone_group_config config;
    union space space;
    uint64_t defaults = 0;
    uint64_t bytes = 0;

    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_config_init(&config, sizeof config));
    config.lu_blocks = 100000;
    CHECK_STATUS(CLONE_GROUP_OK, try_config(&config, &defaults));

    // Older: only the size of the LUs. What lies behind it is not looked at.
    paint(&space);
    memcpy(&space, &config, 16);
    config.struct_size = 16;
    memcpy(&space, &config.struct_size, 4);
    CHECK_STATUS(CLONE_GROUP_OK, try_config(&space, &bytes));
    CHECK_EQUAL(defaults, bytes);
    // Older still: without the size of the LUs there is no group.
    config.struct_size = 8;
    memcpy(&space, &config.struct_size, 4);
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, try_config(&space, &bytes));

    // Newer, and uses nothing new.
    memset(&space, 0, sizeof space);
    config.struct_size = (uint32_t)full + TAIL;
    memcpy(&space, &config, full);
    CHECK_STATUS(CLONE_GROUP_OK, try_config(&space, &bytes));
    CHECK_EQUAL(defaults, bytes);
    // Newer, and uses something: the last byte.
    space.bytes[full + TAIL - 1] = 1;
    CHECK_STATUS(CLONE_GROUP_ERR_STRUCT_SIZE, try_config(&space, &bytes));
    space.bytes[full + TAIL - 1] = 0;
    space.bytes[full] = 1;
    CHECK_STATUS(CLONE_GROUP_ERR_STRUCT_SIZE, try_config(&space, &bytes));
    // Behind the tail is not its business.
    space.bytes[full] = 0;
    space.bytes[full + TAIL] = 1;
    CHECK_STATUS(CLONE_GROUP_OK, try_config(&space, &bytes));

    bytes = 77;
    config.struct_size = 0;
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, try_config(&config, &bytes));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, try_config(NULL, &bytes));
    CHECK_EQUAL(77, bytes);
}

// -------------------------------------------------------------------- ops

static int32_t try_ops(const void *ops)
{
    struct clone_group *group = NULL;
    int32_t status = clone_group_create(&array.config, ops, NULL, 0, &group);

    CHECK((group != NULL) == (status == CLONE_GROUP_OK));
    if (group != NULL) {
        CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(group));
    }
    return status;
}

static void check_ops(void)
{
    const size_t full = sizeof(struct clone_group_ops);
    struct clone_group_ops ops = array.ops;
    union space space;

    // Older: nothing behind `done`. What lies there is not a callback: the life
    // below would call it.
    paint(&space);
    ops.struct_size = offsetof(struct clone_group_ops, event);
    memcpy(&space, &ops, ops.struct_size);
    CHECK_STATUS(CLONE_GROUP_OK, try_ops(&space));
    // Older still: without `done` there is no group.
    ops.struct_size = offsetof(struct clone_group_ops, done);
    memcpy(&space, &ops, 4);
    CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_MISSING, try_ops(&space));

    memset(&space, 0, sizeof space);
    ops.struct_size = (uint32_t)full + TAIL;
    memcpy(&space, &ops, full);
    CHECK_STATUS(CLONE_GROUP_OK, try_ops(&space));
    space.bytes[full + TAIL - 1] = 1;
    CHECK_STATUS(CLONE_GROUP_ERR_STRUCT_SIZE, try_ops(&space));

    ops.struct_size = 0;
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, try_ops(&ops));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, try_ops(NULL));
}

// A group of an older program works: its callbacks end with `done`.
static void live_with_older_ops(void)
{
    unsigned char *image;
    union space space;

    paint(&space);
    array.restless = 1; // nobody is woken without `wake`
    array.ops.struct_size = offsetof(struct clone_group_ops, event);
    memcpy(&space, &array.ops, array.ops.struct_size);
    array_make(&array);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_create(&array.config,
                                    (void *)&space,
                                    NULL, 0, &array.group));
    // It was copied: the program's own may go.
    paint(&space);
    image = array_image(&array, array.lu[0]);
    {
        struct clone_group_lu lu = {sizeof lu, 0, {1}};

        CHECK_STATUS(CLONE_GROUP_OK,
                     clone_group_lu_attach(array.group, 0, &lu));
    }
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array, clone_group_format(array.group, 0,
                                                         array_tag(&array))));
    CHECK_STATUS(CLONE_GROUP_OK, array_write(&array, 0, image, 3, 20));
    array_expect(&array, 0, image);
    free(image);
}

// --------------------------------------------------------------------- lu

static void check_lu(void)
{
    const uint32_t full = sizeof(struct clone_group_lu);
    struct clone_group_lu lu = {0, 0, {9}};
    union space space;
    uint32_t size;

    // Older: flags, no identity.
    paint(&space);
    memset(&space, 0, 8);
    size = 8;
    memcpy(&space, &size, sizeof size);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_lu_attach(array.group, 1, (void *)&space));

    memset(&space, 0, sizeof space);
    lu.struct_size = full + TAIL;
    memcpy(&space, &lu, full);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_lu_attach(array.group, 1, (void *)&space));
    space.bytes[full + TAIL - 1] = 1;
    CHECK_STATUS(CLONE_GROUP_ERR_STRUCT_SIZE,
                 clone_group_lu_attach(array.group, 1, (void *)&space));
    lu.struct_size = 0;
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_lu_attach(array.group, 1, &lu));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_lu_attach(array.group, 1, NULL));
}

// ---------------------------------------------------------------- queries

static int32_t query_group(void *at)
{
    return clone_group_query(array.group, at);
}

static int32_t query_clone(void *at)
{
    return clone_group_clone_query(array.group, 1, at);
}

static int32_t query_statistics(void *at)
{
    return clone_group_statistics_query(array.group, at);
}

// An answer of any length is the beginning of the full one.
static void check_query(int32_t (*query)(void *), size_t full)
{
    union space whole;
    union space space;
    uint32_t size;

    paint(&whole);
    size = (uint32_t)full;
    memcpy(&whole, &size, sizeof size);
    CHECK_STATUS(CLONE_GROUP_OK, query(&whole));
    CHECK_EQUAL(full, size_in(&whole));
    check_painted(&whole, full);
    for (size = 8; size < full; size += 8) {
        paint(&space);
        memcpy(&space, &size, sizeof size);
        CHECK_STATUS(CLONE_GROUP_OK, query(&space));
        check_painted(&space, size);
        CHECK_EQUAL(0, memcmp(&whole.bytes[4], &space.bytes[4], size - 4));
        CHECK_EQUAL(size, size_in(&space));
    }
    // Newer: it may find less than it asked for, but nothing behind its size.
    paint(&space);
    size = (uint32_t)full + TAIL;
    memcpy(&space, &size, sizeof size);
    CHECK_STATUS(CLONE_GROUP_OK, query(&space));
    check_painted(&space, full + TAIL);
    CHECK_EQUAL(0, memcmp(&whole.bytes[4], &space.bytes[4], full - 4));

    for (size = 0; size < 4; size++) {
        paint(&space);
        memcpy(&space, &size, sizeof size);
        CHECK_STATUS(CLONE_GROUP_ERR_INVALID, query(&space));
        CHECK_EQUAL(size, size_in(&space));
        check_painted(&space, 4);
    }
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, query(NULL));
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    array_init(&array, 2);
    check_init(init_config, sizeof(struct clone_group_config));
    check_init(init_ops, sizeof(struct clone_group_ops));
    check_config();
    check_ops();
    live_with_older_ops();
    check_lu();
    check_query(query_group, sizeof(struct clone_group_info));
    check_query(query_clone, sizeof(struct clone_group_clone_info));
    check_query(query_statistics, sizeof(struct clone_group_statistics));
    CHECK_EQUAL(0, array.event_count[CLONE_GROUP_EVENT_CLONE_STATE]);
    CHECK_EQUAL(0, array.log_count);
    array_close(&array);
    array_free(&array);
    return 0;
}
