// The persistent area of the group: a file of its own, locked for as long as it
// is open, so that one array at a time has the group (R70).
#ifndef METADATA_H
#define METADATA_H

#include <stdbool.h>
#include <stdint.h>

struct metadata {
    int file;
};

// Opens and locks the file `metadata` in the folder; it is made if there is none,
// without any room. Returns 0, or -1 after log_error().
int metadata_open(struct metadata *metadata, int folder, const char *folder_name);

// Gives the area its room, all zeroes, on the disk: later no write to it can fail
// because the disk is full. Returns 0, or -1 after log_error().
int metadata_make(struct metadata *metadata, uint64_t bytes);
void metadata_close(struct metadata *metadata);

// Each returns 0 or an errno. What was written is durable after a flush.
int metadata_read(struct metadata *metadata, void *data, uint64_t bytes, uint64_t offset);
int metadata_write(struct metadata *metadata, const void *data, uint64_t bytes, uint64_t offset);
int metadata_flush(struct metadata *metadata);

#endif
