// Goal: no call does more because the LU is larger. This program leads a group of
// argv[1] extents through everything that walks maps: a first Synchronization, the
// sweep of all write intents, Recovery of pages that are all damaged, a
// Synchronization that inherits every intent, the repair of all metadata, the start
// of a Protected Restore of everything, its Recovery, a Verify that finds nothing to
// compare, a cancel with all extents protected, a Reverse Synchronization that
// distrusts every intent, and Close. Polls have the budget argv[2], and argv[3] are
// the flags of the configuration. tests/bounded_work.rs runs it under callgrind, which counts the
// instructions of each call.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clone_group.h"

enum { BLOCK = 4096, EXTENT_BLOCKS = 16, UNIT = 4096 };

static struct clone_group *group;
static unsigned char *area, *workspace;
static uint64_t area_bytes, workspace_bytes, extents;
static uint32_t budget, flags;
static int32_t operation;
static int flush_fails, persist_fails;
static char payload[BLOCK];

#define CHECK(condition)                                                        \
    ((condition) ? (void)0                                                      \
                 : (printf("%d: not true: %s\n", __LINE__, #condition), exit(1)))

// The calls that are counted: functions of their own, as the library's may be left by
// a jump, which callgrind takes for no return.
#define COUNTED __attribute__((noinline))

static int32_t on_lu(void *context, const struct clone_group_io *io)
{
    (void)context;
    return io->operation == CLONE_GROUP_IO_FLUSH && io->lu == 1 && flush_fails
               ? CLONE_GROUP_ERR_IO
               : CLONE_GROUP_OK;
}

static int32_t on_area(void *context, const struct clone_group_io *io)
{
    (void)context;
    if (io->operation == CLONE_GROUP_IO_PERSIST_READ) {
        memcpy(io->buffer, area + io->offset_bytes, io->length_bytes);
    } else if (persist_fails) {
        return CLONE_GROUP_ERR_IO;
    } else {
        memcpy(area + io->offset_bytes, io->buffer, io->length_bytes);
    }
    return CLONE_GROUP_OK;
}

static void on_done(void *context, uint64_t tag, int32_t status)
{
    (void)context;
    if (tag == 7) {
        operation = status;
    }
}


// What came before, such as create, is not part of the next call.
COUNTED void counted_nothing(void);
COUNTED void counted_nothing(void)
{
    __asm__ volatile("");
}

COUNTED int32_t counted_poll(void);
COUNTED int32_t counted_poll(void)
{
    return clone_group_cod_poll(group, budget);
}

// The same, in phases of their own: a walk that is longer because the LU is must not
// hide behind the sweep of a page, which is long for any LU.
COUNTED int32_t counted_sweeping(void);
COUNTED int32_t counted_sweeping(void)
{
    return clone_group_cod_poll(group, budget);
}

COUNTED int32_t counted_giving_up(void);
COUNTED int32_t counted_giving_up(void)
{
    return clone_group_cod_poll(group, budget);
}

COUNTED int32_t counted_distrusting(void);
COUNTED int32_t counted_distrusting(void)
{
    return clone_group_cod_poll(group, budget);
}

static int32_t (*poll)(void) = counted_poll;

COUNTED int32_t counted_step(void);
COUNTED int32_t counted_step(void)
{
    return clone_group_sync_step(group, 8 * 64);
}

COUNTED int32_t counted_operation(int32_t (*operate)(struct clone_group *, uint64_t));
COUNTED int32_t counted_operation(int32_t (*operate)(struct clone_group *, uint64_t))
{
    return operate(group, 7);
}

COUNTED int32_t counted_recover(void);
COUNTED int32_t counted_recover(void)
{
    return clone_group_recover(group, 0, 7);
}

COUNTED int32_t counted_synchronize(void);
COUNTED int32_t counted_synchronize(void)
{
    return clone_group_synchronize(group, 1, 7);
}

COUNTED int32_t counted_restore(void);
COUNTED int32_t counted_restore(void)
{
    return clone_group_protected_restore(group, 1, 7);
}

// Steps of Verify apart from those that sweep, which are longer.
COUNTED int32_t counted_verify_step(void);
COUNTED int32_t counted_verify_step(void)
{
    return clone_group_sync_step(group, 8 * 64);
}

COUNTED int32_t counted_verify(void);
COUNTED int32_t counted_verify(void)
{
    return clone_group_verify(group, 1, 0, 7);
}

COUNTED int32_t counted_cancel(void);
COUNTED int32_t counted_cancel(void)
{
    return clone_group_cancel(group, 1, 7);
}

COUNTED int32_t counted_reverse(void);
COUNTED int32_t counted_reverse(void)
{
    return clone_group_reverse_synchronize(group, 1, 7);
}

COUNTED int32_t counted_read(uint64_t extent);
COUNTED int32_t counted_read(uint64_t extent)
{
    return clone_group_host_read(group, 0, extent * EXTENT_BLOCKS, 1, payload, 0, 1);
}

COUNTED int32_t counted_write(uint64_t extent, uint64_t blocks);
COUNTED int32_t counted_write(uint64_t extent, uint64_t blocks)
{
    return clone_group_host_write(group, 0, extent * EXTENT_BLOCKS, blocks, payload, 0, 1);
}

COUNTED int32_t counted_map_read(uint8_t *bits);
COUNTED int32_t counted_map_read(uint8_t *bits)
{
    return clone_group_map_read(group, CLONE_GROUP_MAP_DELTA, 1, 100, 4096, bits, 512);
}

static void open_group(void)
{
    struct clone_group_config config;
    struct clone_group_ops ops;
    struct clone_group_lu lu;

    clone_group_config_init(&config, sizeof config);
    config.lu_blocks = extents * EXTENT_BLOCKS;
    config.flags = flags;
    config.block_bytes = BLOCK;
    config.extent_blocks = EXTENT_BLOCKS;
    config.copies_max = 2;
    config.copy_buffer_bytes = 64 * EXTENT_BLOCKS * BLOCK;
    config.persist_unit_bytes = UNIT;
    clone_group_ops_init(&ops, sizeof ops);
    ops.read = ops.write = ops.flush = on_lu;
    ops.persist_read = ops.persist_write = on_area;
    ops.done = on_done;
    if (area == NULL) {
        CHECK(clone_group_metadata_size(&config, &area_bytes) == CLONE_GROUP_OK);
        CHECK(clone_group_workspace_size(&config, &workspace_bytes) == CLONE_GROUP_OK);
        area = calloc(1, area_bytes);
        workspace = malloc(workspace_bytes + 4096);
        CHECK(area != NULL && workspace != NULL);
        workspace += 4096 - (uintptr_t)workspace % 4096;
    }
    CHECK(clone_group_create(&config, &ops, workspace, workspace_bytes, &group) == CLONE_GROUP_OK);
    for (uint32_t n = 0; n < 2; n++) {
        memset(&lu, 0, sizeof lu);
        lu.struct_size = sizeof lu;
        lu.flags = CLONE_GROUP_LU_VOLATILE_CACHE;
        lu.identity[0] = (uint8_t)(n + 1);
        CHECK(clone_group_lu_attach(group, n, &lu) == CLONE_GROUP_OK);
    }
    counted_nothing();
}

static void settle(void)
{
    int32_t outcome;

    do {
        outcome = poll();
        CHECK(outcome >= 0);
    } while (outcome != CLONE_GROUP_OK);
}

static int32_t finish(int32_t status)
{
    CHECK(status == CLONE_GROUP_PENDING);
    operation = CLONE_GROUP_PENDING;
    settle();
    CHECK(operation != CLONE_GROUP_PENDING);
    return operation;
}

static int32_t finish_by(int32_t (*phase)(void), int32_t status)
{
    int32_t result;

    poll = phase;
    result = finish(status);
    poll = counted_poll;
    return result;
}

static struct clone_group_clone_info clone_1(void)
{
    struct clone_group_clone_info info;

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK(clone_group_clone_query(group, 1, &info) == CLONE_GROUP_OK);
    return info;
}

static void read_map(void)
{
    uint8_t bits[512];

    CHECK(counted_map_read(bits) == CLONE_GROUP_OK);
}

// Both copies of every page are lost: after Recovery every extent differs. The
// superblock at the begin of each region stays.
static void damage_pages_and_recover(void)
{
    for (uint64_t at = 0; at < area_bytes; at += UNIT) {
        if (at != 0 && at != area_bytes / 2) {
            memset(area + at, 0xAA, UNIT);
        }
    }
    open_group();
    CHECK(finish(counted_recover()) == CLONE_GROUP_OK);
    CHECK(clone_1().extents_left == extents);
}

// Everything differs: nothing is to be compared, and that takes polls.
static void verify_nothing(void)
{
    CHECK(finish(counted_verify()) == CLONE_GROUP_OK);
    while (counted_verify_step() != CLONE_GROUP_OK) {
    }
    CHECK(clone_1().verify_extents_left == 0);
}

// Hosts replaced all but one extent. That is one request, whose work is its own and
// is not counted; to take all of it into the Delta Map is not.
static void cancel_with_all_protected(void)
{
    CHECK(finish_by(counted_sweeping, counted_restore()) == CLONE_GROUP_OK);
    (void)clone_group_host_write(group, 0, 0, (extents - 1) * EXTENT_BLOCKS, payload, 0, 1);
    while (clone_group_cod_poll(group, 64) != CLONE_GROUP_OK) {
    }
    CHECK(clone_1().extents_left == 1);
    counted_nothing();
    CHECK(finish_by(counted_giving_up, counted_cancel()) == CLONE_GROUP_OK);
    CHECK(clone_1().extents_left == extents);
    CHECK(finish(counted_operation(clone_group_source_accept)) == CLONE_GROUP_OK);
}

// A flush fails before anything was copied back: what carries an intent, which is
// everything, is looked at again.
static void reverse_with_distrust(void)
{
    CHECK(finish_by(counted_sweeping, counted_reverse()) == CLONE_GROUP_OK);
    CHECK(counted_step() >= 0);
    flush_fails = 1;
    (void)clone_group_host_flush(group, 0, 1);
    poll = counted_distrusting;
    settle();
    flush_fails = 0;
    CHECK(finish_by(counted_distrusting, counted_operation(clone_group_resume)) == CLONE_GROUP_OK);
    while (counted_step() != CLONE_GROUP_OK) {
    }
    CHECK(clone_1().state == CLONE_GROUP_CLONE_SYNCHRONIZED);
    CHECK(finish(clone_group_fracture(group, 1, NULL, 0, 7)) == CLONE_GROUP_OK);
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    extents = strtoull(argv[1], NULL, 10);
    budget = (uint32_t)strtoul(argv[2], NULL, 10);
    flags = (uint32_t)strtoul(argv[3], NULL, 10);
    open_group();
    CHECK(finish(clone_group_format(group, 0, 7)) == CLONE_GROUP_OK);
    CHECK(finish(clone_group_clone_add(group, 1, 7)) == CLONE_GROUP_OK);
    CHECK(finish(counted_synchronize()) == CLONE_GROUP_OK);
    while (counted_step() != CLONE_GROUP_OK) {
    }
    CHECK(clone_1().state == CLONE_GROUP_CLONE_SYNCHRONIZED);
    // Intents: one in each page, and a host flush.
    for (uint64_t extent = 0; extent < extents; extent += 8192) {
        (void)counted_write(extent, 1);
        settle();
    }
    (void)clone_group_host_flush(group, 0, 1);
    settle();
    CHECK(finish(clone_group_fracture(group, 1, NULL, 0, 7)) == CLONE_GROUP_OK);

    // Everything differs, and the Clone is a point in time.
    damage_pages_and_recover();
    CHECK(finish_by(counted_sweeping, counted_restore()) == CLONE_GROUP_OK);
    CHECK(counted_step() >= 0);
    (void)counted_read(5000);
    (void)counted_write(6000, 1);
    (void)counted_write(7000, EXTENT_BLOCKS);
    settle();
    read_map();
    open_group(); // power loss
    CHECK(finish_by(counted_sweeping, counted_recover()) == CLONE_GROUP_OK);
    CHECK(clone_1().state == CLONE_GROUP_CLONE_RESTORING);
    while (counted_step() != CLONE_GROUP_OK) {
    }
    CHECK(clone_1().state == CLONE_GROUP_CLONE_FRACTURED);

    damage_pages_and_recover();
    verify_nothing();
    cancel_with_all_protected();
    reverse_with_distrust();

    // Everything differs; the mirror fails, and inherits every intent.
    damage_pages_and_recover();
    CHECK(finish(counted_synchronize()) == CLONE_GROUP_OK);
    CHECK(counted_step() >= 0);
    flush_fails = 1;
    (void)clone_group_host_flush(group, 0, 1);
    settle();
    flush_fails = 0;
    CHECK(clone_1().state == CLONE_GROUP_CLONE_OUT_OF_SYNC);
    CHECK(finish(counted_synchronize()) == CLONE_GROUP_OK);
    persist_fails = 1;
    CHECK(finish(counted_operation(clone_group_pause)) == CLONE_GROUP_ERR_IO);
    persist_fails = 0;
    CHECK(finish(counted_operation(clone_group_metadata_repair)) == CLONE_GROUP_OK);
    while (counted_step() != CLONE_GROUP_OK) {
    }
    CHECK(clone_1().state == CLONE_GROUP_CLONE_SYNCHRONIZED);
    for (uint64_t extent = 0; extent < extents; extent += 8192) {
        (void)counted_write(extent, 1);
        settle();
    }
    CHECK(finish(counted_operation(clone_group_close)) == CLONE_GROUP_OK);
    CHECK(clone_group_destroy(group) == CLONE_GROUP_OK);
    puts("all held");
    return 0;
}
