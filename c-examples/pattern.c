#include "pattern.h"

#include <string.h>

enum { WORDS = BLOCK_BYTES / 8 };

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

// The first word is the tag in the clear, so that a wrong block can be named;
// the rest depends on seed, place and tag, so that no other block looks like it.
void pattern_make(uint8_t *block, uint64_t seed, uint64_t lba, uint64_t tag)
{
    uint64_t words[WORDS];
    uint64_t state = seed;

    state = random_next(&state) ^ lba;
    state = random_next(&state) ^ tag;
    words[0] = tag;
    for (size_t i = 1; i < WORDS; i++)
        words[i] = random_next(&state);
    memcpy(block, words, sizeof words);
}

int pattern_tag(const uint8_t *block, uint64_t seed, uint64_t lba, uint64_t *tag)
{
    uint8_t expected[BLOCK_BYTES];

    memcpy(tag, block, sizeof *tag);
    pattern_make(expected, seed, lba, *tag);
    return memcmp(block, expected, BLOCK_BYTES) == 0;
}

uint64_t checksum(uint64_t sum, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof sum) {
        uint64_t word;

        memcpy(&word, data + i, sizeof word);
        sum = (sum ^ word) * UINT64_C(1099511628211);
    }
    return sum;
}
