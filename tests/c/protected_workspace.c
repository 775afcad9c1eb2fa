// Goal: the library keeps to its workspace, when it reads as well. Whole lives
// of a group in which I/O is late and early by chance, in memory with pages
// before and behind it that nobody may touch: in one life the workspace begins
// where a page begins, in the next one it ends where a page ends, as far as its
// alignment allows.

#define _DEFAULT_SOURCE // mmap's MAP_ANONYMOUS

#include <sys/mman.h>
#include <unistd.h>

#include "array.h"

enum {
    RESERVED_BYTES = 32 * 1024 * 1024,
    OLD_CONTENT = 0xFF
};

static unsigned char *reserved;
static unsigned lives;

static uintptr_t up(uintptr_t value, uintptr_t to)
{
    return (value + to - 1) / to * to;
}

static void take_workspace(struct array *array)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t align = array->config.buffer_align_bytes;
    uintptr_t first, end, workspace;
    uint64_t bytes;

    if (align == 0) {
        align = 4096;
    }
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_workspace_size(&array->config, &bytes));
    CHECK(bytes > 0);
    CHECK(bytes <= RESERVED_BYTES / 2);
    first = up((uintptr_t)reserved + page, align > page ? align : page);
    if (lives++ % 2 == 0) {
        workspace = first;
        end = up(first + (uintptr_t)bytes, page);
    } else {
        end = up(first + (uintptr_t)bytes + align, page);
        workspace = (end - (uintptr_t)bytes) / align * align;
        first = workspace / page * page;
    }
    CHECK(mprotect(reserved, RESERVED_BYTES, PROT_NONE) == 0);
    CHECK(mprotect((void *)first, (size_t)(end - first),
                   PROT_READ | PROT_WRITE)
          == 0);
    memset((void *)workspace, OLD_CONTENT, (size_t)bytes);
    array->workspace = (void *)workspace;
    array->workspace_bytes = bytes;
}

int main(int argc, char **argv)
{
    reserved = mmap(NULL, RESERVED_BYTES, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(reserved != MAP_FAILED);
    array_seed(argc, argv);
    array_lives(ARRAY_MIXED, take_workspace);
    CHECK(lives >= 2);
    return 0;
}
