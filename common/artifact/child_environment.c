#include "artifact/child_environment.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "artifact/child_command.h"

/* libpq's are those of its documentation, "Environment Variables", all but PGPASSWORD. */
static const char *const handed_on[] = {"PATH",
                                        "HOME",
                                        "USER",
                                        "LOGNAME",
                                        "SHELL",
                                        "TMPDIR",
                                        "TZ",
                                        "LANG",
                                        "LANGUAGE",
                                        "LD_LIBRARY_PATH",
                                        "LD_PRELOAD",
                                        "ASAN_OPTIONS",
                                        "UBSAN_OPTIONS",
                                        "LSAN_OPTIONS",
                                        "TSAN_OPTIONS",
                                        "SSL_CERT_FILE",
                                        "SSL_CERT_DIR",
                                        "KRB5CCNAME",
                                        "KRB5_CONFIG",
                                        "PGHOST",
                                        "PGHOSTADDR",
                                        "PGPORT",
                                        "PGDATABASE",
                                        "PGUSER",
                                        "PGPASSFILE",
                                        "PGREQUIREAUTH",
                                        "PGCHANNELBINDING",
                                        "PGSERVICE",
                                        "PGSERVICEFILE",
                                        "PGOPTIONS",
                                        "PGAPPNAME",
                                        "PGSSLMODE",
                                        "PGREQUIRESSL",
                                        "PGSSLCOMPRESSION",
                                        "PGSSLCERT",
                                        "PGSSLKEY",
                                        "PGSSLROOTCERT",
                                        "PGSSLCRL",
                                        "PGSSLCRLDIR",
                                        "PGSSLSNI",
                                        "PGREQUIREPEER",
                                        "PGSSLMINPROTOCOLVERSION",
                                        "PGSSLMAXPROTOCOLVERSION",
                                        "PGGSSENCMODE",
                                        "PGKRBSRVNAME",
                                        "PGGSSLIB",
                                        "PGCONNECT_TIMEOUT",
                                        "PGCLIENTENCODING",
                                        "PGDATESTYLE",
                                        "PGTZ",
                                        "PGGEQO",
                                        "PGSYSCONFDIR",
                                        "PGLOCALEDIR",
                                        "PGTARGETSESSIONATTRS",
                                        "PGLOADBALANCEHOSTS"};

enum { MORE = 4 }; /* entries of our own, and the NULL */

struct environment {
    char **at;
    size_t n;
    bool failed;
};

static size_t count(char **entries)
{
    size_t n = 0;
    while (entries && entries[n])
        n++;
    return n;
}

static void add(struct environment *env, const char *entry)
{
    char *copy = env->failed ? NULL : strdup(entry);
    env->failed |= copy == NULL;
    if (copy)
        env->at[env->n++] = copy;
}

static bool is_name(const char *entry, size_t n, const char *name)
{
    return strlen(name) == n && memcmp(entry, name, n) == 0;
}

/* The name is in a comma-separated list. */
static bool is_listed(const char *entry, size_t n, const char *list)
{
    for (const char *at = list; at && *at; at += *at == ',') {
        at += strspn(at, " ");
        size_t size = strcspn(at, ", ");
        if (size == n && memcmp(at, entry, n) == 0)
            return true;
        at += strcspn(at, ",");
    }
    return false;
}

static bool is_known(const char *entry, size_t n)
{
    for (size_t i = 0; i < sizeof handed_on / sizeof *handed_on; i++)
        if (is_name(entry, n, handed_on[i]))
            return true;
    return n > 3 && memcmp(entry, "LC_", 3) == 0;
}

static bool is_secret_of(const struct source *source, const char *entry, size_t n)
{
    const char *ref = source->password_ref;
    return ref && strncmp(ref, "env:", 4) == 0 && is_name(entry, n, ref + 4);
}

static bool goes_on(const struct source *source, const char *command_environment, const char *entry)
{
    size_t n = strcspn(entry, "=");
    enum source_kind kind = source_kind(source);
    if (n == 0 || strncmp(entry, "BM_", 3) == 0 || is_secret_of(source, entry, n))
        return false;
    if (is_name(entry, n, "PGPASSFILE") && source_has_password(source))
        return false;                                                       /* ours takes its place */
    bool own_words = kind == SOURCE_POSTGRESQL || kind == SOURCE_DIRECTORY; /* we read its messages */
    if (own_words &&
        (is_name(entry, n, "LC_ALL") || is_name(entry, n, "LC_MESSAGES") || is_name(entry, n, "LANGUAGE")))
        return false;
    if (is_known(entry, n) || (kind == SOURCE_DIRECTORY && is_name(entry, n, "TAR_OPTIONS")))
        return true;
    return kind == SOURCE_COMMAND && is_listed(entry, n, command_environment);
}

char **child_environment_new(const struct source *source, const char *command_environment)
{
    enum source_kind kind = source_kind(source);
    struct environment env = {.at = calloc(count(environ) + MORE, sizeof(char *))};
    if (env.at == NULL)
        return NULL;
    for (char **entry = environ; entry && *entry; entry++)
        if (goes_on(source, command_environment, *entry))
            add(&env, *entry);
    if (source_has_password(source)) {
        char entry[64];
        snprintf(entry, sizeof entry, "PGPASSFILE=/proc/self/fd/%d", CHILD_PASSFILE_FD);
        add(&env, entry);
    }
    if (kind == SOURCE_POSTGRESQL && getenv("PGCONNECT_TIMEOUT") == NULL)
        add(&env, "PGCONNECT_TIMEOUT=30");
    if (kind != SOURCE_COMMAND || env.n == 0) /* an empty list would mean: inherit */
        add(&env, "LC_MESSAGES=C");
    if (env.failed) {
        child_environment_free(env.at);
        return NULL;
    }
    return env.at;
}

void child_environment_free(char **environment)
{
    for (char **entry = environment; entry && *entry; entry++)
        free(*entry);
    free(environment);
}
