// Goal: the library keeps to its workspace. A static block of exactly the size
// that clone_group_workspace_size() tells, with guard bytes on both sides that
// stay as they are through a whole life of a group, in which I/O is late and
// early by chance. What was in the workspace before does not matter, and it is
// the program's again after destroy.

#include "array.h"

enum {
    GUARD_BYTES = 65536,
    MEMORY_BYTES = 16 * 1024 * 1024,
    GUARD = 0xA5,
    OLD_CONTENT = 0xFF
};

static unsigned char memory[MEMORY_BYTES];
static unsigned char *workspace;
static uint64_t workspace_bytes;

static void check_guards(void)
{
    const unsigned char *byte;

    for (byte = memory; byte < workspace; byte++) {
        CHECK_EQUAL(GUARD, *byte);
    }
    for (byte = workspace + workspace_bytes; byte < memory + MEMORY_BYTES;
         byte++) {
        CHECK_EQUAL(GUARD, *byte);
    }
}

static void take_workspace(struct array *array)
{
    uint64_t align = array->config.buffer_align_bytes;
    uintptr_t start = (uintptr_t)memory + GUARD_BYTES;

    if (workspace != NULL) {
        check_guards(); // of the life before
    }
    if (align == 0) {
        align = 4096;
    }
    CHECK_STATUS(CLONE_GROUP_OK, clone_group_workspace_size(&array->config,
                                                            &workspace_bytes));
    CHECK(workspace_bytes > 0);
    CHECK(workspace_bytes <= MEMORY_BYTES - 3 * GUARD_BYTES);
    // The alignment that is asked for, and no better one by chance.
    workspace = memory + ((start + align - 1) / align * align
                          - (uintptr_t)memory);
    if ((uintptr_t)workspace % (2 * align) == 0) {
        workspace += align;
    }
    memset(memory, GUARD, sizeof memory);
    memset(workspace, OLD_CONTENT, (size_t)workspace_bytes);
    array->workspace = workspace;
    array->workspace_bytes = workspace_bytes;
}

int main(int argc, char **argv)
{
    array_seed(argc, argv);
    array_lives(ARRAY_MIXED, take_workspace);
    check_guards();
    return 0;
}
