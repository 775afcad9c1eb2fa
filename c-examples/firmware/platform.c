// Start, console and end without a C library. A board has a vector table, a
// UART and a reset here; under Linux and qemu they are two system calls.

#include "platform.h"

uint32_t platform_stack[STACK_BYTES / 4] __attribute__((aligned(16)));

// STACK_BYTES as a text, for the assembler.
#define STACK_TOP "12288"
_Static_assert(STACK_BYTES == 12288, "STACK_TOP says the same");

// Sets the stack pointer to the end of platform_stack and calls platform_main.
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n"
        "  lea platform_stack+" STACK_TOP "(%rip), %rsp\n"
        "  xor %ebp, %ebp\n"
        "  call platform_main\n");
#elif defined(__i386__)
__asm__(".globl _start\n_start:\n"
        "  mov $platform_stack+" STACK_TOP ", %esp\n"
        "  xor %ebp, %ebp\n"
        "  call platform_main\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n"
        "  ldr x0, =platform_stack+" STACK_TOP "\n"
        "  mov sp, x0\n"
        "  bl platform_main\n");
#elif defined(__arm__)
__asm__(".syntax unified\n.thumb\n.thumb_func\n.globl _start\n_start:\n"
        "  ldr r0, =platform_stack+" STACK_TOP "\n"
        "  mov sp, r0\n"
        "  bl platform_main\n"
        ".ltorg\n");
#elif defined(__s390x__)
__asm__(".globl _start\n_start:\n"
        "  larl %r15, platform_stack+" STACK_TOP "\n"
        "  aghi %r15, -160\n"
        "  brasl %r14, platform_main\n");
#elif defined(__powerpc__)
__asm__(".globl _start\n_start:\n"
        "  lis 1, platform_stack+" STACK_TOP "@ha\n"
        "  addi 1, 1, platform_stack+" STACK_TOP "@l\n"
        "  li 0, 0\n"
        "  stwu 0, -64(1)\n"
        "  bl platform_main\n");
#endif

// The numbers of write and exit differ.
#if defined(__x86_64__)
enum { CALL_WRITE = 1, CALL_EXIT = 60 };
#elif defined(__aarch64__)
enum { CALL_WRITE = 64, CALL_EXIT = 93 };
#else
enum { CALL_WRITE = 4, CALL_EXIT = 1 };
#endif

static void system_call(long number, long first, const void *second, long third)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
#elif defined(__i386__)
    __asm__ volatile("int $0x80"
                     : "+a"(number)
                     : "b"(first), "c"(second), "d"(third)
                     : "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = first;
    register const void *x1 __asm__("x1") = second;
    register long x2 __asm__("x2") = third;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
#elif defined(__arm__)
    register long r7 __asm__("r7") = number;
    register long r0 __asm__("r0") = first;
    register const void *r1 __asm__("r1") = second;
    register long r2 __asm__("r2") = third;

    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
#elif defined(__s390x__)
    register long r1 __asm__("r1") = number;
    register long r2 __asm__("r2") = first;
    register const void *r3 __asm__("r3") = second;
    register long r4 __asm__("r4") = third;

    __asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4) : "memory");
#elif defined(__powerpc__)
    register long r0 __asm__("r0") = number;
    register long r3 __asm__("r3") = first;
    register const void *r4 __asm__("r4") = second;
    register long r5 __asm__("r5") = third;

    __asm__ volatile("sc"
                     : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5)
                     :
                     : "cr0", "ctr", "memory", "r6", "r7", "r8", "r9", "r10",
                       "r11", "r12");
#endif
}

void platform_print(const char *text)
{
    long length = 0;

    while (text[length] != 0) {
        length++;
    }
    system_call(CALL_WRITE, 1, text, length);
}

void platform_print_number(uint32_t value)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;

    *first = 0;
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    platform_print(first);
}

void platform_exit(int status)
{
    for (;;) {
        system_call(CALL_EXIT, status, NULL, 0);
    }
}

// Named by _start.
void platform_main(void);
void platform_main(void)
{
    platform_exit(firmware_main());
}
