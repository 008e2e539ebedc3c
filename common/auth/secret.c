#include "auth/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MAX = 64 * 1024, REFERENCE_MAX = 512 };

static const char *const forms = "write env:NAME or file:/absolute/path";

/* What stands behind "scheme:" in reference, or NULL. */
static const char *after(const char *reference, const char *scheme)
{
    size_t n = strlen(scheme);
    return strncmp(reference, scheme, n) == 0 ? reference + n : NULL;
}

static bool is_variable_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    if (name[0] == '\0' || strchr(letters, name[0]) == NULL)
        return false;
    return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")] == '\0';
}

/* A name that can go into a template without leaving the place the template names. */
static bool is_bare_name(const char *name)
{
    if (name[0] == '\0' || name[0] == '/' || strstr(name, "..") != NULL)
        return false;
    return name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-")] == '\0';
}

static bool has_scheme(const char *reference)
{
    return after(reference, "env:") || after(reference, "file:") || after(reference, "vault:") ||
           after(reference, "aws-sm:");
}

static int check_full(const char *reference, struct error *err)
{
    const char *rest;
    if ((rest = after(reference, "env:")) != NULL) {
        if (!is_variable_name(rest))
            return error_set(err, ERROR_INPUT, false, "%.300s: not the name of an environment variable; %s",
                             reference, forms);
        return 0;
    }
    if ((rest = after(reference, "file:")) != NULL) {
        if (rest[0] != '/' || rest[1] == '\0')
            return error_set(err, ERROR_INPUT, false, "%.300s: the path must be absolute; %s", reference,
                             forms);
        return 0;
    }
    return error_set(err, ERROR_UNSUPPORTED, false,
                     "%.300s: this version does not read Vault or AWS Secrets Manager; %s", reference, forms);
}

/* The reference with its scheme, into full[REFERENCE_MAX]. */
static int expand(const char *reference, const char *template, char *full, struct error *err)
{
    if (reference == NULL || reference[0] == '\0')
        return error_set(err, ERROR_INPUT, false, "empty secret reference: %s", forms);
    if (strlen(reference) >= REFERENCE_MAX)
        return error_set(err, ERROR_INPUT, false, "secret reference longer than %d bytes", REFERENCE_MAX - 1);
    if (has_scheme(reference)) {
        memcpy(full, reference, strlen(reference) + 1);
        return check_full(full, err);
    }
    if (!is_bare_name(reference))
        return error_set(err, ERROR_INPUT, false,
                         "not a secret reference (and not repeated here, it may be a secret): %s", forms);
    if (template == NULL || template[0] == '\0')
        return error_set(err, ERROR_INPUT, false,
                         "a bare name as secret reference (not repeated here, it may be a secret) needs "
                         "BM_CREDENTIALS_DEFAULT, for example file:/run/secrets/%%s; or %s",
                         forms);
    const char *hole = strstr(template, "%s");
    if (!has_scheme(template) || hole == NULL || strchr(hole + 2, '%') || strchr(template, '%') != hole)
        return error_set(err, ERROR_INPUT, false,
                         "BM_CREDENTIALS_DEFAULT must be a reference with one %%s in it, for example "
                         "file:/run/secrets/%%s");
    int n = snprintf(full, REFERENCE_MAX, "%.*s%s%s", (int)(hole - template), template, reference, hole + 2);
    if (n >= REFERENCE_MAX)
        return error_set(err, ERROR_INPUT, false, "secret reference longer than %d bytes", REFERENCE_MAX - 1);
    return check_full(full, err);
}

static int resolve_variable(const char *reference, const char *name, char **ret_secret, struct error *err)
{
    const char *value = getenv(name);
    if (value == NULL || value[0] == '\0')
        return error_set(err, ERROR_NOT_FOUND, true, "%s: the variable is %s in this program's environment",
                         reference, value ? "empty" : "not set");
    if (strlen(value) > SECRET_MAX)
        return error_set(err, ERROR_LIMIT, true, "%s: longer than %d bytes", reference, SECRET_MAX);
    char *copy = strdup(value);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret_secret = copy;
    return 0;
}

/* Up to size bytes until the end of the file; -1 with errno on error. */
static ssize_t read_all(int fd, char *out, size_t size)
{
    size_t n = 0;
    while (n < size) {
        ssize_t got = read(fd, out + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

static int secret_from_bytes(const char *reference, const char *bytes, size_t n, char **ret_secret,
                             struct error *err)
{
    if (n > SECRET_MAX)
        return error_set(err, ERROR_LIMIT, true, "%s: longer than %d bytes", reference, SECRET_MAX);
    if (memchr(bytes, '\0', n))
        return error_set(err, ERROR_INPUT, true, "%s: holds a zero byte, so it is not text", reference);
    if (n > 0 && bytes[n - 1] == '\n')
        n--;
    if (n > 0 && bytes[n - 1] == '\r')
        n--;
    if (n == 0)
        return error_set(err, ERROR_NOT_FOUND, true, "%s: the file is empty", reference);
    char *copy = malloc(n + 1);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    memcpy(copy, bytes, n);
    copy[n] = '\0';
    *ret_secret = copy;
    return 0;
}

static int resolve_file(const char *reference, const char *path, char **ret_secret, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = error_errno(err, errno, "%s", reference);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, ERROR_INPUT, true, "%s: not a regular file", reference);
    }
    char *bytes = malloc(SECRET_MAX + 2);
    if (bytes == NULL) {
        close(fd);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    ssize_t n = read_all(fd, bytes, SECRET_MAX + 2);
    int rc = n < 0 ? error_errno(err, errno, "%s", reference)
                   : secret_from_bytes(reference, bytes, (size_t)n, ret_secret, err);
    explicit_bzero(bytes, SECRET_MAX + 2);
    free(bytes);
    close(fd);
    return rc;
}

int secret_reference_check(const char *reference, const char *default_template, struct error *err)
{
    char full[REFERENCE_MAX];
    return expand(reference, default_template, full, err);
}

int secret_resolve(const char *reference, const char *default_template, char **ret_secret, struct error *err)
{
    char full[REFERENCE_MAX];
    int rc = expand(reference, default_template, full, err);
    if (rc)
        return rc;
    const char *name = after(full, "env:");
    if (name)
        return resolve_variable(full, name, ret_secret, err);
    return resolve_file(full, after(full, "file:"), ret_secret, err);
}

void secret_free(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}
