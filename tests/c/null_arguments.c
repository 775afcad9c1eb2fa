// Goal: a wrong argument is refused with the status that the header names, at
// once, and nothing changes. Every call with NULL for every pointer, unknown
// flags, unknown LUs, ranges behind the end (also where the sum passes 64
// bits), configurations that contradict themselves, bad workspaces, missing
// callbacks.

#include "array.h"

static struct array array;

// What must not change: answers of the library, and the I/Os that it asked for.
struct shadow {
    struct clone_group_info info;
    struct clone_group_clone_info clone[3];
    struct clone_group_statistics statistics;
    uint64_t io_count[ARRAY_OPERATIONS];
    uint64_t delta;
};

static void look(struct shadow *shadow)
{
    uint32_t lu;

    memset(shadow, 0, sizeof *shadow);
    shadow->info = array_info(&array);
    shadow->statistics = array_statistics(&array);
    for (lu = 1; lu <= 3; lu++) {
        shadow->clone[lu - 1] = array_clone_info(&array, lu);
    }
    shadow->delta = array_map(&array, CLONE_GROUP_MAP_DELTA, 1);
    memcpy(shadow->io_count, array.io_count, sizeof shadow->io_count);
}

// ------------------------------------------------------------ configurations

static void refuse_config(const struct clone_group_config *config,
                          int32_t expected, int line)
{
    uint64_t bytes = 99;
    struct clone_group *group = NULL;

    if (clone_group_workspace_size(config, &bytes) != expected
        || clone_group_metadata_size(config, &bytes) != expected
        || clone_group_create(config, &array.ops, NULL, 0, &group) != expected
        || bytes != 99 || group != NULL) {
        array_fail(__FILE__, line, "the configuration is refused");
    }
}

#define REFUSE_WITH(status, member, value)                                     \
    do {                                                                       \
        struct clone_group_config wrong = array.config;                        \
        wrong.member = value;                                                  \
        refuse_config(&wrong, status, __LINE__);                               \
    } while (0)
#define REFUSE(member, value)                                                  \
    REFUSE_WITH(CLONE_GROUP_ERR_INVALID, member, value)
// A flag that the library does not know is one of a newer program.
#define REFUSE_NEWER(member, value)                                            \
    REFUSE_WITH(CLONE_GROUP_ERR_STRUCT_SIZE, member, value)

static void check_configs(void)
{
    uint64_t bytes = 99;

    REFUSE_NEWER(flags, 0x100);
    REFUSE_NEWER(flags, 0x80000000);
    REFUSE(lu_blocks, 0);
    REFUSE(lu_blocks, UINT64_MAX);
    REFUSE(lu_blocks, (uint64_t)1 << 63);
    REFUSE(block_bytes, 256);
    REFUSE(block_bytes, 513);
    REFUSE(block_bytes, 131072);
    REFUSE(extent_blocks, 3);
    REFUSE(extent_blocks, 0x80000000);
    REFUSE(clones_max, 256);
    REFUSE(clones_max, UINT32_MAX);
    REFUSE(requests_max, 4097);
    REFUSE(copies_max, 65);
    REFUSE(copy_buffer_bytes, 513);
    REFUSE(copy_buffer_bytes, 16 * 1024 * 1024 + 512);
    REFUSE(buffer_align_bytes, 4);
    REFUSE(buffer_align_bytes, 24);
    REFUSE(buffer_align_bytes, 131072);
    REFUSE(persist_unit_bytes, 256);
    REFUSE(persist_unit_bytes, 1000);
    REFUSE(persist_unit_bytes, 131072);
    REFUSE(page_bytes, 512); // under the default persist_unit_bytes
    REFUSE(page_bytes, 5000);
    REFUSE(page_bytes, 131072);
    REFUSE(page_writes_max, 65);
    REFUSE(intent_extents_max, 15);
    REFUSE(recopies_max, 17);
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_workspace_size(NULL, &bytes));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_workspace_size(&array.config, NULL));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_metadata_size(NULL, &bytes));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_metadata_size(&array.config, NULL));
    CHECK_EQUAL(99, bytes);
}

// ------------------------------------------------------------------- create

static unsigned char memory[4 * 1024 * 1024];

