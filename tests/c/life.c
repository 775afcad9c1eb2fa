// A whole life of a group: format, Synchronization under host writes, Fracture,
// Protected Restore under host I/O, power loss, Recovery, a second restore to
// the same point in time, pause, close. Images kept by the program say what
// every LU must hold. See array.h.

#include "array.h"

struct shape {
    const char *name;
    uint64_t lu_blocks;
    uint32_t config_flags;
    uint32_t lu_flags;
    uint32_t block_bytes;
    uint32_t extent_blocks;
    uint32_t copy_buffer_bytes;
    uint32_t buffer_align_bytes;
    uint32_t persist_unit_bytes;
    uint32_t offload;    // the array copies by itself
    uint32_t few_of_all; // the smallest limits
};

static const struct shape shapes[] = {
    {"two extents in one copy", 163, 0, 0, 512, 8, 8192, 64, 512, 0, 0},
    {"an extent in four pieces", 163, 0, 0, 512, 8, 1024, 8, 512, 0, 0},
    {"extents of one block", 41, 0, 0, 4096, 1, 8192, 4096, 4096, 0, 0},
    {"all defaults", 3000, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"durable hosts, volatile caches", 163, CLONE_GROUP_CONFIG_HOST_DURABLE,
     CLONE_GROUP_LU_VOLATILE_CACHE, 512, 8, 8192, 512, 512, 0, 0},
    {"volatile caches, redirected reads", 163,
     CLONE_GROUP_CONFIG_REDIRECT_READS, CLONE_GROUP_LU_VOLATILE_CACHE, 512, 8,
     8192, 512, 1024, 0, 0},
    {"discards that zero", 163, 0, CLONE_GROUP_LU_DISCARD_ZEROES, 512, 8, 8192,
     512, 512, 0, 0},
    {"the smallest limits", 163, 0, CLONE_GROUP_LU_VOLATILE_CACHE, 512, 8, 512,
     512, 512, 0, 1},
    {"several map pages", 6000, 0, 0, 512, 1, 8192, 512, 512, 0, 0},
    {"offloaded copies", 163, 0, 0, 512, 8, 8192, 512, 512, 1, 0},
};

struct life {
    struct array *array;
    unsigned char *source; // what hosts must read on the Source
    unsigned char *point;  // Clone 1, the point in time
    unsigned char *undo;   // Clone 2, the Source before the restore
};

// The extents of these blocks, as array_map() tells them.
static uint64_t extents_of(const struct array *array, uint64_t first_block,
                           uint64_t block_count)
{
    uint64_t extent = first_block / array->extent_blocks;
    uint64_t last = (first_block + block_count - 1) / array->extent_blocks;
    uint64_t bits = 0;

    for (; extent <= last; extent++) {
        bits |= (uint64_t)1 << extent;
    }
    return bits;
}

static void take_shape(struct array *array, const struct shape *shape)
{
    struct clone_group_config *config = &array->config;

    config->flags = shape->config_flags;
    config->lu_blocks = shape->lu_blocks;
    config->block_bytes = shape->block_bytes;
    config->extent_blocks = shape->extent_blocks;
    config->copy_buffer_bytes = shape->copy_buffer_bytes;
    config->buffer_align_bytes = shape->buffer_align_bytes;
    config->persist_unit_bytes = shape->persist_unit_bytes;
    if (shape->few_of_all) {
        config->requests_max = 4; // a burst
        config->copies_max = 1;
        config->page_writes_max = 1;
        config->intent_extents_max = 16;
        config->recopies_max = 1;
    }
    array->lu_flags = shape->lu_flags;
    if (!(shape->lu_flags & CLONE_GROUP_LU_VOLATILE_CACHE)) {
        array->ops.persist_flush = NULL;
    }
    if (shape->offload) {
        array->ops.copy = array_copy;
    }
}

static int is_durable_for_hosts(const struct array *array)
{
    return array->config.flags & CLONE_GROUP_CONFIG_HOST_DURABLE
           || !(array->lu_flags & CLONE_GROUP_LU_VOLATILE_CACHE);
}

static void flush(struct array *array, uint32_t lu)
{
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_host_flush(
                                         array->group, lu, array_tag(array))));
}

