// See array.h.

#include "array.h"

static uint64_t seed = 1;
static uint64_t random_state = 1;
static uint32_t stamp;

// ------------------------------------------------------------------ checks

static void fail_with_seed(void)
{
    printf("(seed %llu: give it as the first argument to run this again)\n",
           (unsigned long long)seed);
    fflush(stdout);
    exit(1);
}

void array_fail(const char *file, int line, const char *what)
{
    printf("%s:%d: not true: %s\n", file, line, what);
    fail_with_seed();
}

void array_check_equal(const char *file, int line, const char *what,
                       uint64_t expected, uint64_t value)
{
    if (expected != value) {
        printf("%s:%d: %s is %llu (0x%llx), expected %llu (0x%llx)\n", file,
               line, what, (unsigned long long)value,
               (unsigned long long)value, (unsigned long long)expected,
               (unsigned long long)expected);
        fail_with_seed();
    }
}

void array_check_status(const char *file, int line, const char *what,
                        int32_t expected, int32_t status)
{
    if (expected != status) {
        printf("%s:%d: %s returned %d (%s), expected %d (%s)\n", file, line,
               what, (int)status, clone_group_status_name(status),
               (int)expected, clone_group_status_name(expected));
        fail_with_seed();
    }
}

void array_seed(int argc, char **argv)
{
    if (argc > 1) {
        seed = strtoull(argv[1], NULL, 10);
    }
    random_state = seed * 0x9E3779B97F4A7C15ULL + 1;
}

// xorshift64*.
uint64_t array_random(uint64_t bound)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 0x2545F4914F6CDD1DULL >> 16) % bound;
}

// --------------------------------------------------------------- callbacks

static uint32_t or_default(uint32_t configured, uint32_t value)
{
    return configured != 0 ? configured : value;
}

static int is_persist(const struct clone_group_io *io)
{
    return io->operation >= CLONE_GROUP_IO_PERSIST_READ;
}

static int is_flush(const struct clone_group_io *io)
{
    return io->operation == CLONE_GROUP_IO_FLUSH
           || io->operation == CLONE_GROUP_IO_PERSIST_FLUSH;
}

static int has_data(const struct clone_group_io *io)
{
    return io->operation == CLONE_GROUP_IO_READ
           || io->operation == CLONE_GROUP_IO_WRITE
           || io->operation == CLONE_GROUP_IO_PERSIST_READ
           || io->operation == CLONE_GROUP_IO_PERSIST_WRITE;
}

static int changes_lu(const struct clone_group_io *io)
{
    return io->operation == CLONE_GROUP_IO_WRITE
           || io->operation == CLONE_GROUP_IO_DISCARD
           || io->operation == CLONE_GROUP_IO_WRITE_ZEROES
           || io->operation == CLONE_GROUP_IO_COPY;
}

static void check_range(const struct array *array,
                        const struct clone_group_io *io)
{
    uint64_t bytes = is_persist(io) ? array->area_bytes : array->lu_bytes;

    if (is_flush(io)) {
        CHECK_EQUAL(0, io->length_bytes);
        CHECK_EQUAL(0, io->offset_bytes);
    } else {
        CHECK(io->length_bytes > 0);
        CHECK(io->offset_bytes <= bytes);
        CHECK(io->length_bytes <= bytes - io->offset_bytes);
    }
    if (is_persist(io)) {
        uint32_t unit = or_default(array->config.persist_unit_bytes, 4096);

        CHECK_EQUAL(CLONE_GROUP_LU_NONE, io->lu);
        CHECK_EQUAL(0, io->first_block);
        CHECK_EQUAL(0, io->block_count);
        CHECK_EQUAL(0, io->offset_bytes % unit);
        CHECK_EQUAL(0, io->length_bytes % unit);
    } else {
        CHECK(io->lu < array->lu_count);
        CHECK_EQUAL(io->first_block * array->block_bytes,
                    io->offset_bytes);
        CHECK_EQUAL(io->block_count * array->block_bytes,
                    io->length_bytes);
    }
}

