// A fault on purpose, for tools/sanitizers: a workspace that is shorter than
// the program says. AddressSanitizer must see the library write behind it.

#include "array.h"

int main(void)
{
    struct array array;
    uint64_t bytes;

    array_init(&array, 2);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_workspace_size(&array.config, &bytes));
    array.workspace_bytes = bytes;
    array.config.buffer_align_bytes = 8;
    array.workspace = malloc((size_t)bytes - 4096);
    array_format(&array);
    return 0;
}
