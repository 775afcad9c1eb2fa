// As much of stdio.h as tests/c/layout.c needs, where there is no C library.

#ifndef STDIO_H
#define STDIO_H

#include <stddef.h>

int printf(const char *format, ...); // %s and %lu

#endif