// Host writes everywhere, then two Clones under further host writes.
static void synchronize(struct life *life)
{
    struct array *array = life->array;
    uint32_t lu;
    uint32_t turn;

    CHECK_STATUS(CLONE_GROUP_OK, array_write(array, 0, life->source, 0,
                                             array->config.lu_blocks));
    for (lu = 1; lu <= 2; lu++) {
        array_add_clone(array, lu);
        CHECK_STATUS(CLONE_GROUP_OK,
                     array_finish(array,
                                  clone_group_synchronize(array->group, lu,
                                                          array_tag(array))));
        CHECK_EQUAL(CLONE_GROUP_CLONE_SYNCHRONIZING,
                    array_clone_state(array, lu));
        for (turn = 0; turn < 6; turn++) {
            (void)array_poll(array, 1);
            array_write_burst(array, 0, life->source);
        }
        array_settle(array);
        CHECK_EQUAL(CLONE_GROUP_CLONE_SYNCHRONIZED,
                    array_clone_state(array, lu));
    }
    for (turn = 0; turn < 3; turn++) {
        array_write_burst(array, 0, life->source);
    }
    array_drain(array);
    array_expect(array, 0, life->source);
    for (lu = 0; lu <= 2; lu++) {
        CHECK_EQUAL(0, memcmp(life->source, array->lu[lu],
                              (size_t)array->lu_bytes));
    }
}

// Clone 1 becomes the point in time; hosts change it and the Source.
static void fracture(struct life *life)
{
    struct array *array = life->array;
    uint32_t turn;

    array_fracture(array, 1);
    life->point = array_image(array, life->source);
    CHECK_EQUAL(0, array_clone_info(array, 1).extents_left);
    CHECK_STATUS(CLONE_GROUP_OK, array_write(array, 1, life->point, 2, 3));
    CHECK_EQUAL(extents_of(array, 2, 3),
                array_map(array, CLONE_GROUP_MAP_DELTA, 1));
    for (turn = 0; turn < 5; turn++) {
        array_write_burst(array, 0, life->source);
    }
    array_expect(array, 0, life->source);
    array_expect(array, 1, life->point);
    array_drain(array);
    CHECK_EQUAL(0, memcmp(life->point, array->lu[1], (size_t)array->lu_bytes));
    CHECK_EQUAL(0, memcmp(life->source, array->lu[2], (size_t)array->lu_bytes));
}

// From `done` on the Source is the point in time; Clone 2 is what it was
// before.
static void start_restore(struct life *life)
{
    struct array *array = life->array;

    life->undo = array_image(array, life->source);
    array_restore(array, 1);
    CHECK_EQUAL(CLONE_GROUP_CLONE_RESTORING, array_clone_state(array, 1));
    CHECK_EQUAL(CLONE_GROUP_CLONE_FRACTURED, array_clone_state(array, 2));
    CHECK_EQUAL(1, array_info(array).restoring_lu);
    memcpy(life->source, life->point, (size_t)array->lu_bytes);
    array->frozen_lu = 1;
    CHECK_STATUS(CLONE_GROUP_ERR_PROTECTED,
                 array_finish(array, clone_group_host_write(
                                         array->group, 1, 0, 1, life->point, 0,
                                         array_tag(array))));
}

static void host_turn(struct life *life)
{
    struct array *array = life->array;
    uint64_t first = array_random(array->config.lu_blocks);
    uint64_t count = 1 + array_random(array->config.lu_blocks - first);

    if (count > 2 * (uint64_t)array->extent_blocks) {
        count = 2 * (uint64_t)array->extent_blocks;
    }
    array_expect_range(array, 0, life->source, first, count);
    array_expect_range(array, 1, life->point, first, count);
    array_expect_range(array, 2, life->undo, first, count);
    if (array_random(3) == 0) {
        CHECK_STATUS(CLONE_GROUP_OK,
                     array_write(array, 0, life->source, first, count));
    }
}

// Power is lost in the middle of the restore; Recovery goes on with it.
static void lose_power(struct life *life)
{
    struct array *array = life->array;
    uint32_t turn;

    for (turn = 0; turn < 4; turn++) {
        // Each turn copies a few extents on demand: the restore must not end.
        if (array_clone_info(array, 1).extents_left > 8) {
            host_turn(life);
            (void)array_poll(array, 1);
        }
    }
    CHECK(array_clone_info(array, 1).extents_left > 0);
    if (!is_durable_for_hosts(array)) {
        flush(array, 0);
        flush(array, 2);
    }
    array_power_loss(array);
    array_open(array);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_recover(array->group, 0,
                                                         array_tag(array))));
    CHECK_EQUAL(CLONE_GROUP_CLONE_RESTORING, array_clone_state(array, 1));
    CHECK_EQUAL(1, array_info(array).restoring_lu);
    CHECK_EQUAL(1, array_info(array).restore_generation);
}