static void check_buffer(const struct array *array,
                         const struct clone_group_io *io)
{
    if (io->flags & CLONE_GROUP_IO_HOST) {
        CHECK(io->buffer == NULL);
        return;
    }
    CHECK(io->payload == NULL);
    CHECK((io->buffer != NULL) == has_data(io));
    CHECK_EQUAL(0, (uintptr_t)io->buffer
                       % or_default(array->config.buffer_align_bytes, 4096));
}

static int overlaps(const struct clone_group_io *one,
                    const struct clone_group_io *other)
{
    return one->lu == other->lu
           && one->first_block < other->first_block + other->block_count
           && other->first_block < one->first_block + one->block_count;
}

// R13: no host write to the Source is in flight together with a copy to it.
static void check_in_flight(const struct array *array,
                            const struct clone_group_io *io)
{
    uint32_t index;

    for (index = 0; index < array->in_flight_count; index++) {
        const struct clone_group_io *other = &array->in_flight[index];

        CHECK(other->id != io->id);
        if (io->lu == CLONE_GROUP_LU_SOURCE && changes_lu(io)
            && changes_lu(other) && overlaps(io, other)) {
            CHECK((io->flags & CLONE_GROUP_IO_HOST)
                  == (other->flags & CLONE_GROUP_IO_HOST));
        }
    }
}

static void check_io(const struct array *array,
                     const struct clone_group_io *io, uint32_t operation)
{
    const uint32_t known = CLONE_GROUP_IO_FUA | CLONE_GROUP_IO_HOST
                           | CLONE_GROUP_IO_URGENT;

    CHECK_EQUAL(operation, io->operation);
    CHECK_EQUAL(sizeof *io, io->struct_size);
    CHECK(io->id != 0);
    CHECK_EQUAL(0, io->reserved);
    CHECK_EQUAL(0, io->flags & ~known);
    // Callbacks are never called with a lock held.
    CHECK_EQUAL(0, array->critical);
    // What the library does on its own, it does in polls only.
    CHECK(array->polling || (io->flags & CLONE_GROUP_IO_HOST));
    check_range(array, io);
    check_buffer(array, io);
    check_in_flight(array, io);
    CHECK(array->removed_lu == 0 || io->lu != array->removed_lu);
    if (array->frozen_lu != 0 && !is_persist(io) && changes_lu(io)) {
        CHECK(io->lu != array->frozen_lu);
    }
}

static void make_durable(struct array *array, const struct clone_group_io *io)
{
    if (io->operation == CLONE_GROUP_IO_PERSIST_FLUSH) {
        memcpy(array->durable_area, array->area, array->area_bytes);
    } else if (io->operation == CLONE_GROUP_IO_FLUSH) {
        memcpy(array->durable_lu[io->lu], array->lu[io->lu], array->lu_bytes);
    } else if ((io->flags & CLONE_GROUP_IO_FUA) && changes_lu(io)) {
        memcpy(array->durable_lu[io->lu] + io->offset_bytes,
               array->lu[io->lu] + io->offset_bytes, io->length_bytes);
    }
}

void array_move(struct array *array, const struct clone_group_io *io)
{
    unsigned char *medium = is_persist(io) ? array->area : array->lu[io->lu];
    void *data = (io->flags & CLONE_GROUP_IO_HOST) ? io->payload : io->buffer;
    size_t length = (size_t)io->length_bytes;

    medium += io->offset_bytes;
    switch (io->operation) {
    case CLONE_GROUP_IO_READ:
    case CLONE_GROUP_IO_PERSIST_READ:
        memcpy(data, medium, length);
        break;
    case CLONE_GROUP_IO_WRITE:
    case CLONE_GROUP_IO_PERSIST_WRITE:
        memcpy(medium, data, length);
        break;
    case CLONE_GROUP_IO_WRITE_ZEROES:
        memset(medium, 0, length);
        break;
    case CLONE_GROUP_IO_DISCARD:
        // Unless the LU promises zeroes, a discarded block may read as
        // anything.
        memset(medium,
               array->lu_flags & CLONE_GROUP_LU_DISCARD_ZEROES ? 0 : 0xDD,
               length);
        break;
    case CLONE_GROUP_IO_COPY:
        CHECK(io->source_lu < array->lu_count && io->source_lu != io->lu);
        memcpy(medium, array->lu[io->source_lu] + io->offset_bytes, length);
        break;
    default:
        break;
    }
    make_durable(array, io);
}

