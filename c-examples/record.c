#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"

static uint64_t record_bytes(uint64_t blocks)
{
    return sizeof(struct record) + blocks * sizeof(struct block_record);
}

struct record *record_create(const struct settings *settings)
{
    uint64_t bytes = record_bytes(settings->lu_blocks);
    struct record *record = MAP_FAILED;
    char path[4096];
    int file;

    snprintf(path, sizeof path, "%s/record", settings->dir);
    file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file >= 0) {
        unlink(path); // the mapping keeps it for as long as it is needed
        errno = posix_fallocate(file, 0, (off_t)bytes); // a store must not find the disk full
        if (errno == 0)
            record = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (record == MAP_FAILED) {
        fprintf(stderr, "demo: cannot make the record '%s': %s\n", path, strerror(errno));
        record = NULL;
    } else {
        record->blocks_count = settings->lu_blocks;
        record->last_tag = TAG_TUESDAY;
    }
    if (file >= 0)
        close(file);
    return record;
}

void record_destroy(struct record *record)
{
    munmap(record, record_bytes(record->blocks_count));
}

void record_submit(struct record *record, uint64_t first, uint64_t count, uint64_t tag)
{
    for (uint64_t i = first; i < first + count; i++) {
        struct block_record *block = &record->blocks[i];

        if (block->acknowledged <= record->flushed_tag)
            block->durable = block->acknowledged;
        block->in_flight = tag;
    }
}

void record_acknowledge(struct record *record, uint64_t first, uint64_t count, uint64_t tag,
                        int durable)
{
    for (uint64_t i = first; i < first + count; i++) {
        struct block_record *block = &record->blocks[i];

        block->acknowledged = tag;
        if (durable)
            block->durable = tag;
        block->in_flight = 0;
    }
}

static uint64_t surely_durable(const struct record *record, const struct block_record *block)
{
    return block->acknowledged <= record->flushed_tag ? block->acknowledged : block->durable;
}

int record_is_open(const struct record *record, uint64_t block)
{
    const struct block_record *b = &record->blocks[block];

    return b->in_flight != 0 || surely_durable(record, b) != b->acknowledged;
}

int record_allows(const struct record *record, uint64_t block, uint64_t tag)
{
    const struct block_record *b = &record->blocks[block];
    uint64_t oldest = surely_durable(record, b);
    uint64_t newest = b->in_flight != 0 ? b->in_flight : b->acknowledged;

    return tag >= oldest && tag <= newest;
}

void record_replace(struct record *record, uint64_t block, uint64_t tag)
{
    record->blocks[block].durable = tag;
    record->blocks[block].acknowledged = tag;
}

void record_settle(struct record *record, uint64_t block, uint64_t tag)
{
    record->blocks[block] =
        (struct block_record){.durable = tag, .acknowledged = tag, .in_flight = 0};
}
