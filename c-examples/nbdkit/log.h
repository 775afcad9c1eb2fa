// What the array has to say goes where its host program wants it: nbdkit's log.
#ifndef LOG_H
#define LOG_H

// Something is wrong. One line, without a newline.
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Something an operator may want to know.
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
