#include "picture.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bits_bytes(const struct picture *picture)
{
    return (picture->extents + 7) / 8;
}

static bool bit(const uint8_t *bits, uint64_t index)
{
    return bits[index / 8] >> index % 8 & 1;
}

int picture_init(struct picture *picture, uint64_t extents)
{
    uint8_t *bits;

    *picture = (struct picture){.extents = extents};
    pthread_mutex_init(&picture->mutex, NULL);
    bits = calloc(4, bits_bytes(picture));
    picture->began = bits;
    if (bits == NULL)
        return -1;
    picture->to_copy = bits + bits_bytes(picture);
    picture->written = bits + 2 * bits_bytes(picture);
    picture->copying = bits + 3 * bits_bytes(picture);
    return 0;
}

void picture_free(struct picture *picture)
{
    free(picture->began);
    pthread_mutex_destroy(&picture->mutex);
}

static int32_t read_map(const struct picture *picture, struct clone_group *group, uint32_t map,
                        uint32_t lu, uint8_t *bits)
{
    return clone_group_map_read(group, map, lu, 0, picture->extents, bits, bits_bytes(picture));
}

void picture_begin(struct picture *picture, struct clone_group *group, uint32_t lu)
{
    pthread_mutex_lock(&picture->mutex);
    picture->lu = read_map(picture, group, CLONE_GROUP_MAP_DELTA, lu, picture->began)
            == CLONE_GROUP_OK ? lu : 0;
    pthread_mutex_unlock(&picture->mutex);
}

void picture_copying(struct picture *picture, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count && i < picture->extents; i++)
        picture->copying[i / 8] |= (uint8_t)(1 << i % 8);
}

static void count_extent(const struct picture *picture, bool ours, uint64_t extent,
                         struct cell *cell)
{
    if (bit(picture->written, extent)) {
        cell->host_written++;
    } else if (bit(picture->to_copy, extent)) {
        cell->to_copy++;
        cell->copying += bit(picture->copying, extent);
    } else if (ours && bit(picture->began, extent)) {
        cell->copied++;
    }
}

// What the Delta Map says is left to copy, or, of a point in time, what hosts wrote.
// What they write during a restore is in a map of its own.
static int32_t read_maps(struct picture *picture, struct clone_group *group, uint32_t lu,
                         uint32_t state)
{
    bool is_copied = state != CLONE_GROUP_CLONE_FRACTURED;
    int32_t status = read_map(picture, group, CLONE_GROUP_MAP_DELTA, lu,
                              is_copied ? picture->to_copy : picture->written);

    if (status == CLONE_GROUP_OK && state == CLONE_GROUP_CLONE_RESTORING)
        status = read_map(picture, group, CLONE_GROUP_MAP_PROTECTED_RESTORE, 0, picture->written);
    return status;
}

int32_t picture_draw(struct picture *picture, struct clone_group *group, uint32_t lu,
                     void (*copies)(void *context, struct picture *picture), void *context,
                     struct cell *cells, uint32_t count)
{
    struct clone_group_clone_info clone = {.struct_size = sizeof clone};
    int32_t status = clone_group_clone_query(group, lu, &clone);

    pthread_mutex_lock(&picture->mutex);
    memset(picture->to_copy, 0, 3 * bits_bytes(picture));
    if (status == CLONE_GROUP_OK)
        status = read_maps(picture, group, lu, clone.state);
    if (status == CLONE_GROUP_OK)
        copies(context, picture);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t first = picture->extents * i / count;
        uint64_t end = picture->extents * (i + 1) / count;

        cells[i] = (struct cell){.first_extent = first, .extents = end - first};
        for (uint64_t extent = first; status == CLONE_GROUP_OK && extent < end; extent++)
            count_extent(picture, picture->lu == lu, extent, &cells[i]);
    }
    pthread_mutex_unlock(&picture->mutex);
    return status;
}
