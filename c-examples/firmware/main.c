// Goal: the firmware build of the library does its work without an operating
// system, a C library and a heap. A whole life of a group, in static memory: a
// Synchronization under host writes, Fracture, Protected Restore under host
// I/O, power loss in the middle, Recovery; metadata that fails, and its repair.
// Once with callbacks that answer at once, once with completions that come
// later and out of order. Every block is held against a model. Exits with 0
// only if all of it is right.
//
// It prints, for tools/firmware-proof:
//   metadata CRC MOMENT   the same on every machine, whatever its byte order
//   stack BYTES FUNCTION  how deep a call goes, without its callbacks

#include "array.h"
#include "parts.h"
#include "stack.h"

// An RTOS may well have one of these: the library's must give way.
int recover(void);
int recover(void)
{
    return 7;
}

static const uint8_t label[64] = "Sunday, before the upgrade";

static uint64_t info_left(uint32_t lu, uint32_t state)
{
    struct clone_group_clone_info info = {.struct_size = sizeof info};

    CHECK(CALL(clone_group_clone_query, array.group, lu, &info) == CLONE_GROUP_OK);
    CHECK(info.struct_size == sizeof info);
    CHECK(info.state == state);
    CHECK(info.identity[15] == (state == CLONE_GROUP_CLONE_ABSENT ? 0 : lu + 1));
    if (lu == 1 && state >= CLONE_GROUP_CLONE_FRACTURED) {
        CHECK(info.label[0] == 'S' && info.label[25] == 'e' && info.label[63] == 0);
    }
    return info.extents_left;
}

static void check_group(uint32_t state, uint32_t conditions, uint32_t restoring_lu)
{
    struct clone_group_info info = {.struct_size = sizeof info};

    CHECK(CALL(clone_group_query, array.group, &info) == CLONE_GROUP_OK);
    CHECK(info.struct_size == sizeof info);
    CHECK(info.state == state);
    CHECK(info.conditions == conditions);
    CHECK(info.restoring_lu == restoring_lu);
    CHECK(info.extents_total == EXTENTS);
    CHECK(info.requests == 0 && info.cod_queue_depth == 0);
}

// Some writes and reads at once, of every shape: parts of extents, whole ones,
// several, the short one at the end.
static void host_load(uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t n = 0; n < REQUESTS; n++) {
            uint32_t slice = BLOCKS / REQUESTS; // so that they do not overlap
            uint32_t count = 1 + array_random(REQUEST_BLOCKS);
            uint32_t first = n * slice + array_random(slice - REQUEST_BLOCKS + 1);

            if (n == REQUESTS - 1) {
                first = BLOCKS - count;
            }
            if (array_random(3) == 0) {
                array_read(n, 0, first, count);
            } else {
                array_write(n, 0, first, count, array_random(2) ? CLONE_GROUP_HOST_FUA : 0);
            }
        }
        array_settle();
    }
}

static void flush(uint32_t lu)
{
    array.request_status[0] = CLONE_GROUP_PENDING;
    int32_t status = CALL(clone_group_host_flush, array.group, lu, 0);
    if (status != CLONE_GROUP_PENDING) {
        array.request_status[0] = status;
    }
    array_settle();
}

static void make_point_in_time(void)
{
    CHECK(array_finish(CALL(clone_group_clone_add, array.group, 1, 1000)) == CLONE_GROUP_OK);
    CHECK(array_finish(CALL(clone_group_clone_add, array.group, 2, 1000)) == CLONE_GROUP_OK);
    CHECK(array_finish(CALL(clone_group_synchronize, array.group, 1, 1000)) == CLONE_GROUP_OK);
    host_load(2);
    CHECK(array_finish(CALL(clone_group_synchronize, array.group, 2, 1000)) == CLONE_GROUP_OK);
    CHECK(CALL(clone_group_sync_step, array.group, 3) >= 0);
    host_load(2);
    array_copy_all();
    array_copy_all(); // what collided
    CHECK(info_left(1, CLONE_GROUP_CLONE_SYNCHRONIZED) == 0);
    CHECK(info_left(2, CLONE_GROUP_CLONE_SYNCHRONIZED) == 0);
    flush(0);
    CHECK(array_finish(CALL(clone_group_fracture, array.group, 1, label, 0, 1000))
          == CLONE_GROUP_OK);
    array_copy_model(1, 0);
    array_check_lu(1);
}

static void disaster(void)
{
    for (uint32_t first = 0; first + REQUEST_BLOCKS <= BLOCKS; first += REQUEST_BLOCKS) {
        array_write(0, 0, first, REQUEST_BLOCKS, 0);
        array_settle();
    }
    array_copy_all();
    array_copy_model(2, 0); // Clone 2 is mirrored: the undo
    array_check_lu(2);
}

