// Goal: on this target, C and Rust lay out every struct of the header alike. First
// what tests/c/layout.c prints (its main is layout_main here), then the same lines
// as tests/abi/layout.rs knows them; tools/firmware-proof compares both, and the
// fields with the list that was frozen. For the program of c-examples/firmware's
// platform.c.

#include <stdarg.h>
#include <stdio.h>

#include "platform.h"

int layout_main(void);
const char *rust_layout(size_t line, size_t numbers[2]);
int recover(void);

int printf(const char *format, ...)
{
    char one[2] = {0, 0};
    va_list arguments;

    va_start(arguments, format);
    for (; *format != 0; format++) {
        if (format[0] == '%' && format[1] == 's') {
            platform_print(va_arg(arguments, const char *));
            format++;
        } else if (format[0] == '%' && format[1] == 'l' && format[2] == 'u') {
            platform_print_number((uint32_t)va_arg(arguments, unsigned long));
            format += 2;
        } else {
            one[0] = *format;
            platform_print(one);
        }
    }
    va_end(arguments);
    return 0;
}

static int is_field(const char *name)
{
    while (*name != 0 && *name != '.') {
        name++;
    }
    return *name != 0;
}

int firmware_main(void)
{
    size_t numbers[2];
    const char *name;

    layout_main();
    platform_print("-- Rust\n");
    for (size_t line = 0; (name = rust_layout(line, numbers)) != NULL; line++) {
        if (is_field(name)) {
            printf("%s %lu %lu\n", name, (unsigned long)numbers[0], (unsigned long)numbers[1]);
        } else {
            printf("%s size %lu\n", name, (unsigned long)numbers[0]);
            printf("%s align %lu\n", name, (unsigned long)numbers[1]);
        }
    }
    return 0;
}
