// Generated data. Every block of the demo says which write put it there.
#ifndef PATTERN_H
#define PATTERN_H

#include <stddef.h>
#include <stdint.h>

enum { BLOCK_BYTES = 512 };

// Tags of writes. Host requests are numbered from 2 on.
#define TAG_ORIGINAL 0                      // the fill: what Clone 1 holds
#define TAG_TUESDAY 1                       // between the two Fractures: in Clone 2 only
#define TAG_CORRUPTION ((uint64_t)1 << 63)  // what the restore must make disappear
#define TAG_NONE UINT64_MAX                 // of no write: a damaged block

// The content of block `lba` as the write `tag` leaves it.
void pattern_make(uint8_t *block, uint64_t seed, uint64_t lba, uint64_t tag);

// Finds the tag of the write that made this block. Returns 0 if no write to
// `lba` made it: it is of another place, mixed, or not ours.
int pattern_tag(const uint8_t *block, uint64_t seed, uint64_t lba, uint64_t *tag);

// The next number of the sequence that `*state` stands for (SplitMix64).
uint64_t random_next(uint64_t *state);

// A number in 0 .. limit - 1.
uint64_t random_below(uint64_t *state, uint64_t limit);

// FNV-1a over 64-bit words: `bytes` is a multiple of 8. Start with CHECKSUM_START.
#define CHECKSUM_START UINT64_C(14695981039346656037)
uint64_t checksum(uint64_t sum, const uint8_t *data, size_t bytes);

#endif