static void finish_restore(struct life *life)
{
    struct array *array = life->array;
    uint32_t before = array->event_count[CLONE_GROUP_EVENT_RESTORED];
    uint32_t turns;

    for (turns = 0; array->event_count[CLONE_GROUP_EVENT_RESTORED] == before;
         turns++) {
        CHECK(turns < ARRAY_POLLS_MAX);
        if (turns < 8) {
            host_turn(life);
        }
        (void)array_poll(array, 1 + (uint32_t)array_random(3));
    }
    array->frozen_lu = 0;
    CHECK_EQUAL(CLONE_GROUP_CLONE_FRACTURED, array_clone_state(array, 1));
    CHECK_EQUAL(0, array_info(array).restoring_lu);
    array_expect(array, 0, life->source);
    array_drain(array);
    CHECK_EQUAL(0, memcmp(life->source, array->lu[0], (size_t)array->lu_bytes));
    CHECK_EQUAL(0, memcmp(life->point, array->lu[1], (size_t)array->lu_bytes));
    CHECK_EQUAL(0, memcmp(life->undo, array->lu[2], (size_t)array->lu_bytes));
}

// The undo: Clone 2 puts the Source back to what it was before the restore.
static void restore_undo(struct life *life)
{
    struct array *array = life->array;
    unsigned char *point = life->point;

    array_restore(array, 2);
    memcpy(life->source, life->undo, (size_t)array->lu_bytes);
    array->frozen_lu = 2;
    array_settle(array);
    array->frozen_lu = 0;
    array_expect(array, 0, life->source);
    CHECK_EQUAL(0, memcmp(life->source, array->lu[0], (size_t)array->lu_bytes));
    CHECK_EQUAL(0, memcmp(point, array->lu[1], (size_t)array->lu_bytes));
}

// A pause holds back background copies and outlives close and Recovery.
static void pause_and_close(struct life *life)
{
    struct array *array = life->array;
    uint64_t left;

    array_write_burst(array, 0, life->source);
    array_restore(array, 1);
    memcpy(life->source, life->point, (size_t)array->lu_bytes);
    array->frozen_lu = 1;
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_pause(array->group,
                                                       array_tag(array))));
    left = array_clone_info(array, 1).extents_left;
    CHECK(left > 0);
    array_settle(array);
    CHECK_EQUAL(left, array_clone_info(array, 1).extents_left);
    array_close(array);

    array_open(array);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_recover(array->group, 0,
                                                         array_tag(array))));
    CHECK(array_info(array).conditions & CLONE_GROUP_CONDITION_PAUSED);
    CHECK_EQUAL(left, array_clone_info(array, 1).extents_left);
    array_expect_range(array, 0, life->source, 0, 9);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_resume(array->group,
                                                        array_tag(array))));
    array_settle(array);
    array->frozen_lu = 0;
    CHECK_EQUAL(CLONE_GROUP_CLONE_FRACTURED, array_clone_state(array, 1));
    array_expect(array, 0, life->source);
}

// Clone 2 follows the Source again, Clone 1 leaves the group.
static void end(struct life *life)
{
    struct array *array = life->array;

    array_synchronize(array, 2);
    array_write_burst(array, 0, life->source);
    array_drain(array);
    CHECK_EQUAL(0, memcmp(life->source, array->lu[2], (size_t)array->lu_bytes));
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_clone_remove(
                                         array->group, 1, array_tag(array))));
    CHECK_EQUAL(CLONE_GROUP_CLONE_ABSENT, array_clone_state(array, 1));
    array->removed_lu = 1;
    array_write_burst(array, 0, life->source);
    CHECK(array_statistics(array).host_writes > 0);
    array_close(array);
    CHECK_EQUAL(0, memcmp(life->point, array->lu[1], (size_t)array->lu_bytes));
}

static void live(struct array *array)
{
    struct life life = {0};

    life.array = array;
    array_format(array);
    life.source = array_image(array, array->lu[0]);
    synchronize(&life);
    fracture(&life);
    start_restore(&life);
    lose_power(&life);
    finish_restore(&life);
    restore_undo(&life);
    pause_and_close(&life);
    end(&life);
    free(life.source);
    free(life.point);
    free(life.undo);
}

void array_lives(enum array_mode mode, void (*prepare)(struct array *array))
{
    static struct array array;
    size_t index;

    for (index = 0; index < sizeof shapes / sizeof *shapes; index++) {
        printf("a life with %s\n", shapes[index].name);
        fflush(stdout);
        array_init(&array, 3);
        array.mode = mode;
        take_shape(&array, &shapes[index]);
        if (prepare != NULL) {
            prepare(&array);
        }
        live(&array);
        array_free(&array);
    }
}
