// Stays with a copy until it is over.
#ifndef WATCH_H
#define WATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { REFRESH_MS = 200 };

// Draws the copy of, from or with the Clone. Events up to `events_after` were before
// it. Returns what the process ends with.
int watch_copy(uint64_t clone, uint64_t events_after, bool json);

// An answer as the array gave it, in a line.
void print_json(const json_t *answer);

void sleep_ms(unsigned int ms);

#endif
