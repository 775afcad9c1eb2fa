// CLONE_GROUP_WORKSPACE_BYTES is an upper bound of what
// clone_group_workspace_size() says, and not a wild one, for many geometries, with
// CLONE_GROUP_WORKSPACE_MAP_PER_CLONE_BYTES for groups with a column for each Clone;
// and both are constants, so that a static array can be declared with them.
#include <stdio.h>

#include "clone_group.h"

static unsigned char firmware[CLONE_GROUP_WORKSPACE_BYTES(1024, 1, 8, 1, 65536,
                                                          512, 512, 1, 8)
                              + CLONE_GROUP_WORKSPACE_MAP_PER_CLONE_BYTES(1024, 1, 512)];

static int failures;
static int refused;

static void check(struct clone_group_config config)
{
    uint64_t extents = (config.lu_blocks + config.extent_blocks - 1) / config.extent_blocks;
    uint64_t bytes = 0;
    uint64_t bound = CLONE_GROUP_WORKSPACE_BYTES(
        extents, (uint64_t)config.clones_max, (uint64_t)config.requests_max,
        (uint64_t)config.copies_max, (uint64_t)config.copy_buffer_bytes,
        (uint64_t)config.persist_unit_bytes, (uint64_t)config.page_bytes,
        (uint64_t)config.page_writes_max, (uint64_t)config.buffer_align_bytes);
    int32_t status = clone_group_workspace_size(&config, &bytes);

    if (config.flags & CLONE_GROUP_CONFIG_MAP_PER_CLONE) {
        // No room for a word of 64 extents in each column of a page: no such group.
        if ((config.page_bytes - 64) / (config.clones_max + 1) < 8) {
            if (status != CLONE_GROUP_ERR_INVALID) {
                printf("status %d: pages that are too small are taken\n", (int)status);
                failures++;
            }
            refused++;
            return;
        }
        bound += CLONE_GROUP_WORKSPACE_MAP_PER_CLONE_BYTES(
            extents, (uint64_t)config.clones_max, (uint64_t)config.page_bytes);
    }
    if (status != CLONE_GROUP_OK || bytes > bound || bound > 2 * bytes + 1048576) {
        printf("status %d: flags %u, %llu extents, %u Clones, %u requests, %u copies: %llu bytes, bound %llu\n",
               (int)status, (unsigned)config.flags, (unsigned long long)extents, (unsigned)config.clones_max,
               (unsigned)config.requests_max, (unsigned)config.copies_max,
               (unsigned long long)bytes, (unsigned long long)bound);
        failures++;
    }
}

int main(void)
{
    static const uint64_t extents[] = {1, 63, 1024, 100000, 1 << 24, (uint64_t)1 << 32};
    static const uint32_t clones[] = {1, 2, 16, 255};
    static const uint32_t requests[] = {1, 128, 4096};
    static const uint32_t copies[] = {1, 4, 64};
    static const uint32_t units[] = {512, 4096, 65536};
    struct clone_group_config config;

    for (unsigned a = 0; a < 6; a++)
        for (unsigned b = 0; b < 4; b++)
            for (unsigned c = 0; c < 3; c++)
                for (unsigned d = 0; d < 3; d++)
                    for (unsigned e = 0; e < 3; e++) {
                        clone_group_config_init(&config, sizeof config);
                        config.block_bytes = 4096;
                        config.extent_blocks = 16;
                        config.lu_blocks = extents[a] * 16;
                        config.clones_max = clones[b];
                        config.requests_max = requests[c];
                        config.copies_max = copies[d];
                        config.copy_buffer_bytes = 65536;
                        config.persist_unit_bytes = units[e];
                        config.page_bytes = units[2 - e] < units[e] ? units[e] : units[2 - e];
                        config.page_writes_max = 1 + 3 * d;
                        config.buffer_align_bytes = 8u << (4 * e);
                        check(config);
                        config.flags = CLONE_GROUP_CONFIG_MAP_PER_CLONE;
                        check(config);
                    }
    config.clones_max = 255;
    config.persist_unit_bytes = 512;
    config.page_bytes = 512;
    check(config);
    firmware[0] = 0;
    return failures != 0 || refused == 0;
}
