#include "artifact/child_command.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/child_environment.h"

/* Growing NULL-terminated array of strings; NULL words and failed allocations set failed. */
struct words {
    char **at;
    size_t n, capacity;
    bool failed;
};

static void words_take(struct words *words, char *word)
{
    if (!words->failed && words->n + 2 > words->capacity) {
        size_t capacity = words->capacity ? words->capacity * 2 : 32;
        char **at = realloc(words->at, capacity * sizeof *at);
        if (at == NULL)
            words->failed = true;
        else {
            words->at = at;
            words->capacity = capacity;
        }
    }
    if (words->failed || word == NULL) {
        words->failed = true;
        free(word);
        return;
    }
    words->at[words->n++] = word;
    words->at[words->n] = NULL;
}

static void words_add(struct words *words, const char *word)
{
    words_take(words, strdup(word));
}

static void words_free(char **at)
{
    for (char **p = at; p && *p; p++)
        free(*p);
    free(at);
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* The value of pg_dump's -d: a name, unless libpq would read it as a connection string. */
static char *database_argument(const char *name)
{
    bool plain = strchr(name, '=') == NULL && strncmp(name, "postgresql://", 13) != 0 &&
                 strncmp(name, "postgres://", 11) != 0;
    if (plain)
        return strdup(name);
    char *out = malloc(2 * strlen(name) + sizeof "dbname=''");
    if (out == NULL)
        return NULL;
    char *p = stpcpy(out, "dbname='");
    for (; *name; name++) {
        if (*name == '\'' || *name == '\\')
            *p++ = '\\';
        *p++ = *name;
    }
    *p++ = '\'';
    *p = '\0';
    return out;
}

static void pg_dump_argv(struct words *argv, const struct source *source, const char *pg_dump)
{
    words_add(argv, pg_dump);
    words_add(argv, "--format=plain");
    words_add(argv, "--no-password");
    if (is_set(source->host)) {
        words_add(argv, "-h");
        words_add(argv, source->host);
    }
    if (source->port > 0) {
        char port[16];
        snprintf(port, sizeof port, "%d", source->port);
        words_add(argv, "-p");
        words_add(argv, port);
    }
    if (is_set(source->username)) {
        words_add(argv, "-U");
        words_add(argv, source->username);
    }
    words_add(argv, "-d");
    words_take(argv, database_argument(source->database_name));
}

static void tar_argv(struct words *argv, const struct source *source, const char *tar)
{
    words_add(argv, tar);
    words_add(argv, "-C");
    words_add(argv, source->source_path);
    words_add(argv, "-cf");
    words_add(argv, "-");
    words_add(argv, ".");
}

static void command_argv(struct words *argv, const struct source *source)
{
    json_t *list = json_loads(source->source_argv, 0, NULL);
    size_t i;
    json_t *word;
    json_array_foreach(list, i, word)
    {
        words_add(argv, json_string_value(word));
    }
    json_decref(list);
    if (argv->n == 0)
        argv->failed = true;
}

int child_command_init(struct child_command *command, const struct source *source, const char *pg_dump,
                       const char *tar, const char *command_environment, struct error *err)
{
    struct words argv = {0};
    switch (source_kind(source)) {
    case SOURCE_POSTGRESQL:
        pg_dump_argv(&argv, source, pg_dump);
        break;
    case SOURCE_DIRECTORY:
        tar_argv(&argv, source, tar);
        break;
    case SOURCE_COMMAND:
    case SOURCE_FILE:
        command_argv(&argv, source);
        break;
    }
    char **env = child_environment_new(source, command_environment);
    if (argv.failed || env == NULL) {
        words_free(argv.at);
        child_environment_free(env);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    *command = (struct child_command){.argv = argv.at, .env = env};
    const char *slash = strrchr(argv.at[0], '/');
    snprintf(command->name, sizeof command->name, "%s", slash ? slash + 1 : argv.at[0]);
    return 0;
}

void child_command_deinit(struct child_command *command)
{
    words_free(command->argv);
    child_environment_free(command->env);
    *command = (struct child_command){0};
}

static int write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            data += done;
            n -= (size_t)done;
        }
    }
    return 0;
}

int child_passfile_open(const char *password, int *ret_fd, struct error *err)
{
    if (strpbrk(password, "\r\n"))
        return error_set(err, ERROR_INPUT, false,
                         "the password has a line break in it, which a PostgreSQL password file can't hold");
    char *line = malloc(2 * strlen(password) + sizeof "*:*:*:*:\n");
    int fd = memfd_create("pgpass", MFD_CLOEXEC);
    if (line == NULL || fd < 0) {
        int rc = error_errno(err, line ? errno : ENOMEM, "can't make a password file in memory");
        free(line);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    char *p = stpcpy(line, "*:*:*:*:");
    for (; *password; password++) {
        if (*password == ':' || *password == '\\')
            *p++ = '\\';
        *p++ = *password;
    }
    *p++ = '\n';
    size_t n = (size_t)(p - line);
    int rc = 0;
    if (fchmod(fd, 0600) < 0 || write_all(fd, line, n) < 0) {
        rc = error_errno(err, errno, "can't make a password file in memory");
        close(fd);
    } else {
        *ret_fd = fd;
    }
    explicit_bzero(line, n);
    free(line);
    return rc;
}
