// Goal: a controller whose callbacks only queue. Every I/O returns PENDING and
// is completed later, out of order, out of a list, when the library has nothing
// else to do. A whole life of a group so; one in which each I/O decides by
// chance whether it is done at once, early or late; and one in which some of
// them are not taken at first (CLONE_GROUP_RETRY).

#include "array.h"

static uint32_t refusals;

static int refuse_some(struct array *array, const struct clone_group_io *io,
                       int32_t *result)
{
    (void)array;
    (void)io;
    if (array_random(4) != 0) {
        return 0;
    }
    refusals++;
    *result = CLONE_GROUP_RETRY;
    return 1;
}

static void prepare(struct array *array)
{
    array->hook = refuse_some;
    array->restless = 1;
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    array_lives(ARRAY_LATE, NULL);
    array_lives(ARRAY_MIXED, NULL);
    array_lives(ARRAY_MIXED, prepare);
    CHECK(refusals > 0);
    return 0;
}
