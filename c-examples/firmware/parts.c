// See parts.h.

#include "parts.h"
#include "array.h"
#include "stack.h"

enum { SET_ID = 77 };

static const uint8_t label[64] = "a set";

// Whether the library was built with the part that answered so.
static int has(int32_t status)
{
    return status != CLONE_GROUP_ERR_NOT_SUPPORTED;
}

static uint32_t conditions(void)
{
    struct clone_group_info info = {.struct_size = sizeof info};

    CHECK(CALL(clone_group_query, array.group, &info) == CLONE_GROUP_OK);
    return info.conditions;
}

// Host writes over parts of extents, whole ones and several.
static void write_the_source(void)
{
    for (uint32_t n = 0; n < REQUESTS; n++) {
        array_write(n, 0, n * 80 + array_random(20), 1 + array_random(REQUEST_BLOCKS), 0);
    }
    array_settle();
}

static void point_in_time(uint32_t lu)
{
    CHECK(array_finish(CALL(clone_group_synchronize, array.group, lu, 1000)) == CLONE_GROUP_OK);
    write_the_source();
    array_copy_all();
    array_copy_all(); // what collided
    CHECK(array_finish(CALL(clone_group_fracture, array.group, lu, label, 0, 1000))
          == CLONE_GROUP_OK);
    array_copy_model(lu, 0);
    array_check_lu(lu);
}

static void verify(void)
{
    uint32_t verified = array.events[CLONE_GROUP_EVENT_VERIFIED];
    uint32_t mismatches = array.events[CLONE_GROUP_EVENT_MISMATCH];
    int32_t status = CALL(clone_group_verify, array.group, 1, CLONE_GROUP_VERIFY_MARK, 1000);

    if (!has(status)) {
        return;
    }
    CHECK(array_finish(status) == CLONE_GROUP_OK);
    array_copy_all();
    CHECK(array.events[CLONE_GROUP_EVENT_VERIFIED] == verified + 1);
    CHECK(array.events[CLONE_GROUP_EVENT_MISMATCH] == mismatches);
    // In an extent that write_the_source() leaves out.
    array.lu[1][70 * BLOCK_BYTES] ^= 1;
    CHECK(array_finish(CALL(clone_group_verify, array.group, 1, 0, 1000)) == CLONE_GROUP_OK);
    array_copy_all();
    CHECK(array.events[CLONE_GROUP_EVENT_MISMATCH] == mismatches + 1);
    array.lu[1][70 * BLOCK_BYTES] ^= 1;
    CHECK(array_finish(CALL(clone_group_verify, array.group, 1, 0, 1000)) == CLONE_GROUP_OK);
    CHECK(array_finish(CALL(clone_group_verify_stop, array.group, 1000)) == CLONE_GROUP_OK);
    array_copy_all();
}

static void reverse(void)
{
    write_the_source();
    int32_t status = CALL(clone_group_reverse_synchronize, array.group, 1, 1000);
    if (!has(status)) {
        return;
    }
    CHECK(array_finish(status) == CLONE_GROUP_OK);
    array_copy_model(0, 1);
    write_the_source(); // to both
    array_copy_all();
    array_copy_all();
    array_copy_model(1, 0);
    array_check_lu(0);
    array_check_lu(1);
    CHECK(array_finish(CALL(clone_group_fracture, array.group, 1, label, 0, 1000))
          == CLONE_GROUP_OK);
}

static void restore(uint32_t lu)
{
    CHECK(array_finish(CALL(clone_group_protected_restore, array.group, lu, 1000))
          == CLONE_GROUP_OK);
    array_copy_model(0, lu);
    write_the_source();
    CHECK(CALL(clone_group_sync_step, array.group, 2) >= 0);
}

static void end_restore(void)
{
    array_copy_all();
    array_check_lu(0);
    array_check_lu(1);
    array_check_lu(2);
}

static void leave(void)
{
    write_the_source();
    restore(1);
    int32_t status = CALL(clone_group_retarget, array.group, 2, 1000);
    if (!has(status)) {
        end_restore();
        return;
    }
    CHECK(array_finish(status) == CLONE_GROUP_OK);
    array_copy_model(0, 2);
    write_the_source();
    CHECK(array_finish(CALL(clone_group_cancel, array.group, 2, 1000)) == CLONE_GROUP_OK);
    CHECK((conditions() & CLONE_GROUP_CONDITION_SOURCE_INVALID) != 0);
    CHECK(array_finish(CALL(clone_group_source_accept, array.group, 1000)) == CLONE_GROUP_OK);
    CHECK((conditions() & CLONE_GROUP_CONDITION_SOURCE_INVALID) == 0);
    restore(2);
    end_restore();
}

static void set_of_one(void)
{
    const uint32_t lu = 1;
    struct clone_group_set set;

    if (!has(CALL(clone_group_set_init, &set, sizeof set, SET_ID))) {
        return;
    }
    write_the_source();
    CHECK(array_finish(CALL(clone_group_set_protected_restore, &array.group, &lu, 1, &set, 1000))
          == CLONE_GROUP_OK);
    CHECK(CALL(clone_group_set_resolve, array.group, 1, 1000) == CLONE_GROUP_ERR_STATE);
    array_copy_model(0, 1);
    write_the_source();
    end_restore();
}

void parts_life(void)
{
    for (uint32_t n = 0; n < array.area_bytes; n++) {
        array.area[n] = 0;
    }
    array_power_loss();
    array_open(1);
    CHECK(array_finish(CALL(clone_group_format, array.group, 0, 1000)) == CLONE_GROUP_OK);
    for (uint32_t first = 0; first < BLOCKS; first += 5) {
        array_write(0, 0, first, 5, 0);
        array_settle();
    }
    for (uint32_t lu = 1; lu < LUS; lu++) {
        CHECK(array_finish(CALL(clone_group_clone_add, array.group, lu, 1000)) == CLONE_GROUP_OK);
        point_in_time(lu);
    }
    verify();
    reverse();
    leave();
    set_of_one();
    CHECK(array_finish(CALL(clone_group_close, array.group, 1000)) == CLONE_GROUP_OK);
    CHECK(CALL(clone_group_destroy, array.group) == CLONE_GROUP_OK);
}
