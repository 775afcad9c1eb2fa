// Goal: a controller whose callbacks do their work at once. A whole life of a
// group, with no I/O ever in flight; then, a host request that needs nothing is
// done when the call returns, and the payload of a host request is the host's
// own affair: a scatter list goes to the callback as it came.

#include "array.h"

struct scatter {
    unsigned char *part[2]; // one block each
};

static struct scatter scatter;

static int serve_scatter(struct array *array, const struct clone_group_io *io,
                         int32_t *result)
{
    uint32_t part;

    if (!(io->flags & CLONE_GROUP_IO_HOST)) {
        return 0;
    }
    CHECK(io->payload == &scatter);
    CHECK_EQUAL(CLONE_GROUP_IO_WRITE, io->operation);
    CHECK_EQUAL(2, io->block_count);
    for (part = 0; part < 2; part++) {
        memcpy(array->lu[io->lu] + io->offset_bytes
                   + (size_t)part * array->block_bytes,
               scatter.part[part], array->block_bytes);
    }
    *result = CLONE_GROUP_OK;
    return 1;
}

static void check_payload(void)
{
    static struct array array;
    static unsigned char blocks[2][512];

    array_init(&array, 2);
    array_format(&array);
    memset(blocks[0], 0x11, sizeof blocks[0]);
    memset(blocks[1], 0x22, sizeof blocks[1]);
    scatter.part[0] = blocks[0];
    scatter.part[1] = blocks[1];
    array.hook = serve_scatter;
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_host_write(array.group, 0, 7, 2, &scatter, 0,
                                        array_tag(&array)));
    array.hook = NULL;
    CHECK_EQUAL(1, array.io_count[CLONE_GROUP_IO_WRITE]);
    CHECK_EQUAL(0, memcmp(array.lu[0] + 7 * 512, blocks, sizeof blocks));
    array_close(&array);
    array_free(&array);
}

// Without Clones, and with a group that is synchronized, polls are for nothing
// but metadata: reads are done at once.
static void check_at_once(void)
{
    static struct array array;
    unsigned char *image;

    array_init(&array, 2);
    array_format(&array);
    image = array_image(&array, array.lu[0]);
    array_fill(image, 0, 5, 512, 1);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_host_write(array.group, 0, 0, 5, image, 0,
                                        array_tag(&array)));
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_host_read(array.group, 0, 0, 5, image + 4096, 0,
                                       array_tag(&array)));
    CHECK_EQUAL(0, memcmp(image, image + 4096, 5 * 512));
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_host_flush(array.group, 0, array_tag(&array)));
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_host_write_zeroes(array.group, 0, 0, 5, 0,
                                               array_tag(&array)));
    CHECK_EQUAL(0, array.lu[0][0] | array.lu[0][5 * 512 - 1]);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_host_discard(array.group, 0, 8, 8, 0,
                                          array_tag(&array)));
    CHECK_EQUAL(1, array.io_count[CLONE_GROUP_IO_DISCARD]);
    CHECK_EQUAL(CLONE_GROUP_OK, array_poll(&array, 1));
    array_close(&array);
    free(image);
    array_free(&array);
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    check_payload();
    check_at_once();
    array_lives(ARRAY_SYNC, NULL);
    return 0;
}
