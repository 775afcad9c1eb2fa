// Goal: a completion that overtakes its own callback. Every I/O is completed
// inside the callback, which returns PENDING only after that: a whole life of a
// group so. No request may be done, and no callback called, from inside the
// completion.

#include "array.h"

static int completing;

static int complete_early(struct array *array, const struct clone_group_io *io,
                          int32_t *result)
{
    CHECK(!completing);
    array_move(array, io);
    completing = 1;
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_io_complete(array->group, io->id, CLONE_GROUP_OK));
    completing = 0;
    *result = CLONE_GROUP_PENDING;
    return 1;
}

static void check_not_completing(struct array *array, uint64_t tag,
                                 int32_t status)
{
    (void)array;
    (void)tag;
    (void)status;
    CHECK(!completing);
}

static void prepare(struct array *array)
{
    array->hook = complete_early;
    array->on_done = check_not_completing;
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    array_lives(ARRAY_EARLY, NULL);
    array_lives(ARRAY_EARLY, prepare);
    return 0;
}