static int32_t create(const struct clone_group_ops *ops, void *workspace,
                      uint64_t workspace_bytes)
{
    struct clone_group *untouched = (struct clone_group *)(void *)memory;
    struct clone_group *group = untouched;
    int32_t status = clone_group_create(&array.config, ops, workspace,
                                        workspace_bytes, &group);

    if (status != CLONE_GROUP_OK) {
        CHECK(group == untouched);
    } else {
        CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(group));
    }
    return status;
}

static void check_create(void)
{
    struct clone_group *group = NULL;
    uint64_t place[2] = {0, 0};
    void *odd = (unsigned char *)place + 1;
    unsigned char *at = memory;
    uint64_t bytes;
    uint64_t index;

    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_workspace_size(&array.config, &bytes));
    while ((uintptr_t)at % 4096 != 0) {
        at++;
    }
    CHECK(bytes + 8192 <= sizeof memory);
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_create(NULL, &array.ops, at, bytes, &group));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_create(&array.config, NULL, at, bytes, &group));
    CHECK(group == NULL);
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_create(&array.config, &array.ops, at, bytes,
                                    NULL));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_create(&array.config, &array.ops, at, bytes, odd));
    CHECK_STATUS(CLONE_GROUP_ERR_WORKSPACE, create(&array.ops, at, bytes - 1));
    CHECK_STATUS(CLONE_GROUP_ERR_WORKSPACE, create(&array.ops, at, 0));
    CHECK_STATUS(CLONE_GROUP_ERR_WORKSPACE, create(&array.ops, at + 1, bytes));
    CHECK_STATUS(CLONE_GROUP_ERR_WORKSPACE,
                 create(&array.ops, at + 2048, bytes));
    CHECK_STATUS(CLONE_GROUP_ERR_WORKSPACE, create(&array.ops, NULL, bytes));
    // A refused workspace is as it was.
    for (index = 0; index < sizeof memory; index++) {
        CHECK_EQUAL(0, memory[index]);
    }
    CHECK_STATUS(CLONE_GROUP_OK, create(&array.ops, at, bytes));
    CHECK_STATUS(CLONE_GROUP_OK, create(&array.ops, at, bytes + 1));
    CHECK_STATUS(CLONE_GROUP_OK, create(&array.ops, NULL, 0));
}

#define WITHOUT(status, member)                                                \
    do {                                                                       \
        struct clone_group_ops ops = array.ops;                                \
        ops.member = NULL;                                                     \
        CHECK_STATUS(status, create(&ops, NULL, 0));                           \
    } while (0)

static void check_callbacks(void)
{
    WITHOUT(CLONE_GROUP_ERR_CALLBACK_MISSING, read);
    WITHOUT(CLONE_GROUP_ERR_CALLBACK_MISSING, write);
    WITHOUT(CLONE_GROUP_ERR_CALLBACK_MISSING, persist_read);
    WITHOUT(CLONE_GROUP_ERR_CALLBACK_MISSING, persist_write);
    WITHOUT(CLONE_GROUP_ERR_CALLBACK_MISSING, done);
    WITHOUT(CLONE_GROUP_OK, flush);
    WITHOUT(CLONE_GROUP_OK, discard);
    WITHOUT(CLONE_GROUP_OK, write_zeroes);
    WITHOUT(CLONE_GROUP_OK, copy);
    WITHOUT(CLONE_GROUP_OK, persist_flush);
    WITHOUT(CLONE_GROUP_OK, event);
    WITHOUT(CLONE_GROUP_OK, wake);
    WITHOUT(CLONE_GROUP_OK, clock);
    WITHOUT(CLONE_GROUP_OK, log);
}

// ---------------------------------------------------------------- attaching

