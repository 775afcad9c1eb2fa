// See array.h.

#include "array.h"
#include "stack.h"

enum {
    COPIES = 2,
    COPY_BYTES = 2 * EXTENT_BLOCKS * BLOCK_BYTES,
    BUFFER_ALIGN = 512,
    PAGE_BYTES = 512,
    PAGE_WRITES = 2
};
#define WORKSPACE_BYTES                                                        \
    CLONE_GROUP_WORKSPACE_BYTES(EXTENTS, LUS - 1, REQUESTS, COPIES,            \
                                COPY_BYTES, PAGE_BYTES, PAGE_BYTES,            \
                                PAGE_WRITES, BUFFER_ALIGN)

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *one, const void *other, size_t bytes);

struct array array;

// All memory of the library. array_open() holds it against what it needs.
static unsigned char workspace[WORKSPACE_BYTES] __attribute__((aligned(BUFFER_ALIGN)));

// What each request under way reads: it is checked at its end.
struct range {
    uint32_t lu;
    uint32_t first;
    uint32_t count; // 0: nothing to check
};
static struct range reads[REQUESTS];

enum { TAG_OPERATION = 1000 };

void array_fail(const char *file, int line, const char *what)
{
    platform_print(file);
    platform_print(":");
    platform_print_number((uint32_t)line);
    platform_print(": not true: ");
    platform_print(what);
    platform_print("\n");
    platform_exit(1);
}

uint32_t array_random(uint32_t bound)
{
    static uint32_t state = 12345;

    state = state * 1664525u + 1013904223u;
    return (state >> 8) % bound;
}

// A block shows which write it is of, and where it belongs.
static void fill_block(unsigned char *block, uint32_t number, uint32_t stamp)
{
    for (uint32_t n = 0; n < BLOCK_BYTES; n++) {
        block[n] = (unsigned char)(stamp * 31 + number * 7 + n + (stamp >> 8));
    }
}

static int shows(const unsigned char *block, uint32_t number, uint32_t stamp)
{
    unsigned char wanted[BLOCK_BYTES];

    fill_block(wanted, number, stamp);
    return memcmp(block, wanted, BLOCK_BYTES) == 0;
}

// --------------------------------------------------------------- callbacks

static int32_t move(const struct clone_group_io *io)
{
    unsigned char *data = io->flags & CLONE_GROUP_IO_HOST ? io->payload : io->buffer;
    unsigned char *place =
        (io->lu == CLONE_GROUP_LU_NONE ? array.area : array.lu[io->lu]) + io->offset_bytes;

    switch (io->operation) {
    case CLONE_GROUP_IO_READ:
    case CLONE_GROUP_IO_PERSIST_READ:
        memcpy(data, place, (size_t)io->length_bytes);
        return CLONE_GROUP_OK;
    case CLONE_GROUP_IO_PERSIST_WRITE:
        if (array.persist_writes_fail) {
            return CLONE_GROUP_ERR_IO;
        }
        memcpy(place, data, (size_t)io->length_bytes);
        return CLONE_GROUP_OK;
    case CLONE_GROUP_IO_WRITE:
        memcpy(place, data, (size_t)io->length_bytes);
        return CLONE_GROUP_OK;
    case CLONE_GROUP_IO_WRITE_ZEROES:
        memset(place, 0, (size_t)io->length_bytes);
        return CLONE_GROUP_OK;
    case CLONE_GROUP_IO_FLUSH:
    case CLONE_GROUP_IO_PERSIST_FLUSH:
        return CLONE_GROUP_OK;
    default:
        return CLONE_GROUP_ERR_NOT_SUPPORTED;
    }
}

static void check_io(const struct clone_group_io *io)
{
    uint64_t end = io->offset_bytes + io->length_bytes;

    CHECK(io->struct_size == sizeof *io);
    CHECK(io->id != 0);
    CHECK(io->reserved == 0);
    CHECK(io->lu == CLONE_GROUP_LU_NONE || io->lu < LUS);
    CHECK(end <= (io->lu == CLONE_GROUP_LU_NONE ? array.area_bytes : sizeof array.lu[0]));
    CHECK((uintptr_t)io->buffer % BUFFER_ALIGN == 0);
    if (io->lu != CLONE_GROUP_LU_NONE) {
        CHECK(io->first_block * BLOCK_BYTES == io->offset_bytes);
        CHECK(io->block_count * BLOCK_BYTES == io->length_bytes);
    }
}

