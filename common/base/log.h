/*
 * One log line per event, on stderr: text for people, JSON for machines. Log once, in the layer that decides
 * what happens next. Never pass a secret. Safe from any thread.
 */
#pragma once

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* program must outlive the process (a literal). Before this call: LOG_INFO, LOG_TEXT, no program name. */
void log_init(const char *program, enum log_level level, enum log_format format);

/* Writes when level is enabled; newlines become blanks, a line is cut at 4 KiB. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