static void begin_restore(void)
{
    CHECK(array_finish(CALL(clone_group_protected_restore, array.group, 1, 1000))
          == CLONE_GROUP_OK);
    array_copy_model(0, 1);
    CHECK(info_left(1, CLONE_GROUP_CLONE_RESTORING) > 0);
    CHECK(info_left(2, CLONE_GROUP_CLONE_FRACTURED) > 0);
    array_read(0, 0, 100, REQUEST_BLOCKS); // copied on demand
    array_settle();
    CHECK(CALL(clone_group_host_write, array.group, 1, 0, 1, array.payload[0], 0, 0)
          == CLONE_GROUP_ERR_PROTECTED);
    host_load(1);
    CHECK(CALL(clone_group_sync_step, array.group, 4) >= 0);
    host_load(1);
}

static void lose_power_and_recover(void)
{
    // With copies, and nothing else, under way.
    CHECK(CALL(clone_group_sync_step, array.group, 2) >= 0);
    array_power_loss();
    array_print_metadata("power lost during a restore");
    array_open(1);
    CHECK(array_finish(CALL(clone_group_recover, array.group, 0, 1000)) == CLONE_GROUP_OK);
    check_group(CLONE_GROUP_STATE_READY, 0, 1);
    host_load(1);
}

static void end_restore(void)
{
    uint32_t restored = array.events[CLONE_GROUP_EVENT_RESTORED];

    array_copy_all();
    CHECK(array.events[CLONE_GROUP_EVENT_RESTORED] == restored + 1);
    check_group(CLONE_GROUP_STATE_READY, 0, 0);
    array_check_lu(0);
    array_check_lu(1);
    array_check_lu(2);
    array_print_metadata("restore finished");
}

// The Delta Map of Clone 1 names every extent in which it and the Source differ.
static void check_delta_map(void)
{
    uint8_t bits[(EXTENTS + 7) / 8];
    int32_t status = CALL(clone_group_map_read, array.group, CLONE_GROUP_MAP_DELTA, 1, 0, EXTENTS,
                          bits, sizeof bits);

    if (status == CLONE_GROUP_ERR_NOT_SUPPORTED) {
        return; // a build without queries
    }
    CHECK(status == CLONE_GROUP_OK);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        uint32_t extent = block / EXTENT_BLOCKS;

        CHECK(array.expected[0][block] == array.expected[1][block]
              || (bits[extent / 8] >> extent % 8 & 1) != 0);
    }
    CHECK(bits[EXTENTS / 8] >> EXTENTS % 8 == 0);
}

static void pause_and_resume(void)
{
    CHECK(array_finish(CALL(clone_group_pause, array.group, 1000)) == CLONE_GROUP_OK);
    check_group(CLONE_GROUP_STATE_READY, CLONE_GROUP_CONDITION_PAUSED, 0);
    CHECK(array_finish(CALL(clone_group_resume, array.group, 1000)) == CLONE_GROUP_OK);
    check_group(CLONE_GROUP_STATE_READY, 0, 0);
}

static void write_the_clone(void)
{
    array_write(0, 1, 3, 9, 0);
    array_settle();
    array_read(0, 1, 0, 20);
    array_settle();
    flush(1);
    CHECK(CALL(clone_group_abort, array.group, 5) == CLONE_GROUP_ERR_NO_REQUEST);
    CHECK(CALL(clone_group_host_discard, array.group, 0, 0, 8, 0, 0) == CLONE_GROUP_OK);
}

// The persistent area refuses a write: hosts that need it are told, a repair
// mends it, and nothing was lost.
static void fail_metadata(void)
{
    uint32_t failures = array.events[CLONE_GROUP_EVENT_METADATA_FAILED];

    array.persist_writes_fail = 1;
    CHECK(array_finish(CALL(clone_group_pause, array.group, 1000)) < 0);
    CHECK(array.events[CLONE_GROUP_EVENT_METADATA_FAILED] == failures + 1);
    check_group(CLONE_GROUP_STATE_READY, CLONE_GROUP_CONDITION_METADATA_FAILED, 0);
    CHECK(array_finish(CALL(clone_group_metadata_repair, array.group, 1000)) < 0);
    array.persist_writes_fail = 0;
    CHECK(array_finish(CALL(clone_group_metadata_repair, array.group, 1000)) == CLONE_GROUP_OK);
    check_group(CLONE_GROUP_STATE_READY, 0, 0);
    pause_and_resume();
}