static int32_t answer(const struct clone_group_io *io)
{
    check_io(io);
    if (!array.is_late) {
        return move(io);
    }
    if (array.late_count == sizeof array.late / sizeof array.late[0]) {
        return CLONE_GROUP_RETRY;
    }
    array.late[array.late_count++] = *io;
    return CLONE_GROUP_PENDING;
}

static int32_t on_io(void *context, const struct clone_group_io *io)
{
    int32_t result;

    stack_callback_begins(stack_here());
    CHECK(context == &array);
    result = answer(io);
    stack_callback_ends();
    return result;
}

static void check_read(const struct range *range, const unsigned char *payload)
{
    for (uint32_t n = 0; n < range->count; n++) {
        uint32_t block = range->first + n;

        CHECK(shows(payload + n * BLOCK_BYTES, block, array.expected[range->lu][block]));
    }
}

static void on_done(void *context, uint64_t tag, int32_t status)
{
    stack_callback_begins(stack_here());
    CHECK(context == &array);
    if (tag == TAG_OPERATION) {
        CHECK(array.operation_status == CLONE_GROUP_PENDING);
        array.operation_status = status;
    } else {
        CHECK(tag < REQUESTS);
        CHECK(array.request_status[tag] == CLONE_GROUP_PENDING);
        array.request_status[tag] = status;
    }
    stack_callback_ends();
}

static void on_event(void *context, const struct clone_group_event *event)
{
    stack_callback_begins(stack_here());
    CHECK(context == &array);
    CHECK(event->struct_size == sizeof *event);
    CHECK(event->kind < sizeof array.events / sizeof array.events[0]);
    CHECK((event->text[0] != 0) == array.has_texts && (event->name[0] != 0) == array.has_texts);
    array.events[event->kind]++;
    stack_callback_ends();
}

// The last of the callbacks: it is called only if the struct of the callbacks
// is laid out alike on both sides.
static void on_log(void *context, uint32_t level, const char *text)
{
    stack_callback_begins(stack_here());
    CHECK(context == &array && level <= 2 && text[0] != 0);
    array.log_lines++;
    stack_callback_ends();
}

// ------------------------------------------------------------- open and end

static void configure(struct clone_group_config *config, uint64_t identity)
{
    CHECK(CALL(clone_group_config_init, config, sizeof *config) == CLONE_GROUP_OK);
    config->lu_blocks = BLOCKS;
    config->block_bytes = BLOCK_BYTES;
    config->extent_blocks = EXTENT_BLOCKS;
    config->clones_max = LUS - 1;
    config->requests_max = REQUESTS;
    config->copies_max = COPIES;
    config->copy_buffer_bytes = COPY_BYTES;
    config->buffer_align_bytes = BUFFER_ALIGN;
    config->persist_unit_bytes = PAGE_BYTES;
    config->page_bytes = PAGE_BYTES;
    config->page_writes_max = PAGE_WRITES;
    config->intent_extents_max = 16;
    for (uint32_t n = 0; n < 16; n++) {
        config->group_id[n] = (uint8_t)(identity + n);
    }
}

static void set_callbacks(struct clone_group_ops *ops)
{
    CHECK(CALL(clone_group_ops_init, ops, sizeof *ops) == CLONE_GROUP_OK);
    ops->context = &array;
    ops->read = ops->write = ops->flush = ops->write_zeroes = on_io;
    ops->persist_read = ops->persist_write = ops->persist_flush = on_io;
    ops->done = on_done;
    ops->event = on_event;
    ops->log = on_log;
}

static void attach_lus(void)
{
    for (uint32_t n = 0; n < LUS; n++) {
        struct clone_group_lu lu = {.struct_size = sizeof lu};

        lu.flags = n == 1 ? CLONE_GROUP_LU_VOLATILE_CACHE : 0;
        lu.identity[15] = (uint8_t)(n + 1);
        CHECK(CALL(clone_group_lu_attach, array.group, n, &lu) == CLONE_GROUP_OK);
    }
}

void array_open(uint64_t identity)
{
    struct clone_group_config config;
    struct clone_group_ops ops;
    uint64_t bytes;

    configure(&config, identity);
    set_callbacks(&ops);
    CHECK(CALL(clone_group_metadata_size, &config, &array.area_bytes) == CLONE_GROUP_OK);
    CHECK(array.area_bytes <= sizeof array.area);
    CHECK(CALL(clone_group_workspace_size, &config, &bytes) == CLONE_GROUP_OK);
    CHECK(bytes <= sizeof workspace);
    memset(workspace, 0xA5, sizeof workspace);
    // There is no heap: a NULL workspace is refused.
    CHECK(CALL(clone_group_create, &config, &ops, NULL, 0, &array.group)
          == CLONE_GROUP_ERR_WORKSPACE);
    CHECK(CALL(clone_group_create, &config, &ops, workspace, bytes, &array.group)
          == CLONE_GROUP_OK);
    for (uint64_t n = bytes; n < sizeof workspace; n++) {
        CHECK(workspace[n] == 0xA5);
    }
    attach_lus();
}

