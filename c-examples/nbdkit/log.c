// The log of a plugin is nbdkit's.
#define NBDKIT_API_VERSION 2

#include <nbdkit-plugin.h>

#include <stdarg.h>

#include "log.h"

void log_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    nbdkit_verror(format, arguments);
    va_end(arguments);
}

void log_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    nbdkit_vdebug(format, arguments);
    va_end(arguments);
}
