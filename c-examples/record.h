// What the hosts know about every block of the Source: the record that the
// Source is checked against. It is a shared mapping, so it outlasts the array
// process that is killed.
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>

#include "figures.h"
#include "settings.h"

// Tags of writes (see pattern.h). Volatile: a process may be killed between any
// two stores, and what it has stored by then must be in this order.
struct block_record {
    volatile uint64_t durable;      // the last one that was known to be durable
    volatile uint64_t acknowledged; // the last one that was acknowledged
    volatile uint64_t in_flight;    // one that was submitted, or 0
};

struct record {
    struct figures figures;
    volatile uint64_t last_tag;
    volatile uint64_t flushed_tag;  // every write up to this one is durable
    uint64_t clone_checksums[LUS];  // before the restore
    struct ledger *ledger;          // what the two groups of a database hold (ledger.h)
    uint64_t blocks_count;
    struct block_record blocks[];
};

// Makes a record in which every block has TAG_ORIGINAL. Returns NULL after it
// has named on stderr what is wrong.
struct record *record_create(const struct settings *settings);
void record_destroy(struct record *record);

// A write was submitted; a write is done (`durable`: it was FUA, or hosts need no flush).
void record_submit(struct record *record, uint64_t first, uint64_t count, uint64_t tag);
void record_acknowledge(struct record *record, uint64_t first, uint64_t count, uint64_t tag,
                        int durable);

// After the array was killed: is the block's content not certain, and may `tag`
// be what it holds? An acknowledged write may be lost if nothing made it durable;
// one in flight may or may not have happened.
int record_is_open(const struct record *record, uint64_t block);
int record_allows(const struct record *record, uint64_t block, uint64_t tag);

// The Source was given another content, in which the block holds `tag`. A write in
// flight may or may not have come after it.
void record_replace(struct record *record, uint64_t block, uint64_t tag);

// The block was found to hold `tag`: so it must stay.
void record_settle(struct record *record, uint64_t block, uint64_t tag);

#endif
