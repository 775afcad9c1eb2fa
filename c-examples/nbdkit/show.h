// What the array says, for people.
#ifndef SHOW_H
#define SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { SHOW_COLUMNS = 64, SHOW_ROWS = 4 };

void show_status(const json_t *status);
void show_rate(const json_t *rate);
void show_statistics(const json_t *statistics);
void show_event(const json_t *event);

// The picture of a copy: SHOW_COLUMNS characters in a row. Returns how many lines it took.
int show_map(const json_t *map, bool colours);
void show_legend(void);

// A copy as a bar, with its rate and the time that is left. `bytes_per_s` below 0: not known.
void show_bar(const json_t *clone, uint64_t extent_bytes, double bytes_per_s, bool paused);

// What is left to do for a Clone, and how much there was, in extents. 0 of 0 if nothing runs.
void show_progress(const json_t *clone, uint64_t *left, uint64_t *all);

// Numbers, texts and conditions of an answer; 0, "" and false where there are none.
uint64_t get_number(const json_t *object, const char *key);
const char *get_text(const json_t *object, const char *key);
bool has_condition(const json_t *object, const char *name);

#endif
