// What this program needs of the machine: a console, an end, a stack.

#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>

// The stack of the program, from its lowest address up.
#define STACK_BYTES 12288u
extern uint32_t platform_stack[STACK_BYTES / 4];

#if defined(__x86_64__)
#define STACK_POINTER(sp) __asm__ volatile("mov %%rsp, %0" : "=r"(sp))
#elif defined(__i386__)
#define STACK_POINTER(sp) __asm__ volatile("mov %%esp, %0" : "=r"(sp))
#elif defined(__aarch64__) || defined(__arm__)
#define STACK_POINTER(sp) __asm__ volatile("mov %0, sp" : "=r"(sp))
#elif defined(__s390x__)
#define STACK_POINTER(sp) __asm__ volatile("lgr %0, %%r15" : "=r"(sp))
#elif defined(__powerpc__)
#define STACK_POINTER(sp) __asm__ volatile("mr %0, 1" : "=r"(sp))
#else
#error "say here how to read the stack pointer, and in platform.c how to start"
#endif

void platform_print(const char *text);
void platform_print_number(uint32_t value);
void platform_exit(int status);

int firmware_main(void);

#endif