void array_keep(struct array *array, const struct clone_group_io *io)
{
    CHECK(array->in_flight_count < ARRAY_IN_FLIGHT_MAX);
    array->in_flight[array->in_flight_count++] = *io;
}

void array_complete(struct array *array, uint32_t index, int32_t status)
{
    struct clone_group_io io;

    CHECK(index < array->in_flight_count);
    io = array->in_flight[index];
    array->in_flight[index] = array->in_flight[--array->in_flight_count];
    if (status == CLONE_GROUP_OK) {
        array_move(array, &io);
    }
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_io_complete(array->group, io.id, status));
}

static int32_t answer(struct array *array, const struct clone_group_io *io)
{
    enum array_mode mode = array->mode;

    if (mode == ARRAY_MIXED) {
        mode = (enum array_mode)array_random(3);
    }
    if (mode == ARRAY_LATE) {
        array_keep(array, io);
        return CLONE_GROUP_PENDING;
    }
    array_move(array, io);
    if (mode == ARRAY_SYNC) {
        return CLONE_GROUP_OK;
    }
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_io_complete(array->group, io->id, CLONE_GROUP_OK));
    return CLONE_GROUP_PENDING;
}

static int32_t serve(void *context, const struct clone_group_io *io,
                     uint32_t operation)
{
    struct array *array = context;
    int32_t result = CLONE_GROUP_OK;

    check_io(array, io, operation);
    array->io_count[operation]++;
    if (array->hook != NULL && array->hook(array, io, &result)) {
        return result;
    }
    return answer(array, io);
}

#define SERVE(name, operation)                                                 \
    static int32_t on_##name(void *context, const struct clone_group_io *io)   \
    {                                                                          \
        return serve(context, io, operation);                                  \
    }
SERVE(read, CLONE_GROUP_IO_READ)
SERVE(write, CLONE_GROUP_IO_WRITE)
SERVE(flush, CLONE_GROUP_IO_FLUSH)
SERVE(discard, CLONE_GROUP_IO_DISCARD)
SERVE(write_zeroes, CLONE_GROUP_IO_WRITE_ZEROES)
SERVE(persist_read, CLONE_GROUP_IO_PERSIST_READ)
SERVE(persist_write, CLONE_GROUP_IO_PERSIST_WRITE)
SERVE(persist_flush, CLONE_GROUP_IO_PERSIST_FLUSH)

int32_t array_copy(void *context, const struct clone_group_io *io)
{
    return serve(context, io, CLONE_GROUP_IO_COPY);
}

static void on_done(void *context, uint64_t tag, int32_t status)
{
    struct array *array = context;

    CHECK(array->polling);
    CHECK_EQUAL(0, array->critical);
    CHECK(tag > 0 && tag <= array->last_tag);
    CHECK_EQUAL(0, array->done_count[tag]);
    CHECK(status <= 0);
    array->done_count[tag] = 1;
    array->done_status[tag] = status;
    if (array->on_done != NULL) {
        array->on_done(array, tag, status);
    }
}

static void on_event(void *context, const struct clone_group_event *event)
{
    struct array *array = context;

    CHECK(array->polling);
    CHECK_EQUAL(0, array->critical);
    CHECK_EQUAL(sizeof *event, event->struct_size);
    CHECK(event->kind > 0 && event->kind < ARRAY_EVENTS);
    CHECK(event->lu < array->lu_count || event->lu == CLONE_GROUP_LU_NONE);
    CHECK(event->text != NULL && event->text[0] != '\0');
    array->event_count[event->kind]++;
    array->last_event[event->kind] = *event;
    if (array->on_event != NULL) {
        array->on_event(array, event);
    }
}

static void on_log(void *context, uint32_t level, const char *text)
{
    struct array *array = context;

    CHECK(array->polling);
    CHECK(level <= 2);
    CHECK(text != NULL && text[0] != '\0');
    array->log_count++;
}

static void on_wake(void *context)
{
    struct array *array = context;

    // Coalesced: once until the next poll begins.
    CHECK_EQUAL(0, array->wakes_since_poll);
    array->wakes_since_poll++;
}

