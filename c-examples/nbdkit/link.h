// The connection of clonectl to an array.
#ifndef LINK_H
#define LINK_H

#include <jansson.h>

// How clonectl ends: scripts read it.
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,    // begun, and failed; or a copy that was watched stopped
    EXIT_USAGE = 2,
    EXIT_NO_ARRAY = 3,  // nobody answers
    EXIT_REFUSED = 4,   // the state of the array does not allow it; nothing has changed
};

// Connects to the socket. Ends the process with EXIT_NO_ARRAY if that fails.
void link_open(const char *path, int timeout_s);

// A command without arguments.
json_t *link_command(const char *name);

// Sends a command, which it takes, and returns the answer. Ends the process with
// EXIT_NO_ARRAY if none comes.
json_t *link_ask(json_t *command);

// The same, but ends the process where the array says no.
json_t *link_must(json_t *command);

// What the process ends with after this answer; says why on stderr.
int link_outcome(const json_t *answer);

#endif
