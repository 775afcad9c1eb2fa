// The smallest array controller: a Source and a Clone in RAM, synchronous
// callbacks, one Protected Restore. Exits with 0 only if the data is right.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clone_group.h"

enum { SOURCE = CLONE_GROUP_LU_SOURCE, CLONE = 1, BLOCK = 512, BLOCKS = 2048 };

static unsigned char lus[2][BLOCKS * BLOCK], *metadata;
static struct clone_group *group;
static int32_t result;

// An asynchronous array would queue the I/O, return CLONE_GROUP_PENDING, and
// call clone_group_io_complete() when it is over.
static int32_t transfer(void *context, const struct clone_group_io *io)
{
    (void)context;
    int persistent = io->lu == CLONE_GROUP_LU_NONE;
    unsigned char *place = (persistent ? metadata : lus[io->lu]) + io->offset_bytes;
    unsigned char *data = io->payload ? io->payload : io->buffer;
    if (io->operation == (persistent ? CLONE_GROUP_IO_PERSIST_READ : CLONE_GROUP_IO_READ))
        memcpy(data, place, io->length_bytes);
    else
        memcpy(place, data, io->length_bytes);
    return CLONE_GROUP_OK;
}

static void done(void *context, uint64_t tag, int32_t status)
{
    (void)context, (void)tag;
    result = status;
}

// Polls until the call that returned `status` is done.
static void finish(int32_t status)
{
    for (result = status; result == CLONE_GROUP_PENDING;)
        clone_group_cod_poll(group, 16);
    if (result != CLONE_GROUP_OK) {
        puts(clone_group_status_text(result));
        exit(1);
    }
}

int main(void)
{
    struct clone_group_config config;
    clone_group_config_init(&config, sizeof config);
    config.lu_blocks = BLOCKS;
    memcpy(config.group_id, "any random bytes", 16);
    struct clone_group_ops ops;
    clone_group_ops_init(&ops, sizeof ops);
    ops.read = ops.write = ops.persist_read = ops.persist_write = transfer;
    ops.done = done;
    uint64_t metadata_bytes;
    finish(clone_group_metadata_size(&config, &metadata_bytes));
    metadata = calloc(1, metadata_bytes);
    finish(clone_group_create(&config, &ops, NULL, 0, &group));
    for (uint32_t n = SOURCE; n <= CLONE; n++) {
        struct clone_group_lu lu = {.struct_size = sizeof lu, .identity = {n}};
        finish(clone_group_lu_attach(group, n, &lu));
    }
    finish(clone_group_format(group, 0, 0));
    memset(lus[SOURCE], 'x', sizeof lus[SOURCE]); // what the hosts have so far
    finish(clone_group_clone_add(group, CLONE, 0));
    finish(clone_group_synchronize(group, CLONE, 0));
    while (clone_group_sync_step(group, 16) > 0) {}
    finish(clone_group_fracture(group, CLONE, NULL, 0, 0)); // a point in time

    unsigned char garbage[BLOCK] = "garbage", news[BLOCK] = "news", seen[BLOCK];
    finish(clone_group_host_write(group, SOURCE, 9, 1, garbage, 0, 0)); // the disaster
    finish(clone_group_protected_restore(group, CLONE, 0));
    finish(clone_group_host_read(group, SOURCE, 9, 1, seen, 0, 0)); // restored, at once
    finish(clone_group_host_write(group, SOURCE, 7, 1, news, 0, 0)); // hosts go on
    while (clone_group_sync_step(group, 16) > 0) {}
    memcpy(lus[CLONE] + 7 * BLOCK, news, BLOCK); // so must the Source be now
    return seen[0] != 'x' || memcmp(lus[SOURCE], lus[CLONE], sizeof lus[0]) != 0;
}