static void on_enter_critical(void *context)
{
    struct array *array = context;

    CHECK_EQUAL(0, array->critical);
    array->critical++;
}

static void on_leave_critical(void *context)
{
    struct array *array = context;

    CHECK_EQUAL(1, array->critical);
    array->critical--;
}

static uint64_t on_clock(void *context)
{
    struct array *array = context;

    return array->time_ns += 1000;
}

// -------------------------------------------------------- life of an array

static void init_ops(struct array *array)
{
    struct clone_group_ops *ops = &array->ops;

    CHECK_STATUS(CLONE_GROUP_OK, clone_group_ops_init(ops, sizeof *ops));
    ops->context = array;
    ops->read = on_read;
    ops->write = on_write;
    ops->flush = on_flush;
    ops->discard = on_discard;
    ops->write_zeroes = on_write_zeroes;
    ops->persist_read = on_persist_read;
    ops->persist_write = on_persist_write;
    ops->persist_flush = on_persist_flush;
    ops->done = on_done;
    ops->event = on_event;
    ops->log = on_log;
    ops->wake = on_wake;
    ops->enter_critical = on_enter_critical;
    ops->leave_critical = on_leave_critical;
    ops->clock = on_clock;
}

void array_init(struct array *array, uint32_t lu_count)
{
    struct clone_group_config *config = &array->config;

    memset(array, 0, sizeof *array);
    CHECK(lu_count >= 2 && lu_count <= ARRAY_LUS_MAX);
    array->lu_count = lu_count;
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_config_init(config, sizeof *config));
    config->lu_blocks = 20 * 8 + 3;
    config->block_bytes = 512;
    config->extent_blocks = 8;
    config->clones_max = lu_count - 1;
    config->requests_max = 16;
    config->copy_buffer_bytes = 2 * 8 * 512;
    memcpy(config->group_id, "a group of tests", 16);
    init_ops(array);
}

void array_make(struct array *array)
{
    uint32_t lu;

    array->block_bytes = or_default(array->config.block_bytes, 512);
    array->extent_blocks = or_default(array->config.extent_blocks, 128);
    array->lu_bytes = array->config.lu_blocks * array->block_bytes;
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_metadata_size(&array->config,
                                                           &array->area_bytes));
    array->area = calloc(1, (size_t)array->area_bytes);
    array->durable_area = calloc(1, (size_t)array->area_bytes);
    CHECK(array->area != NULL && array->durable_area != NULL);
    for (lu = 0; lu < array->lu_count; lu++) {
        array->lu[lu] = malloc((size_t)array->lu_bytes);
        array->durable_lu[lu] = malloc((size_t)array->lu_bytes);
        CHECK(array->lu[lu] != NULL && array->durable_lu[lu] != NULL);
        memset(array->lu[lu], 0xE0 + (int)lu, (size_t)array->lu_bytes);
        memset(array->durable_lu[lu], 0xE0 + (int)lu, (size_t)array->lu_bytes);
    }
}

void array_open(struct array *array)
{
    uint32_t lu;

    array->last_tag = 0;
    array->wakes_since_poll = 0;
    array->last_poll = CLONE_GROUP_OK;
    memset(array->done_count, 0, sizeof array->done_count);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_create(&array->config, &array->ops,
                                    array->workspace, array->workspace_bytes,
                                    &array->group));
    for (lu = 0; lu < array->lu_count; lu++) {
        struct clone_group_lu config;

        memset(&config, 0, sizeof config);
        config.struct_size = sizeof config;
        config.flags = array->lu_flags;
        memset(config.identity, 'A' + (int)lu, sizeof config.identity);
        CHECK_STATUS(CLONE_GROUP_OK,
                     clone_group_lu_attach(array->group, lu, &config));
    }
}

void array_format(struct array *array)
{
    array_make(array);
    array_open(array);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_format(array->group, 0,
                                                        array_tag(array))));
    CHECK_EQUAL(CLONE_GROUP_STATE_READY, array_info(array).state);
}

