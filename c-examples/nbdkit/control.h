// The control socket: a unix socket on which each line is a command in JSON, and
// each is answered by one line. README.md has the protocol.
#ifndef CONTROL_H
#define CONTROL_H

#include "array.h"

enum { CONTROL_LINE_BYTES = 4096, CONTROL_CLIENTS_MOST = 32, CONTROL_TIMEOUT_S = 10 };

struct control;

// Listens on `path`; who connects waits until control_start(). A socket that is there
// is removed: who has the lock of the metadata has the path, too. Returns NULL
// after log_error().
struct control *control_open(struct array *array, const char *path);

// Serves clients on threads of its own. Returns 0, or -1 after log_error().
int control_start(struct control *control);

// Cuts all clients off once what they asked for is done, and frees it.
void control_close(struct control *control);

#endif