static void check_statistics(void)
{
    struct clone_group_statistics statistics = {.struct_size = sizeof statistics};

    int32_t status = CALL(clone_group_statistics_query, array.group, &statistics);
    if (status == CLONE_GROUP_ERR_NOT_SUPPORTED) {
        return; // a build without queries
    }
    CHECK(status == CLONE_GROUP_OK);
    CHECK(statistics.struct_size == sizeof statistics);
    CHECK(statistics.host_writes > 0 && statistics.host_reads > 0);
    CHECK(statistics.superblock_writes > 0 && statistics.metadata_errors > 0);
    CHECK(statistics.cod_wait_ns_max == 0); // there is no clock
}

static void close_group(void)
{
    CHECK(array_finish(CALL(clone_group_close, array.group, 1000)) == CLONE_GROUP_OK);
    check_group(CLONE_GROUP_STATE_CLOSED, 0, 0);
    CHECK(CALL(clone_group_destroy, array.group) == CLONE_GROUP_OK);
}

static void first_boot(void)
{
    array_open(1);
    CHECK(array_finish(CALL(clone_group_recover, array.group, 0, 1000))
          == CLONE_GROUP_ERR_METADATA_MISSING);
    CHECK(array_finish(CALL(clone_group_format, array.group, 0, 1000)) == CLONE_GROUP_OK);
    array_print_metadata("formatted");
    for (uint32_t first = 0; first < BLOCKS; first += 5) {
        array_write(0, 0, first, 5, 0);
        array_settle();
    }
}

static void next_boot(void)
{
    array_open(2);
    CHECK(array_finish(CALL(clone_group_recover, array.group, 0, 1000))
          == CLONE_GROUP_ERR_METADATA_FOREIGN);
    CHECK(CALL(clone_group_destroy, array.group) == CLONE_GROUP_OK);
    array_open(1);
    CHECK(array_finish(CALL(clone_group_recover, array.group, 0, 1000)) == CLONE_GROUP_OK);
    check_group(CLONE_GROUP_STATE_READY, 0, 0);
    check_delta_map();
}

static void life(int is_late)
{
    array.is_late = is_late;
    for (uint32_t n = 0; n < array.area_bytes; n++) {
        array.area[n] = 0;
    }
    array_power_loss();
    first_boot();
    make_point_in_time();
    disaster();
    begin_restore();
    lose_power_and_recover();
    end_restore();
    check_delta_map();
    pause_and_resume();
    write_the_clone();
    fail_metadata();
    check_statistics();
    close_group();
    array_print_metadata("closed");
    next_boot();
    CHECK(array_finish(CALL(clone_group_clone_remove, array.group, 2, 1000)) == CLONE_GROUP_OK);
    CHECK(info_left(2, CLONE_GROUP_CLONE_ABSENT) <= EXTENTS);
    close_group();
}

static void print_workspace(const char *name, uint64_t tebibytes, uint32_t extent_blocks)
{
    struct clone_group_config config;
    uint64_t bytes = 0;

    CHECK(CALL(clone_group_config_init, &config, sizeof config) == CLONE_GROUP_OK);
    config.lu_blocks = tebibytes << 31;
    config.extent_blocks = extent_blocks;
    config.requests_max = 32;
    config.copy_buffer_bytes = 65536;
    config.copies_max = 2;
    platform_print("workspace ");
    if (CALL(clone_group_workspace_size, &config, &bytes) == CLONE_GROUP_OK) {
        platform_print_number((uint32_t)(bytes >> 10));
    } else {
        platform_print("-"); // more than this machine can address
    }
    platform_print(" ");
    platform_print(name);
    platform_print("\n");
}

int firmware_main(void)
{
    CHECK(clone_group_abi_version() == CLONE_GROUP_ABI_VERSION);
    CHECK(clone_group_version()[0] >= '0');
    // Never NULL; empty in a build without texts.
    array.has_texts = clone_group_status_name(CLONE_GROUP_ERR_BUSY)[0] == 'C';
    CHECK((clone_group_status_text(CLONE_GROUP_ERR_BUSY)[0] != 0) == array.has_texts);
    CHECK(recover() == 7);
    life(0);
    life(1);
    for (array.is_late = 0; array.is_late < 2; array.is_late++) {
        parts_life();
    }
    CHECK((array.log_lines > 0) == array.has_texts);
    print_workspace("1 TiB, extents of 64 KiB", 1, 128);
    print_workspace("16 TiB, extents of 64 KiB", 16, 128);
    print_workspace("256 TiB, extents of 64 KiB", 256, 128);
    print_workspace("1 TiB, extents of 1 MiB", 1, 2048);
    print_workspace("16 TiB, extents of 1 MiB", 16, 2048);
    print_workspace("256 TiB, extents of 1 MiB", 256, 2048);
    print_workspace("1 TiB, extents of 16 MiB", 1, 32768);
    print_workspace("16 TiB, extents of 16 MiB", 16, 32768);
    print_workspace("256 TiB, extents of 16 MiB", 256, 32768);
    stack_report();
    platform_print("all held\n");
    return 0;
}