void array_power_loss(struct array *array)
{
    uint32_t lu;

    array_drain(array);
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(array->group));
    array->group = NULL;
    if (array->ops.persist_flush != NULL) {
        memcpy(array->area, array->durable_area, (size_t)array->area_bytes);
    }
    if (array->lu_flags & CLONE_GROUP_LU_VOLATILE_CACHE) {
        for (lu = 0; lu < array->lu_count; lu++) {
            memcpy(array->lu[lu], array->durable_lu[lu],
                   (size_t)array->lu_bytes);
        }
    }
}

void array_close(struct array *array)
{
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_close(array->group,
                                                       array_tag(array))));
    CHECK_EQUAL(0, array->in_flight_count);
    CHECK_EQUAL(CLONE_GROUP_STATE_CLOSED, array_info(array).state);
    CHECK_EQUAL(0, array_info(array).requests);
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_destroy(array->group));
    array->group = NULL;
}

void array_free(struct array *array)
{
    uint32_t lu;

    free(array->area);
    free(array->durable_area);
    for (lu = 0; lu < array->lu_count; lu++) {
        free(array->lu[lu]);
        free(array->durable_lu[lu]);
    }
    memset(array, 0, sizeof *array);
}

// ---------------------------------------------------------- requests, polls

uint64_t array_tag(struct array *array)
{
    CHECK(array->last_tag + 1 < ARRAY_TAGS);
    return ++array->last_tag;
}

// An array that sleeps polls when it was woken, or when the last poll said
// MORE.
static int is_awake(const struct array *array)
{
    return array->last_poll == CLONE_GROUP_MORE || array->wakes_since_poll > 0
           || array->restless;
}

static void complete_some(struct array *array)
{
    uint64_t count = array->in_flight_count;

    for (count = count == 0 ? 0 : 1 + array_random(count); count > 0; count--) {
        array_complete(array, (uint32_t)array_random(array->in_flight_count),
                       CLONE_GROUP_OK);
        CHECK(is_awake(array) || array->ops.wake == NULL);
    }
}

int32_t array_wait(struct array *array, uint64_t tag)
{
    uint32_t polls;

    for (polls = 0; polls < ARRAY_POLLS_MAX; polls++) {
        if (array->done_count[tag] != 0) {
            return array->done_status[tag];
        }
        if (!is_awake(array)) {
            // Somebody must have an I/O, or the array sleeps for ever.
            CHECK(array->in_flight_count > 0 || array->ops.wake == NULL);
            complete_some(array);
        }
        (void)array_poll(array, 0);
    }
    array_fail(__FILE__, __LINE__, "the request is done one day");
    return 0;
}

int32_t array_finish(struct array *array, int32_t status)
{
    uint64_t tag = array->last_tag;

    if (status == CLONE_GROUP_PENDING) {
        return array_wait(array, tag);
    }
    // At once: no `done` call follows.
    CHECK_EQUAL(0, array->done_count[tag]);
    CHECK(status <= 0);
    return status;
}

int32_t array_poll_once(struct array *array, uint32_t extents)
{
    uint32_t budget = 1 + (uint32_t)array_random(8);
    int32_t status;

    array->polling++;
    array->wakes_since_poll = 0;
    status = extents == 0 ? clone_group_cod_poll(array->group, budget)
                          : clone_group_sync_step(array->group, extents);
    array->polling--;
    array->last_poll = status;
    CHECK(status == CLONE_GROUP_OK || status == CLONE_GROUP_PENDING
          || status == CLONE_GROUP_MORE);
    if (status == CLONE_GROUP_OK) {
        // Idle: nobody has an I/O of the library any more.
        CHECK_EQUAL(0, array->in_flight_count);
    }
    return status;
}

int32_t array_poll(struct array *array, uint32_t extents)
{
    int32_t status = array_poll_once(array, extents);

    if (status == CLONE_GROUP_PENDING) {
        // Somebody must have an I/O: this array, or the program.
        CHECK(array->in_flight_count > 0 || array->restless);
        complete_some(array);
    }
    return status;
}

void array_drain(struct array *array)
{
    uint32_t polls;

    for (polls = 0; polls < ARRAY_POLLS_MAX; polls++) {
        if (array_poll(array, 0) == CLONE_GROUP_OK) {
            return;
        }
    }
    array_fail(__FILE__, __LINE__, "the group is idle one day");
}