static void check_attach(void)
{
    struct clone_group_lu lu = {sizeof lu, 0, {7}};
    struct clone_group_lu wrong = {sizeof wrong, 0x10, {7}};
    struct clone_group_ops ops = array.ops;
    struct clone_group *group = NULL;

    ops.flush = NULL;
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_create(&array.config, &ops, NULL, 0, &group));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID, clone_group_lu_attach(NULL, 0, &lu));
    CHECK_STATUS(CLONE_GROUP_ERR_INVALID,
                 clone_group_lu_attach(group, 0, NULL));
    CHECK_STATUS(CLONE_GROUP_ERR_STRUCT_SIZE,
                 clone_group_lu_attach(group, 0, &wrong));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_lu_attach(group, 4, &lu));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                 clone_group_lu_attach(group, CLONE_GROUP_LU_NONE, &lu));
    lu.flags = CLONE_GROUP_LU_VOLATILE_CACHE;
    CHECK_STATUS(CLONE_GROUP_ERR_CALLBACK_MISSING,
                 clone_group_lu_attach(group, 0, &lu));
    // None of them attached anything.
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_format(group, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_recover(group, 0, 1));
    lu.flags = CLONE_GROUP_LU_DISCARD_ZEROES;
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_lu_attach(group, 0, &lu));
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(group));
}

