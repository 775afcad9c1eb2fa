// A fault on purpose, for tools/sanitizers: one thread looks into the workspace
// while another one calls the library. ThreadSanitizer must see that race; then
// it sees what the library does, and not only what the program does.

#define _POSIX_C_SOURCE 200809L // posix_memalign

#include <pthread.h>

#include "array.h"

static struct array array;
static volatile uint32_t sum;

static void *look(void *argument)
{
    const unsigned char *bytes = array.workspace;
    uint64_t at;

    (void)argument;
    for (at = 0; at < array.workspace_bytes; at++) {
        sum += bytes[at];
    }
    return NULL;
}

int main(void)
{
    unsigned char data[512];
    pthread_t other;
    uint64_t reads;

    array_init(&array, 2);
    CHECK_STATUS(CLONE_GROUP_OK,
                 clone_group_workspace_size(&array.config,
                                            &array.workspace_bytes));
    CHECK(posix_memalign(&array.workspace, 4096,
                         (size_t)array.workspace_bytes) == 0);
    array_format(&array);
    CHECK_EQUAL(0, pthread_create(&other, NULL, look, NULL));
    for (reads = 0; reads < 1000; reads++) {
        (void)clone_group_host_read(array.group, 0, 0, 1, data, 0, 1);
    }
    CHECK_EQUAL(0, pthread_join(other, NULL));
    array_close(&array);
    array_free(&array);
    free(array.workspace);
    return 0;
}
