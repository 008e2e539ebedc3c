#include "artifact/source.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *db_type;
    enum source_kind kind;
    const char *extension;
} kinds[] = {
    {"postgresql", SOURCE_POSTGRESQL, "sql.gz"},
    {"file", SOURCE_FILE, "bin.gz"},
    {"directory", SOURCE_DIRECTORY, "tar.gz"},
    {"command", SOURCE_COMMAND, "bin.gz"},
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

static int find(const char *db_type)
{
    for (int i = 0; db_type && i < N_KINDS; i++)
        if (strcasecmp(kinds[i].db_type, db_type) == 0)
            return i;
    return -1;
}

static int check_postgresql(const struct source *source, struct error *err)
{
    if (source->database_name == NULL || source->database_name[0] == '\0')
        return error_set(err, ERROR_INPUT, false,
                         "a postgresql source needs the name of its database: --database-name");
    if (source->port < 0 || source->port > 65535)
        return error_set(err, ERROR_INPUT, false, "port %d is not between 1 and 65535", source->port);
    return 0;
}

static int check_path(const struct source *source, struct error *err)
{
    if (source->source_path == NULL || source->source_path[0] == '\0')
        return error_set(err, ERROR_INPUT, false, "a %s source needs a path: --path", source->db_type);
    if (source->source_path[0] != '/')
        return error_set(err, ERROR_INPUT, false, "source path '%.600s' is not absolute",
                         source->source_path);
    return 0;
}

static int check_command(const struct source *source, struct error *err)
{
    static const char *const way_out =
        "on the command line: -- PROGRAM ARGUMENT...; in source_argv a JSON array: [\"/path/program\", \"argument\"]";
    if (source->source_argv == NULL || source->source_argv[0] == '\0')
        return error_set(err, ERROR_INPUT, false, "a command source needs its program and arguments: %s",
                         way_out);
    json_error_t json_err;
    json_t *argv = json_loads(source->source_argv, 0, &json_err);
    if (argv == NULL)
        return error_set(err, ERROR_INPUT, false, "source_argv is not JSON (%s): %s", json_err.text, way_out);
    size_t i;
    json_t *word;
    const char *wrong = NULL;
    if (!json_is_array(argv) || json_array_size(argv) == 0)
        wrong = "is not an array with a program in it";
    json_array_foreach(argv, i, word)
    {
        if (!json_is_string(word))
            wrong = "holds something that is not a string";
        else if (i == 0 && json_string_length(word) == 0)
            wrong = "begins with an empty string, not a program";
    }
    json_decref(argv);
    if (wrong)
        return error_set(err, ERROR_INPUT, false, "source_argv %s: %s", wrong, way_out);
    return 0;
}

int source_check(const struct source *source, struct error *err)
{
    static const char *const not_yet[] = {"mysql", "mongodb", "redis"};
    const char *db_type = source->db_type ? source->db_type : "";
    for (size_t i = 0; i < sizeof not_yet / sizeof *not_yet; i++)
        if (strcasecmp(not_yet[i], db_type) == 0)
            return error_set(err, ERROR_UNSUPPORTED, false,
                             "this version can't dump %s by itself: use a database of type command that "
                             "writes the dump to its standard output",
                             not_yet[i]);
    int at = find(db_type);
    if (at < 0)
        return error_set(err, ERROR_INPUT, false,
                         "unknown database type '%.100s': postgresql, file, directory or command", db_type);
    switch (kinds[at].kind) {
    case SOURCE_POSTGRESQL:
        return check_postgresql(source, err);
    case SOURCE_FILE:
    case SOURCE_DIRECTORY:
        return check_path(source, err);
    case SOURCE_COMMAND:
        return check_command(source, err);
    }
    return 0;
}

enum source_kind source_kind(const struct source *source)
{
    int at = find(source->db_type);
    return at < 0 ? SOURCE_COMMAND : kinds[at].kind;
}

bool source_has_password(const struct source *source)
{
    const char *reference = source->password_ref, *encrypted = source->password_encrypted;
    return source_kind(source) == SOURCE_POSTGRESQL &&
           ((reference && reference[0]) || (encrypted && encrypted[0]));
}

const char *source_extension(const char *db_type)
{
    int at = find(db_type);
    return at < 0 ? "bin.gz" : kinds[at].extension;
}