void array_power_loss(void)
{
    array.late_count = 0;
    array.operation_status = CLONE_GROUP_OK;
    for (uint32_t n = 0; n < REQUESTS; n++) {
        array.request_status[n] = CLONE_GROUP_OK;
        reads[n].count = 0;
    }
}

// ------------------------------------------------------------------- polls

void array_interrupt(void)
{
    struct clone_group_io io;
    uint32_t n;

    if (array.late_count == 0) {
        return;
    }
    n = array_random(array.late_count); // out of order
    io = array.late[n];
    array.late[n] = array.late[--array.late_count];
    CHECK(CALL(clone_group_io_complete, array.group, io.id, move(&io)) == CLONE_GROUP_OK);
    CHECK(CALL(clone_group_io_complete, array.group, io.id, 0) == CLONE_GROUP_ERR_STALE_IO);
}

static void poll_once(void)
{
    int32_t outcome = CALL(clone_group_cod_poll, array.group, 1 + array_random(8));

    CHECK(outcome >= 0);
    array_interrupt();
}

int32_t array_finish(int32_t status)
{
    if (status != CLONE_GROUP_PENDING) {
        return status;
    }
    array.operation_status = CLONE_GROUP_PENDING;
    for (uint32_t polls = 0; array.operation_status == CLONE_GROUP_PENDING; polls++) {
        CHECK(polls < 100000);
        poll_once();
    }
    return array.operation_status;
}

void array_settle(void)
{
    for (uint32_t n = 0; n < REQUESTS; n++) {
        for (uint32_t polls = 0; array.request_status[n] == CLONE_GROUP_PENDING; polls++) {
            CHECK(polls < 100000);
            poll_once();
        }
        CHECK(array.request_status[n] == CLONE_GROUP_OK);
        check_read(&reads[n], array.payload[n]);
        reads[n].count = 0;
    }
}

void array_copy_all(void)
{
    int32_t outcome;

    do {
        outcome = CALL(clone_group_sync_step, array.group, 1 + array_random(4));
        CHECK(outcome >= 0);
        array_interrupt();
    } while (outcome != CLONE_GROUP_OK);
}

// ------------------------------------------------------------ host requests

void array_write(uint32_t request, uint32_t lu, uint32_t first, uint32_t count, uint32_t flags)
{
    array.stamp++;
    for (uint32_t n = 0; n < count; n++) {
        array.expected[lu][first + n] = array.stamp;
        fill_block(array.payload[request] + n * BLOCK_BYTES, first + n, array.stamp);
    }
    array.request_status[request] = CLONE_GROUP_PENDING;
    int32_t status = CALL(clone_group_host_write, array.group, lu, first, count,
                          array.payload[request], flags, request);
    if (status != CLONE_GROUP_PENDING) {
        array.request_status[request] = status;
    }
}

void array_read(uint32_t request, uint32_t lu, uint32_t first, uint32_t count)
{
    array.request_status[request] = CLONE_GROUP_PENDING;
    reads[request] = (struct range){lu, first, count};
    int32_t status = CALL(clone_group_host_read, array.group, lu, first, count,
                          array.payload[request], 0, request);
    if (status != CLONE_GROUP_PENDING) {
        array.request_status[request] = status;
    }
}

// -------------------------------------------------------------------- model

void array_check_lu(uint32_t lu)
{
    for (uint32_t block = 0; block < BLOCKS; block++) {
        CHECK(shows(array.lu[lu] + block * BLOCK_BYTES, block, array.expected[lu][block]));
    }
}

void array_copy_model(uint32_t to, uint32_t from)
{
    memcpy(array.expected[to], array.expected[from], sizeof array.expected[to]);
}

void array_print_metadata(const char *moment)
{
    uint32_t crc = 0xFFFFFFFF;

    for (uint64_t n = 0; n < array.area_bytes; n++) {
        crc ^= array.area[n];
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
        }
    }
    platform_print("metadata ");
    platform_print_number(crc ^ 0xFFFFFFFF);
    platform_print(" ");
    platform_print(moment);
    platform_print("\n");
}
