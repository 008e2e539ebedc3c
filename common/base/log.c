#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static struct {
    const char *program;
    enum log_level level;
    enum log_format format;
} config = {.program = "", .level = LOG_INFO, .format = LOG_TEXT};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(const char *program, enum log_level level, enum log_format format)
{
    config.program = program;
    config.level = level;
    config.format = format;
}

/* Appends text as the inside of a JSON string; returns the new length, at most size - 1. */
static size_t json_escape(char *out, size_t size, size_t at, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p && at + 7 < size; p++) {
        if (*p == '"' || *p == '\\') {
            out[at++] = '\\';
            out[at++] = (char)*p;
        } else if (*p < 0x20) {
            at += (size_t)snprintf(out + at, size - at, "\\u%04x", *p);
        } else {
            out[at++] = (char)*p;
        }
    }
    return at;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > config.level)
        return;
    char message[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    for (char *p = message; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';

    char stamp[CLOCK_ISO8601_SIZE];
    clock_iso8601_ms(clock_wall_ms(), stamp);
    char line[9000];
    size_t n;
    if (config.format == LOG_JSON) {
        n = (size_t)snprintf(line, sizeof line,
                             "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"message\":\"", stamp,
                             level_names[level], config.program);
        n = json_escape(line, sizeof line - 4, n, message);
        n += (size_t)snprintf(line + n, sizeof line - n, "\"}\n");
    } else {
        n = (size_t)snprintf(line, sizeof line, "%s %-5s %s[%d] %s\n", stamp, level_names[level],
                             config.program, (int)getpid(), message);
    }
    /* one write: lines of several threads don't mix; a closed stderr is nobody's fault */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}