void array_settle(struct array *array)
{
    uint32_t polls;

    for (polls = 0; polls < ARRAY_POLLS_MAX; polls++) {
        if (array_poll(array, 4) == CLONE_GROUP_OK) {
            return;
        }
    }
    array_fail(__FILE__, __LINE__, "everything is copied one day");
}

// ---------------------------------------------------------- host, contents

void array_fill(unsigned char *bytes, uint64_t first_block,
                uint64_t block_count, uint32_t block_bytes, uint32_t mark)
{
    uint64_t block;
    uint32_t at;

    for (block = first_block; block < first_block + block_count; block++) {
        for (at = 0; at < block_bytes; at++) {
            *bytes++ = (unsigned char)(block * 31 + mark * 7 + at / 64);
        }
    }
}

unsigned char *array_image(const struct array *array,
                           const unsigned char *content)
{
    unsigned char *image = malloc((size_t)array->lu_bytes);

    CHECK(image != NULL);
    memcpy(image, content, (size_t)array->lu_bytes);
    return image;
}

// The payload is the image itself, so that the image is what the LU must hold.
static int32_t submit_write(struct array *array, uint32_t lu,
                            unsigned char *image, uint64_t first_block,
                            uint64_t block_count, uint32_t flags)
{
    uint32_t block_bytes = array->block_bytes;
    unsigned char *payload = image + first_block * block_bytes;

    array_fill(payload, first_block, block_count, block_bytes, ++stamp);
    return clone_group_host_write(array->group, lu, first_block, block_count,
                                  payload, flags, array_tag(array));
}

int32_t array_write(struct array *array, uint32_t lu, unsigned char *image,
                    uint64_t first_block, uint64_t block_count)
{
    return array_finish(array, submit_write(array, lu, image, first_block,
                                            block_count, 0));
}

// A write, or what zeroes the range instead.
static int32_t submit_change(struct array *array, uint32_t lu,
                             unsigned char *image, uint64_t first_block,
                             uint64_t block_count)
{
    uint32_t flags = array_random(4) == 0 ? CLONE_GROUP_HOST_FUA : 0;
    uint64_t kind = array_random(8);

    if (kind > 1 || array->ops.write_zeroes == NULL) {
        return submit_write(array, lu, image, first_block, block_count, flags);
    }
    memset(image + first_block * array->block_bytes, 0,
           (size_t)(block_count * array->block_bytes));
    if (kind == 1 && (array->lu_flags & CLONE_GROUP_LU_DISCARD_ZEROES)) {
        return clone_group_host_discard(array->group, lu, first_block,
                                        block_count, flags, array_tag(array));
    }
    return clone_group_host_write_zeroes(array->group, lu, first_block,
                                         block_count, flags, array_tag(array));
}

void array_write_burst(struct array *array, uint32_t lu, unsigned char *image)
{
    enum { WRITES = 4 };
    uint64_t zone = array->config.lu_blocks / WRITES;
    uint64_t longest = 3 * (uint64_t)array->extent_blocks;
    int32_t status[WRITES];
    uint64_t tag[WRITES];
    uint64_t index;

    for (index = 0; index < WRITES; index++) {
        uint64_t end = index + 1 == WRITES ? array->config.lu_blocks
                                           : (index + 1) * zone;
        uint64_t first = index * zone + array_random(zone);
        uint64_t count = 1 + array_random(end - first);

        if (count > longest) {
            count = longest;
        }
        status[index] = submit_change(array, lu, image, first, count);
        tag[index] = array->last_tag;
    }
    for (index = 0; index < WRITES; index++) {
        if (status[index] == CLONE_GROUP_PENDING) {
            status[index] = array_wait(array, tag[index]);
        }
        CHECK_STATUS(CLONE_GROUP_OK, status[index]);
    }
}

