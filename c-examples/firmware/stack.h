// Measures how deep each call goes into the stack, by painting it. Callbacks are
// not counted: what they dirtied is painted anew before they return.

#ifndef STACK_H
#define STACK_H

#include "platform.h"

// Calls the library: CALL(clone_group_recover, group, 0, tag).
#define CALL(function, ...)                                                    \
    (stack_begin(#function, stack_here()), stack_end(function(__VA_ARGS__)))

static inline uintptr_t stack_here(void)
{
    uintptr_t sp;

    STACK_POINTER(sp);
    return sp;
}

void stack_begin(const char *function, uintptr_t sp);
int32_t stack_end(int32_t status);

// First and last in each callback.
void stack_callback_begins(uintptr_t sp);
void stack_callback_ends(void);

// Prints one line for each function, the deepest one first, and returns the
// depth of that one, in bytes.
uint32_t stack_report(void);

#endif
