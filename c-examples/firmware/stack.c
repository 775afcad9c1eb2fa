// See stack.h.

#include "stack.h"

enum { FUNCTIONS_MAX = 48 };
#define PAINT 0x5EA1ED1Fu

struct depth {
    const char *function;
    uint32_t bytes;
};

static struct depth depths[FUNCTIONS_MAX];
static struct depth *present; // the call that is measured
static uintptr_t base;        // the stack pointer before it

static int equal(const char *one, const char *other)
{
    while (*one != 0 && *one == *other) {
        one++;
        other++;
    }
    return *one == *other;
}

// Everything from the end of the stack to the caller's frame.
static __attribute__((noinline)) void paint(void)
{
    volatile uint32_t *word = platform_stack;
    uintptr_t end = stack_here() - 32;

    while ((uintptr_t)word < end) {
        *word++ = PAINT;
    }
}

// The lowest address under `end` that was written since, or `end`.
static __attribute__((noinline)) uintptr_t lowest(uintptr_t end)
{
    volatile uint32_t *word = platform_stack;

    while ((uintptr_t)word < end && *word == PAINT) {
        word++;
    }
    return (uintptr_t)word < end ? (uintptr_t)word : end;
}

static void note(uintptr_t address)
{
    if (address < base && base - address > present->bytes) {
        present->bytes = (uint32_t)(base - address);
    }
}

void stack_begin(const char *function, uintptr_t sp)
{
    uint32_t n = 0;

    while (n < FUNCTIONS_MAX - 1 && depths[n].function != NULL
           && !equal(depths[n].function, function)) {
        n++;
    }
    present = &depths[n];
    present->function = function;
    base = sp;
    paint();
}

int32_t stack_end(int32_t status)
{
    note(lowest(base));
    return status;
}

void stack_callback_begins(uintptr_t sp)
{
    uintptr_t here = stack_here() - 64;
    uintptr_t deepest = lowest(here);

    // Nothing under this frame: the way to the callback was the deepest so far.
    note(deepest < here ? deepest : sp);
}

void stack_callback_ends(void)
{
    paint();
}

uint32_t stack_report(void)
{
    uint32_t worst = 0;

    for (;;) {
        struct depth *deepest = &depths[0];

        for (uint32_t n = 1; n < FUNCTIONS_MAX; n++) {
            if (depths[n].bytes > deepest->bytes) {
                deepest = &depths[n];
            }
        }
        if (deepest->bytes == 0) {
            return worst;
        }
        if (deepest->bytes > worst) {
            worst = deepest->bytes;
        }
        platform_print("stack ");
        platform_print_number(deepest->bytes);
        platform_print(" ");
        platform_print(deepest->function);
        platform_print("\n");
        deepest->bytes = 0;
    }
}
