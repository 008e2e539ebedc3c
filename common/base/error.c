#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void one_line(char *text)
{
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ')
        text[--n] = '\0';
}

int error_set(struct error *err, int code, bool retryable, const char *format, ...)
{
    if (err == NULL)
        return code;
    char message[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    one_line(message);
    memcpy(err->message, message, sizeof message);
    err->code = code;
    err->retryable = retryable;
    err->native[0] = '\0';
    err->retry_after_ms = 0;
    return code;
}

/* People mount disks, free space and fix rights: those are worth another try (queue-protocol, "Errors on
 * disks"). */
static const struct {
    int errnum;
    int code;
    bool retryable;
} errno_table[] = {
    {ENOENT, ERROR_NOT_FOUND, true},
    {ENOTDIR, ERROR_NOT_FOUND, true},
    {EACCES, ERROR_DENIED, true},
    {EPERM, ERROR_DENIED, true},
    {EROFS, ERROR_DENIED, true},
    {ENOSPC, ERROR_NO_SPACE, true},
    {EDQUOT, ERROR_NO_SPACE, true},
    {EIO, ERROR_IO, true},
    {ESTALE, ERROR_IO, true},
    {ENXIO, ERROR_IO, true},
    {ENODEV, ERROR_IO, true},
    {ETIMEDOUT, ERROR_TIMEOUT, true},
    {ECONNREFUSED, ERROR_UNREACHABLE, true},
    {ECONNRESET, ERROR_UNREACHABLE, true},
    {EHOSTUNREACH, ERROR_UNREACHABLE, true},
    {ENETUNREACH, ERROR_UNREACHABLE, true},
    {EPIPE, ERROR_UNREACHABLE, true},
    {EMFILE, ERROR_SYSTEM, true},
    {ENFILE, ERROR_SYSTEM, true},
    {ENOMEM, ERROR_SYSTEM, true},
    {EAGAIN, ERROR_SYSTEM, true},
    {EEXIST, ERROR_CONFLICT, false},
    {EXDEV, ERROR_UNSAFE_PATH, false},
    {ELOOP, ERROR_UNSAFE_PATH, false},
    {ENAMETOOLONG, ERROR_UNSAFE_PATH, false},
    {EISDIR, ERROR_CONFLICT, false},
    {EFBIG, ERROR_LIMIT, false},
    {ECANCELED, ERROR_CANCELLED, true},
};

int error_errno(struct error *err, int errnum, const char *format, ...)
{
    int code = ERROR_SYSTEM;
    bool retryable = true;
    for (size_t i = 0; i < sizeof errno_table / sizeof *errno_table; i++) {
        if (errno_table[i].errnum == errnum) {
            code = errno_table[i].code;
            retryable = errno_table[i].retryable;
            break;
        }
    }
    if (err == NULL)
        return code;
    char text[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(err, code, retryable, "%.800s: %s", text, strerror(errnum));
    const char *name = strerrorname_np(errnum);
    snprintf(err->native, sizeof err->native, "%s", name ? name : "");
    return code;
}

void error_context(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    char context[sizeof err->message];
    char message[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    snprintf(message, sizeof message, "%.400s: %.590s", context, err->message);
    one_line(message);
    memcpy(err->message, message, sizeof message);
}

const char *error_code_name(int code)
{
    switch ((enum error_code)code) {
    case ERROR_INPUT:
        return "input";
    case ERROR_NOT_FOUND:
        return "not_found";
    case ERROR_EXISTS:
        return "exists";
    case ERROR_UNREACHABLE:
        return "unreachable";
    case ERROR_TIMEOUT:
        return "timeout";
    case ERROR_IO:
        return "io";
    case ERROR_NO_SPACE:
        return "no_space";
    case ERROR_DENIED:
        return "denied";
    case ERROR_CONFLICT:
        return "conflict";
    case ERROR_CORRUPT:
        return "corrupt";
    case ERROR_SOURCE:
        return "source";
    case ERROR_CANCELLED:
        return "cancelled";
    case ERROR_PROTOCOL:
        return "protocol";
    case ERROR_LIMIT:
        return "limit";
    case ERROR_UNSAFE_PATH:
        return "unsafe_path";
    case ERROR_UNSUPPORTED:
        return "unsupported";
    case ERROR_SYSTEM:
        return "system";
    }
    return code == 0 ? "none" : "system";
}

int error_exit_status(const struct error *err)
{
    return err->code == ERROR_INPUT ? 2 : 1;
}
