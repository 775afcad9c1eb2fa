// The commands of the control socket, from JSON to calls of the library and back.
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stddef.h>

#include "array.h"

// What a client is told for whom there is no place.
extern const char COMMAND_TOO_MANY[];

// Runs the command in the line; NULL is one that was too long. Returns the answer,
// without a newline, for free(); or NULL without memory.
char *command_run(struct array *array, const char *line, size_t bytes);

#endif