void array_expect_range(struct array *array, uint32_t lu,
                        const unsigned char *image, uint64_t first_block,
                        uint64_t block_count)
{
    uint32_t block_bytes = array->block_bytes;
    size_t length = (size_t)(block_count * block_bytes);
    unsigned char *payload = malloc(length);
    uint64_t block;

    CHECK(payload != NULL);
    memset(payload, 0x5A, length);
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_host_read(
                                         array->group, lu, first_block,
                                         block_count, payload, 0,
                                         array_tag(array))));
    for (block = 0; block < block_count; block++) {
        if (memcmp(payload + block * block_bytes,
                   image + (first_block + block) * block_bytes,
                   block_bytes) != 0) {
            printf("LU %u, block %llu reads wrong\n", (unsigned)lu,
                   (unsigned long long)(first_block + block));
            array_fail(__FILE__, __LINE__, "the host reads what it wrote");
        }
    }
    free(payload);
}

void array_expect(struct array *array, uint32_t lu, const unsigned char *image)
{
    uint64_t piece = array->extent_blocks + 1;
    uint64_t first;

    for (first = 0; first < array->config.lu_blocks; first += piece) {
        uint64_t count = array->config.lu_blocks - first;

        array_expect_range(array, lu, image, first,
                           count < piece ? count : piece);
    }
}

// ----------------------------------------------------------------- queries

struct clone_group_info array_info(struct array *array)
{
    struct clone_group_info info;

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_query(array->group, &info));
    return info;
}

struct clone_group_clone_info array_clone_info(struct array *array, uint32_t lu)
{
    struct clone_group_clone_info info;

    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_clone_query(array->group, lu, &info));
    CHECK_EQUAL(lu, info.lu);
    return info;
}

uint32_t array_clone_state(struct array *array, uint32_t lu)
{
    return array_clone_info(array, lu).state;
}

struct clone_group_statistics array_statistics(struct array *array)
{
    struct clone_group_statistics statistics;

    memset(&statistics, 0, sizeof statistics);
    statistics.struct_size = sizeof statistics;
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_statistics_query(array->group, &statistics));
    return statistics;
}

uint64_t array_map(struct array *array, uint32_t map, uint32_t lu)
{
    uint64_t extents = array_info(array).extents_total;
    uint8_t bits[8] = {0};
    uint64_t value = 0;
    uint32_t index;

    if (extents > 64) {
        extents = 64;
    }
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_map_read(array->group, map, lu, 0, extents, bits,
                                      (extents + 7) / 8));
    for (index = 0; index < 8; index++) {
        value |= (uint64_t)bits[index] << (8 * index);
    }
    return value;
}

// ------------------------------------------------------ administrative calls

void array_add_clone(struct array *array, uint32_t lu)
{
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_clone_add(array->group, lu,
                                                           array_tag(array))));
    CHECK_EQUAL(CLONE_GROUP_CLONE_OUT_OF_SYNC, array_clone_state(array, lu));
}

void array_synchronize(struct array *array, uint32_t lu)
{
    uint32_t before = array->event_count[CLONE_GROUP_EVENT_SYNCHRONIZED];

    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_synchronize(
                                         array->group, lu, array_tag(array))));
    array_settle(array);
    CHECK_EQUAL(CLONE_GROUP_CLONE_SYNCHRONIZED, array_clone_state(array, lu));
    CHECK_EQUAL(before + 1, array->event_count[CLONE_GROUP_EVENT_SYNCHRONIZED]);
    CHECK_EQUAL(0, memcmp(array->lu[0], array->lu[lu],
                          (size_t)array->lu_bytes));
}

void array_fracture(struct array *array, uint32_t lu)
{
    uint8_t label[64];

    memset(label, 'L', sizeof label);
    label[0] = (uint8_t)lu;
    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_fracture(array->group, lu,
                                                          label, 0,
                                                          array_tag(array))));
    CHECK_EQUAL(CLONE_GROUP_CLONE_FRACTURED, array_clone_state(array, lu));
    CHECK_EQUAL(0, memcmp(label, array_clone_info(array, lu).label,
                          sizeof label));
}

void array_restore(struct array *array, uint32_t lu)
{
    uint32_t before = array->event_count[CLONE_GROUP_EVENT_SOURCE_CHANGED];

    CHECK_STATUS(CLONE_GROUP_OK,
                 array_finish(array, clone_group_protected_restore(
                                         array->group, lu, array_tag(array))));
    CHECK_EQUAL(before + 1,
                array->event_count[CLONE_GROUP_EVENT_SOURCE_CHANGED]);
}