// Before format or recover nothing is served.
static void check_not_ready(void)
{
    struct clone_group *group = array.group;
    uint8_t block[512];

    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_host_read(group, 0, 0, 1, block, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_host_write(group, 0, 0, 1, block, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_host_write_zeroes(group, 0, 0, 1, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_host_discard(group, 0, 0, 1, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_host_flush(group, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_clone_add(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_synchronize(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_fracture(group, 1, NULL, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_protected_restore(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_reverse_synchronize(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_clone_remove(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY, clone_group_pause(group, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_verify(group, 1, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY, clone_group_verify_stop(group, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY, clone_group_resume(group, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY, clone_group_cancel(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_source_accept(group, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY, clone_group_retarget(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_READY,
                 clone_group_metadata_repair(group, 1));
    CHECK_EQUAL(CLONE_GROUP_STATE_NEW, array_info(&array).state);
}

// -------------------------------------------------------- no group, no data

static void check_null_group(void)
{
    struct clone_group_info info = {0};
    struct clone_group_clone_info clone = {0};
    struct clone_group_statistics statistics = {0};
    uint8_t bytes[512] = {0};

    info.struct_size = sizeof info;
    clone.struct_size = sizeof clone;
    statistics.struct_size = sizeof statistics;
#define REFUSED(call) CHECK_STATUS(CLONE_GROUP_ERR_INVALID, call)
    REFUSED(clone_group_destroy(NULL));
    REFUSED(clone_group_format(NULL, 0, 1));
    REFUSED(clone_group_recover(NULL, 0, 1));
    REFUSED(clone_group_close(NULL, 1));
    REFUSED(clone_group_metadata_repair(NULL, 1));
    REFUSED(clone_group_clone_add(NULL, 1, 1));
    REFUSED(clone_group_clone_remove(NULL, 1, 1));
    REFUSED(clone_group_synchronize(NULL, 1, 1));
    REFUSED(clone_group_fracture(NULL, 1, NULL, 0, 1));
    REFUSED(clone_group_protected_restore(NULL, 1, 1));
    REFUSED(clone_group_reverse_synchronize(NULL, 1, 1));
    REFUSED(clone_group_pause(NULL, 1));
    REFUSED(clone_group_verify(NULL, 1, 0, 1));
    REFUSED(clone_group_verify_stop(NULL, 1));
    REFUSED(clone_group_resume(NULL, 1));
    REFUSED(clone_group_cancel(NULL, 1, 1));
    REFUSED(clone_group_source_accept(NULL, 1));
    REFUSED(clone_group_retarget(NULL, 1, 1));
    REFUSED(clone_group_host_read(NULL, 0, 0, 1, bytes, 0, 1));
    REFUSED(clone_group_host_write(NULL, 0, 0, 1, bytes, 0, 1));
    REFUSED(clone_group_host_write_zeroes(NULL, 0, 0, 1, 0, 1));
    REFUSED(clone_group_host_discard(NULL, 0, 0, 1, 0, 1));
    REFUSED(clone_group_host_flush(NULL, 0, 1));
    REFUSED(clone_group_abort(NULL, 1));
    REFUSED(clone_group_cod_poll(NULL, 1));
    REFUSED(clone_group_sync_step(NULL, 1));
    REFUSED(clone_group_io_complete(NULL, 1, 0));
    REFUSED(clone_group_set_resolve(NULL, 1, 1));
    REFUSED(clone_group_query(NULL, &info));
    REFUSED(clone_group_clone_query(NULL, 1, &clone));
    REFUSED(clone_group_lu_query(NULL, 1, NULL));
    REFUSED(clone_group_statistics_query(NULL, &statistics));
    REFUSED(clone_group_map_read(NULL, CLONE_GROUP_MAP_DELTA, 1, 0, 1, bytes,
                                 sizeof bytes));
#ifndef CLONE_GROUP_NO_BARE_NAMES
    REFUSED(host_write(NULL, 0, 0, 1, bytes, 0, 1));
    REFUSED(cod_poll(NULL, 1));
    REFUSED(sync_step(NULL, 1));
    REFUSED(recover(NULL, 0, 1));
#endif
    CHECK_EQUAL(0, info.state | info.extents_total);
    CHECK_EQUAL(0, clone.lu | clone.state);
    CHECK_EQUAL(0, statistics.host_reads);
    CHECK_EQUAL(0, bytes[0]);
}

static void check_null_answers(void)
{
    struct clone_group_clone_info clone;
    struct clone_group_lu_info lu;

    REFUSED(clone_group_query(array.group, NULL));
    REFUSED(clone_group_clone_query(array.group, 1, NULL));
    REFUSED(clone_group_lu_query(array.group, 1, NULL));
    REFUSED(clone_group_statistics_query(array.group, NULL));
    REFUSED(clone_group_map_read(array.group, CLONE_GROUP_MAP_DELTA, 1, 0, 8,
                                 NULL, 1));
    memset(&clone, 0xC7, sizeof clone);
    clone.struct_size = sizeof clone;
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                 clone_group_clone_query(array.group, 4, &clone));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                 clone_group_clone_query(array.group, 0, &clone));
    CHECK_EQUAL(0xC7C7C7C7, clone.state);
    memset(&lu, 0xC7, sizeof lu);
    lu.struct_size = sizeof lu;
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_lu_query(array.group, 4, &lu));
    CHECK_EQUAL(0xC7C7C7C7, lu.flags);
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_lu_query(array.group, 0, &lu));
    CHECK_EQUAL(0, lu.write_errors);
    // A Clone that was never added is described as such.
    CHECK_EQUAL(CLONE_GROUP_CLONE_ABSENT, array_clone_state(&array, 3));
}

static void check_maps(void)
{
    struct clone_group *group = array.group;
    uint64_t extents = array_info(&array).extents_total;
    uint8_t bits[8];
    uint32_t index;

    memset(bits, 0xC7, sizeof bits);
#define MAP(status, map, lu, first, count, bytes)                              \
    CHECK_STATUS(status, clone_group_map_read(group, map, lu, first, count,    \
                                              bits, bytes))
    MAP(CLONE_GROUP_ERR_INVALID, 0, 1, 0, 8, 8);
    MAP(CLONE_GROUP_ERR_INVALID, 4, 1, 0, 8, 8);
    MAP(CLONE_GROUP_ERR_INVALID, CLONE_GROUP_MAP_DELTA, 1, 0, 8, 0);
    MAP(CLONE_GROUP_ERR_INVALID, CLONE_GROUP_MAP_DELTA, 1, 0, 9, 1);
    MAP(CLONE_GROUP_ERR_RANGE, CLONE_GROUP_MAP_DELTA, 1, 0, extents + 1, 8);
    MAP(CLONE_GROUP_ERR_RANGE, CLONE_GROUP_MAP_DELTA, 1, extents, 1, 8);
    MAP(CLONE_GROUP_ERR_RANGE, CLONE_GROUP_MAP_DELTA, 1, UINT64_MAX, 2, 8);
    MAP(CLONE_GROUP_ERR_RANGE, CLONE_GROUP_MAP_PROTECTED_RESTORE, 0, 2,
        UINT64_MAX - 1, 8);
    MAP(CLONE_GROUP_ERR_RANGE, CLONE_GROUP_MAP_DELTA, 1, 0, UINT64_MAX, 8);
    MAP(CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_MAP_DELTA, 0, 0, 8, 8);
    MAP(CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_MAP_DELTA, 3, 0, 8, 8);
    MAP(CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_MAP_DELTA, 4, 0, 8, 8);
    for (index = 0; index < sizeof bits; index++) {
        CHECK_EQUAL(0xC7, bits[index]);
    }
    // Only as many bytes as it takes; bits behind the range are 0.
    MAP(CLONE_GROUP_OK, CLONE_GROUP_MAP_DELTA, 2, 0, 3, 8);
    CHECK_EQUAL(0x07, bits[0]);
    for (index = 1; index < sizeof bits; index++) {
        CHECK_EQUAL(0xC7, bits[index]);
    }
}

// A struct at an odd address is refused, not read: some CPUs trap there.
static void check_misaligned(void)
{
    static uint64_t memory_aligned[64];
    void *odd = (unsigned char *)memory_aligned + 1;
    struct clone_group *group = NULL;
    uint64_t bytes = 99;

    memset(odd, 0x08, 256);
    REFUSED(clone_group_workspace_size(odd, &bytes));
    REFUSED(clone_group_workspace_size(&array.config, odd));
    REFUSED(clone_group_create(odd, &array.ops, NULL, 0, &group));
    REFUSED(clone_group_create(&array.config, odd, NULL, 0, &group));
    REFUSED(clone_group_lu_attach(array.group, 1, odd));
    REFUSED(clone_group_query(array.group, odd));
    REFUSED(clone_group_clone_query(array.group, 1, odd));
    REFUSED(clone_group_lu_query(array.group, 1, odd));
    REFUSED(clone_group_statistics_query(array.group, odd));
    REFUSED(clone_group_cod_poll(odd, 1));
    REFUSED(clone_group_verify(odd, 1, 0, 1));
    REFUSED(clone_group_verify_stop(odd, 1));
    CHECK(group == NULL);
    CHECK_EQUAL(99, bytes);
    for (bytes = 1; bytes < 257; bytes++) {
        CHECK_EQUAL(0x08, ((unsigned char *)memory_aligned)[bytes]);
    }
}

// ------------------------------------------------------------ host requests

static void check_host(void)
{
    struct clone_group *group = array.group;
    uint64_t end = array.config.lu_blocks;
    uint8_t data[512];
    uint64_t first[] = {end, end - 1, 0, UINT64_MAX, UINT64_MAX, 1, 0, 5, end};
    uint64_t count[] = {1, 2, end + 1, 1, UINT64_MAX, UINT64_MAX, 0, 0, 0};
    size_t index;

#define ALL_FOUR(status, lu, first, count, flags)                              \
    do {                                                                       \
        CHECK_STATUS(status, clone_group_host_read(group, lu, first, count,    \
                                                   data, flags, 1));           \
        CHECK_STATUS(status, clone_group_host_write(group, lu, first, count,   \
                                                    data, flags, 1));          \
        CHECK_STATUS(status, clone_group_host_write_zeroes(                    \
                                 group, lu, first, count, flags, 1));          \
        CHECK_STATUS(status, clone_group_host_discard(group, lu, first, count, \
                                                      flags, 1));              \
    } while (0)
    for (index = 0; index < sizeof first / sizeof *first; index++) {
        ALL_FOUR(CLONE_GROUP_ERR_RANGE, 0, first[index], count[index], 0);
        ALL_FOUR(CLONE_GROUP_ERR_RANGE, 1, first[index], count[index], 0);
    }
    ALL_FOUR(CLONE_GROUP_ERR_NO_LU, 3, 0, 1, 0); // attached, not added
    ALL_FOUR(CLONE_GROUP_ERR_NO_LU, 4, 0, 1, 0);
    ALL_FOUR(CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_LU_NONE, 0, 1, 0);
    ALL_FOUR(CLONE_GROUP_ERR_STATE, 2, 0, 1, 0); // never synchronized
    ALL_FOUR(CLONE_GROUP_ERR_INVALID, 0, 0, 1, 4);
    ALL_FOUR(CLONE_GROUP_ERR_INVALID, 0, 0, 1, 0x80000000);
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_host_flush(group, 3, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_host_flush(group, 4, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_host_flush(group, 2, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_REQUEST, clone_group_abort(group, 1));
}

// A payload is the host's affair, NULL too: it is passed on.
static int expect_null(struct array *of, const struct clone_group_io *io,
                       int32_t *result)
{
    (void)of;
    CHECK(io->flags & CLONE_GROUP_IO_HOST);
    CHECK(io->payload == NULL);
    *result = CLONE_GROUP_OK;
    return 1;
}

static void check_null_payload(void)
{
    array.hook = expect_null;
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array,
                              clone_group_host_read(array.group, 0, 0, 1, NULL,
                                                    0, array_tag(&array))));
    array.hook = NULL;
}

// ----------------------------------------------------------- administration

static void check_administration(void)
{
    struct clone_group *group = array.group;
    uint32_t lu;

    for (lu = 0; lu <= 4; lu += 4) { // the Source is no Clone; 4 is too many
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_clone_add(group, lu, 1));
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_clone_remove(group, lu, 1));
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_synchronize(group, lu, 1));
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_fracture(group, lu, NULL, 0, 1));
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_protected_restore(group, lu, 1));
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_reverse_synchronize(group, lu, 1));
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_cancel(group, lu, 1));
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_retarget(group, lu, 1));
    }
    for (lu = 0; lu <= 4; lu += 4) {
        CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                     clone_group_verify(group, lu, 0, 1));
    }
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_verify(group, 2, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_verify(group, 3, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_verify_stop(group, 1));
    REFUSED(clone_group_verify(group, 1, 2, 1));
    REFUSED(clone_group_verify(group, 1, 0x80000000, 1));
    // 3 was attached, but never added; 2 was never synchronized.
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_clone_remove(group, 3, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_synchronize(group, 3, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_clone_add(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_CONSISTENT,
                 clone_group_protected_restore(group, 2, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_CONSISTENT,
                 clone_group_reverse_synchronize(group, 2, 1));
    // Nothing is copied, and the Source is valid.
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_cancel(group, 3, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_cancel(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_cancel(group, 2, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU, clone_group_retarget(group, 3, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_retarget(group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_source_accept(group, 1));
    REFUSED(clone_group_fracture(group, 1, NULL, 1, 1));
    REFUSED(clone_group_fracture(group, 1, NULL, 2, 1));
    REFUSED(clone_group_format(group, 2, 1));
    REFUSED(clone_group_recover(group, 2, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_format(group, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE,
                 clone_group_format(group, CLONE_GROUP_FORMAT_FORCE, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE, clone_group_recover(group, 0, 1));
    {
        struct clone_group_lu lu_config = {sizeof lu_config, 0, {1}};

        // A member of a running group keeps its LU.
        CHECK_STATUS(CLONE_GROUP_ERR_STATE,
                     clone_group_lu_attach(group, 0, &lu_config));
        CHECK_STATUS(CLONE_GROUP_ERR_STATE,
                     clone_group_lu_attach(group, 1, &lu_config));
    }
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(group, 0, 0));
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(group, 12345, 0));
    CHECK_STATUS(CLONE_GROUP_ERR_STALE_IO,
                 clone_group_io_complete(group, UINT64_MAX, 0));
}

// Several groups at once: every pointer, the count, the set, and the groups.
static void check_sets(void)
{
    struct clone_group *groups[2];
    struct clone_group *none = NULL;
    uint32_t lus[3] = {1, 1, 1};
    uint64_t words[(sizeof(struct clone_group_set) + 15) / 8];
    struct clone_group_set *odd =
        (struct clone_group_set *)(void *)((unsigned char *)words + 1);
    struct clone_group_set set;

    groups[0] = array.group;
    groups[1] = array.group;
    memset(&set, 0, sizeof set);
    REFUSED(clone_group_set_init(NULL, sizeof set, 1));
    REFUSED(clone_group_set_init(odd, sizeof set, 1));
    REFUSED(clone_group_set_init(&set, sizeof set, 0));
    CHECK_STATUS(CLONE_GROUP_ERR_STRUCT_SIZE,
                 clone_group_set_init(&set, sizeof set - 1, 1));
    CHECK_EQUAL(0, set.struct_size);
    // A set that was not filled.
    CHECK_STATUS(CLONE_GROUP_ERR_STRUCT_SIZE,
                 clone_group_set_protected_restore(groups, lus, 1, &set, 1));
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_set_init(&set, sizeof set, 1));
    REFUSED(clone_group_set_protected_restore(NULL, lus, 1, &set, 1));
    REFUSED(clone_group_set_protected_restore(groups, NULL, 1, &set, 1));
    REFUSED(clone_group_set_protected_restore(groups, lus, 0, &set, 1));
    REFUSED(clone_group_set_protected_restore(
        groups, lus, CLONE_GROUP_SET_GROUPS_MAX + 1, &set, 1));
    REFUSED(clone_group_set_protected_restore(groups, lus, 1, NULL, 1));
    REFUSED(clone_group_set_protected_restore(groups, lus, 1, odd, 1));
    REFUSED(clone_group_set_protected_restore(
        groups, (const uint32_t *)(const void *)((unsigned char *)lus + 1), 1,
        &set, 1));
    REFUSED(clone_group_set_protected_restore(&none, lus, 1, &set, 1));
    REFUSED(clone_group_set_fracture(NULL, lus, 1, &set, NULL, 1));
    REFUSED(clone_group_set_fracture(groups, NULL, 1, &set, NULL, 1));
    REFUSED(clone_group_set_fracture(groups, lus, 0, &set, NULL, 1));
    REFUSED(clone_group_set_fracture(groups, lus, 1, NULL, NULL, 1));
    // The same group twice; and it is free again afterwards.
    REFUSED(clone_group_set_protected_restore(groups, lus, 2, &set, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE,
                 clone_group_set_fracture(groups, lus, 1, &set, NULL, 1));
    lus[0] = 4;
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                 clone_group_set_protected_restore(groups, lus, 1, &set, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_NO_LU,
                 clone_group_set_fracture(groups, lus, 1, &set, NULL, 1));
    lus[0] = 2;
    CHECK_STATUS(CLONE_GROUP_ERR_NOT_CONSISTENT,
                 clone_group_set_fracture(groups, lus, 1, &set, NULL, 1));
    REFUSED(clone_group_set_resolve(array.group, 2, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE,
                 clone_group_set_resolve(array.group, 1, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_STATE,
                 clone_group_set_resolve(array.group, 0, 1));
}

// A running group: Clone 1 fractured and changed, 2 added, 3 only attached.
static void build(void)
{
    unsigned char *image;

    array_add_clone(&array, 1);
    array_synchronize(&array, 1);
    array_fracture(&array, 1);
    array_add_clone(&array, 2);
    image = array_image(&array, array.lu[0]);
    CHECK_STATUS(CLONE_GROUP_OK, array_write(&array, 0, image, 8, 16));
    free(image);
    array_drain(&array);
}

static void check_closed(void)
{
    struct clone_group *group = array.group;
    uint8_t block[512];

    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array,
                              clone_group_close(group, array_tag(&array))));
    CHECK_STATUS(CLONE_GROUP_ERR_CLOSED,
                 clone_group_host_read(group, 0, 0, 1, block, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_CLOSED,
                 clone_group_host_write(group, 0, 0, 1, block, 0, 1));
    CHECK_STATUS(CLONE_GROUP_ERR_CLOSED, clone_group_host_flush(group, 0, 1));
    CHECK_EQUAL(CLONE_GROUP_OK, array_poll(&array, 1));
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(group));
}

int main(int argc, char **argv)
{
    struct shadow before;
    struct shadow after;

    array_seed(argc, argv);
    array_init(&array, 4);
    check_configs();
    check_create();
    check_callbacks();
    check_attach();
    check_null_group();

    array_make(&array);
    array_open(&array);
    check_not_ready();
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(&array, clone_group_format(array.group, 0,
                                                         array_tag(&array))));
    build();
    look(&before);
    check_null_group();
    check_null_answers();
    check_misaligned();
    check_maps();
    check_host();
    check_administration();
    check_sets();
    CHECK_EQUAL(CLONE_GROUP_OK, array_poll(&array, 8));
    look(&after);
    CHECK_EQUAL(0, memcmp(&before, &after, sizeof before));
    check_null_payload();
    check_closed();
    array_free(&array);
    return 0;
}
