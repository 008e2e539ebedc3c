/* catalog_apply: what makes a row of the catalog right, before PostgreSQL ever sees it. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/source.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "storage/driver.h"
#include "store/catalog.h"
#include "store/schedule.h"

enum { NAME_MAX_BYTES = 200, QUEUE_MAX_BYTES = 64 };

static const char *text_of(const json_t *row, const char *column)
{
    const char *text = json_string_value(json_object_get(row, column));
    return text && *text ? text : NULL;
}

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int check_name(const char *kind, const char *name, const char **field, struct error *err)
{
    *field = "name";
    if (name == NULL)
        return error_set(err, ERROR_INPUT, false, "a %s needs a name", kind);
    size_t n = strlen(name);
    bool digits = strspn(name, "0123456789") == n;
    bool control = false;
    for (const char *p = name; *p; p++)
        control |= iscntrl((unsigned char)*p) != 0;
    if (n > NAME_MAX_BYTES || control)
        return error_set(err, ERROR_INPUT, false,
                         "the %s's name is %s; use up to %d bytes without control characters", kind,
                         control ? "not printable" : "too long", NAME_MAX_BYTES);
    if (digits || name[0] == '-' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return error_set(err, ERROR_INPUT, false,
                         "'%s' can't name a %s: a name begins with neither '-' nor is it a number (that "
                         "would be an id), '.' or '..'",
                         name, kind);
    return 0;
}

int catalog_check_queue(const char *name, struct error *err)
{
    size_t n = name ? strlen(name) : 0;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            n = 0;
    if (n == 0 || n > QUEUE_MAX_BYTES)
        return error_set(err, ERROR_INPUT, false, "queue '%.80s': use 1 to %d letters, digits, '-' and '_'",
                         name ? name : "", QUEUE_MAX_BYTES);
    return 0;
}

/* From here on `field` becomes the column that is looked at: the wrong one, should this fail. */

/* A column that holds a whole number, or nothing. */
static int check_range(const json_t *row, const char *column, int64_t min, int64_t max, const char **field,
                       struct error *err)
{
    *field = column;
    const json_t *value = json_object_get(row, column);
    if (value == NULL || json_is_null(value))
        return 0;
    int64_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < min || number > max)
        return error_set(err, ERROR_INPUT, false, "%s must be a whole number from %lld to %lld", column,
                         (long long)min, (long long)max);
    return 0;
}

static int check_one_of(const json_t *row, const char *column, const char *const *allowed, const char **field,
                        struct error *err)
{
    *field = column;
    const char *text = text_of(row, column);
    char list[128] = "";
    for (int i = 0; allowed[i]; i++) {
        if (text && strcmp(text, allowed[i]) == 0)
            return 0;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", allowed[i]);
    }
    return error_set(err, ERROR_INPUT, false, "%s '%s' is unknown; use one of: %s", column, text ? text : "",
                     list);
}

static bool differs(const json_t *a, const json_t *b, const char *column)
{
    const json_t *x = json_object_get(a, column);
    const json_t *y = json_object_get(b, column);
    return !json_equal(x ? x : json_null(), y ? y : json_null());
}

static bool has_dotdot(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2)
        if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
            return true;
    return false;
}

/* Replaces a path by its absolute form without symbolic links; it must exist and be of that type. */
static int make_absolute(json_t *row, const char *column, mode_t type, const char *what, const char **field,
                         struct error *err)
{
    *field = column;
    const char *path = text_of(row, column);
    char resolved[PATH_MAX];
    struct stat st;
    if (path == NULL)
        return error_set(err, ERROR_INPUT, false, "%s needs a path", what);
    if (has_dotdot(path))
        return error_set(err, ERROR_INPUT, false, "%s '%s' has '..' in it; name the place itself", what,
                         path);
    if (realpath(path, resolved) == NULL || stat(resolved, &st))
        return error_set(err, ERROR_INPUT, false,
                         "%s '%s': %s; give a path that exists on this machine (create or mount it first)",
                         what, path, strerror(errno));
    if ((st.st_mode & S_IFMT) != type)
        return error_set(err, ERROR_INPUT, false, "%s '%s' is not a %s", what, path,
                         type == S_IFDIR ? "directory" : "regular file");
    json_t *text = json_string(resolved);
    if (text == NULL)
        return error_set(err, ERROR_INPUT, false, "%s '%s' is not valid UTF-8", what, path);
    json_object_set_new(row, column, text);
    return 0;
}

/* reference NULL is fine. */
static int check_reference(const char *column, const char *reference, const struct settings *settings,
                           struct error *err)
{
    int rc = reference ? secret_reference_check(reference, settings->credentials_default, err) : 0;
    if (rc)
        error_context(err, "%s", column);
    return rc;
}

/* --- databases --- */

/* What source_check complains of, by the type. */
static const char *source_field(const struct source *source)
{
    switch (source_kind(source)) {
    case SOURCE_POSTGRESQL:
        return "database_name";
    case SOURCE_FILE:
    case SOURCE_DIRECTORY:
        return "source_path";
    case SOURCE_COMMAND:
        break;
    }
    return strcmp(source->db_type, "command") == 0 ? "source_argv" : "db_type";
}

static int check_database(json_t *row, const struct settings *settings, const char **field, struct error *err)
{
    int rc = check_range(row, "port", 1, 65535, field, err);
    if (rc)
        return rc;
    const char *type = text_of(row, "db_type");
    if (type && strcmp(type, "file") == 0 && text_of(row, "source_path"))
        rc = make_absolute(row, "source_path", S_IFREG, "the source file", field, err);
    else if (type && strcmp(type, "directory") == 0 && text_of(row, "source_path"))
        rc = make_absolute(row, "source_path", S_IFDIR, "the source directory", field, err);
    if (rc)
        return rc;
    if (type) { /* the older spellings differ in case only */
        char lower[32];
        size_t n = 0;
        for (; type[n] && n < sizeof lower - 1; n++)
            lower[n] = (char)tolower((unsigned char)type[n]);
        lower[n] = '\0';
        json_object_set_new(row, "db_type", json_string(lower));
        type = text_of(row, "db_type");
    }
    struct source source = {
        .db_type = type ? type : "",
        .host = text_of(row, "host"),
        .port = (int)json_integer_value(json_object_get(row, "port")),
        .username = text_of(row, "username"),
        .database_name = text_of(row, "database_name"),
        .password_ref = text_of(row, "password_ref"),
        .source_path = text_of(row, "source_path"),
        .source_argv = text_of(row, "source_argv"),
    };
    *field = source_field(&source);
    rc = source_check(&source, err);
    if (rc)
        return rc;
    *field = "password_ref";
    return check_reference("password_ref", source.password_ref, settings, err);
}

/* --- destinations --- */

static int check_path_template(const char *template, struct error *err)
{
    static const char *const placeholders[] = {"{database}", "{yyyy}", "{mm}",   "{dd}", "{HH}",
                                               "{MM}",       "{SS}",   "{name}", "{ext}"};
    bool has_name = false;
    if (template == NULL || template[0] == '/')
        return error_set(err, ERROR_INPUT, false,
                         "path template '%s' must be relative to the destination's base",
                         template ? template : "");
    for (const char *p = template; *p; p++) {
        if (*p == '}' || iscntrl((unsigned char)*p) || *p == '\\')
            return error_set(err, ERROR_INPUT, false, "path template '%s' has a stray '%c'", template,
                             iscntrl((unsigned char)*p) ? '?' : *p);
        if (*p != '{')
            continue;
        size_t i = 0;
        while (i < sizeof placeholders / sizeof *placeholders &&
               strncmp(p, placeholders[i], strlen(placeholders[i])) != 0)
            i++;
        if (i == sizeof placeholders / sizeof *placeholders)
            return error_set(err, ERROR_INPUT, false,
                             "path template '%s': unknown placeholder at '%.20s'; known are {database} "
                             "{yyyy} {mm} {dd} {HH} {MM} {SS} {name} {ext}",
                             template, p);
        has_name |= strcmp(placeholders[i], "{name}") == 0;
        p += strlen(placeholders[i]) - 1;
    }
    if (!has_name)
        return error_set(err, ERROR_INPUT, false,
                         "path template '%s' lacks {name}: every backup would get the same path", template);
    for (const char *part = template; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
            return error_set(err, ERROR_UNSAFE_PATH, false,
                             "path template '%s' has an empty part, '.' or '..'; name the folders plainly",
                             template);
    }
    return 0;
}

/* What catalog rows show of a configuration, as far as it can be judged: without the "***" for sealed
 * secrets. */
static int parse_shown_config(const char *text, json_t **ret_config, bool *ret_hidden, struct error *err)
{
    json_t *shown = text ? json_loads(text, 0, NULL) : NULL;
    const char *sealed = json_string_value(json_object_get(shown, "sealed"));
    *ret_hidden = sealed && strcmp(sealed, "***") == 0;
    if (*ret_hidden)
        json_object_del(shown, "sealed");
    char *rest = *ret_hidden ? json_dumps(shown, JSON_COMPACT) : NULL;
    int rc = storage_config_parse(rest ? rest : text, ret_config, err);
    json_decref(shown);
    free(rest);
    return rc;
}

/* *ret_hidden: a part of it is sealed, so *ret_config alone doesn't say whether it makes sense. */
static int check_config(const json_t *row, const json_t *current, const struct settings *settings,
                        json_t **ret_config, bool *ret_hidden, const char **field, struct error *err)
{
    *field = "storage_config";
    json_t *config = NULL;
    bool hidden = false;
    const char *text = text_of(row, "storage_config");
    bool kept = current && !differs(row, current, "storage_config");
    int rc =
        kept ? parse_shown_config(text, &config, &hidden, err) : storage_config_parse(text, &config, err);
    if (rc)
        return rc;
    hidden |= storage_config_key_id(config) != NULL;
    const char *inside = text_of(config, "credentials_ref");
    const char *beside = text_of(row, "credentials_ref");
    rc = check_reference("storage_config: credentials_ref", inside, settings, err);
    if (rc == 0) {
        *field = "credentials_ref";
        rc = check_reference("credentials_ref", beside, settings, err);
    }
    if (rc) {
        json_decref(config);
        return rc;
    }
    *ret_config = config;
    *ret_hidden = hidden;
    return 0;
}

static int check_destination(json_t *row, const json_t *current, const json_t *changes,
                             const struct settings *settings, const char **field, struct error *err)
{
    const struct storage_driver *driver;
    bool accept_disk = json_is_true(json_object_get(changes, "accept_disk"));
    const json_t *opened = json_object_get(changes, "opened_config");
    bool hidden = false;
    json_t *config = NULL;
    const char *type = text_of(row, "storage_type");
    struct error no_driver = {0}; /* told last: the rest may be wrong for every version */
    *field = "storage_type";
    int rc = storage_driver_find(type ? type : "", &driver, &no_driver);
    if (rc == ERROR_UNSUPPORTED)
        rc = 0;
    else if (rc && err)
        *err = no_driver;
    if (rc == 0)
        rc = check_range(row, "priority", 0, INT_MAX, field, err);
    if (rc == 0)
        rc = check_range(row, "max_concurrent", 1, INT_MAX, field, err);
    if (rc == 0)
        rc = check_range(row, "bandwidth_limit", 1, INT64_MAX, field, err);
    if (rc == 0) {
        *field = "queue";
        rc = catalog_check_queue(text_of(row, "queue"), err);
    }
    if (rc == 0) {
        *field = "path_template";
        rc = check_path_template(text_of(row, "path_template"), err);
    }
    if (rc == 0)
        rc = check_config(row, current, settings, &config, &hidden, field, err);
    if (rc == 0 && no_driver.code) {
        *field = "storage_type";
        json_decref(config);
        config = NULL;
        rc = no_driver.code;
        if (err)
            *err = no_driver;
    }
    if (rc)
        return rc;
    bool elsewhere =
        current == NULL || differs(row, current, "base_path") || differs(row, current, "storage_type");
    if (driver->capabilities & STORAGE_CAP_LOCAL_PATH) {
        if (elsewhere || accept_disk)
            rc = make_absolute(row, "base_path", S_IFDIR, "base path", field, err);
    } else if (text_of(row, "base_path")) {
        *field = "base_path";
        rc = error_set(err, ERROR_INPUT, false, "a destination of type %s has no base path", type);
    }
    struct storage_location location = {
        .storage_type = type, .base_path = text_of(row, "base_path"), .config = opened ? opened : config};
    if (rc == 0 && (opened || !hidden)) { /* what is kept sealed was checked when it was written */
        *field = driver->capabilities & STORAGE_CAP_LOCAL_PATH ? "base_path" : "storage_config";
        rc = driver->check(&location, NULL, err);
    }
    if (rc == 0 && (elsewhere || accept_disk)) {
        char *identity = NULL;
        *field = "base_path";
        rc = driver->identify(&location, &identity, err);
        if (rc == 0)
            json_object_set_new(row, "disk_identity", identity ? json_string(identity) : json_null());
        free(identity);
    }
    json_decref(config);
    return rc;
}

/* --- schedules --- */

/* 0 = never by itself (manual). */
static int next_run(const json_t *row, int64_t now_ms, int64_t *ret_ms, const char **field, struct error *err)
{
    struct schedule_rule rule;
    int rc = schedule_rule_load(text_of(row, "schedule_type"), text_of(row, "cron_expression"),
                                text_of(row, "interval_value"), text_of(row, "timezone"), &rule, field, err);
    if (rc)
        return rc;
    *ret_ms = schedule_rule_next(&rule, now_ms / 1000) * 1000;
    schedule_rule_deinit(&rule);
    return 0;
}

static int check_schedule(json_t *row, const json_t *current, int64_t now_ms, const char **field,
                          struct error *err)
{
    static const char *const types[] = {"cron", "interval", "manual", NULL};
    static const char *const misfires[] = {"skip", "once", "all", NULL};
    static const char *const orderings[] = {"parallel", "sequential", NULL};
    int rc = check_one_of(row, "schedule_type", types, field, err);
    if (rc == 0)
        rc = check_one_of(row, "misfire_policy", misfires, field, err);
    if (rc == 0)
        rc = check_one_of(row, "ordering", orderings, field, err);
    if (rc)
        return rc;
    if (current && !differs(row, current, "schedule_type") && !differs(row, current, "cron_expression") &&
        !differs(row, current, "interval_value") && !differs(row, current, "timezone") &&
        !differs(row, current, "is_active")) {
        /* An older rule may be none of ours. next_run_at is the scheduler's: writing it back could undo its
         * progress. */
        json_object_del(row, "next_run_at");
        return 0;
    }
    int64_t next_ms = 0;
    rc = next_run(row, now_ms, &next_ms, field, err);
    if (rc)
        return rc;
    bool active = json_is_true(json_object_get(row, "is_active"));
    if (active && next_ms) {
        char text[CLOCK_ISO8601_SIZE];
        clock_iso8601(next_ms, text);
        json_object_set_new(row, "next_run_at", json_string(text));
    } else {
        json_object_set_new(row, "next_run_at", json_null());
    }
    return 0;
}

/* --- all --- */

struct column_default {
    const char *column;
    const char *json; /* text of the default; NULL = none */
};

static const struct column_default database_defaults[] = {{"name", NULL},
                                                          {"description", NULL},
                                                          {"db_type", NULL},
                                                          {"host", NULL},
                                                          {"port", NULL},
                                                          {"username", NULL},
                                                          {"database_name", NULL},
                                                          {"password_ref", NULL},
                                                          {"source_path", NULL},
                                                          {"source_argv", NULL},
                                                          {"is_active", "true"},
                                                          {"group_id", NULL},
                                                          {0}};
static const struct column_default assignment_defaults[] = {{"destination_id", NULL}, {"database_id", NULL},
                                                            {"schedule_id", NULL},    {"priority", NULL},
                                                            {"enabled", "true"},      {0}};
static const struct column_default group_defaults[] = {{"name", NULL}, {"description", NULL}, {0}};
static const struct column_default destination_defaults[] = {
    {"name", NULL},
    {"storage_type", NULL},
    {"base_path", NULL},
    {"storage_config", NULL},
    {"credentials_ref", NULL},
    {"priority", "0"},
    {"queue", "\"default\""},
    {"max_concurrent", NULL},
    {"bandwidth_limit", NULL},
    {"path_template", "\"{database}/{yyyy}/{mm}/{dd}/{name}.{ext}\""},
    {"disk_identity", NULL},
    {"enabled", "true"},
    {0}};
static const struct column_default schedule_defaults[] = {{"name", NULL},
                                                          {"description", NULL},
                                                          {"schedule_type", "\"cron\""},
                                                          {"cron_expression", NULL},
                                                          {"interval_value", NULL},
                                                          {"database_id", NULL},
                                                          {"timezone", "\"UTC\""},
                                                          {"misfire_policy", "\"once\""},
                                                          {"ordering", "\"parallel\""},
                                                          {"is_active", "true"},
                                                          {"next_run_at", NULL},
                                                          {0}};

/* changes over current over defaults; only columns that can be edited, and the id. */
static json_t *overlay(const struct column_default *defaults, const json_t *current, const json_t *changes)
{
    json_t *row = json_object();
    for (int i = 0; row && defaults[i].column; i++) {
        json_t *value = json_object_get(changes, defaults[i].column);
        if (value == NULL)
            value = json_object_get(current, defaults[i].column);
        if (value && !json_is_null(value))
            json_object_set(row, defaults[i].column, value);
        else if (defaults[i].json)
            json_object_set_new(row, defaults[i].column, json_loads(defaults[i].json, JSON_DECODE_ANY, NULL));
        else
            json_object_set_new(row, defaults[i].column, json_null());
    }
    if (current)
        json_object_set(row, "id", json_object_get(current, "id"));
    return row;
}

/* What can't be checked any more can still be switched off. */
static bool only_disables(const json_t *changes)
{
    const json_t *enabled = json_object_get(changes, "enabled");
    const json_t *active = json_object_get(changes, "is_active");
    return json_object_size(changes) == 1 && (json_is_false(enabled) || json_is_false(active));
}

/* What a database is called and where it belongs may change while its source can't be checked, or never could
 * be: one of the older system's types, a disk that is not mounted now. */
static bool leaves_source(const json_t *current, const json_t *changes)
{
    static const char *const columns[] = {"db_type",       "host",         "port",        "username",
                                          "database_name", "password_ref", "source_path", "source_argv"};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (json_object_get(changes, columns[i]))
            return false;
    bool active = json_is_true(json_object_get(current, "is_active"));
    return active || !json_is_true(json_object_get(changes, "is_active"));
}

/* Nothing of a row that is there needs the check of its kind. */
static bool needs_no_check(enum catalog_kind kind, const json_t *current, const json_t *changes)
{
    return current &&
           (only_disables(changes) || (kind == CATALOG_DATABASE && leaves_source(current, changes)));
}

/* Without a type, or with an unknown one, no path is looked at. */
bool catalog_apply_blocks(enum catalog_kind kind, const json_t *current, const json_t *changes)
{
    const char *column = kind == CATALOG_DATABASE ? "db_type" : "storage_type";
    const char *type = text_of(changes, column);
    if ((kind != CATALOG_DATABASE && kind != CATALOG_DESTINATION) || needs_no_check(kind, current, changes))
        return false;
    if (type == NULL)
        type = text_of(current, column);
    if (type == NULL)
        return false;
    return kind == CATALOG_DESTINATION ? strncmp(type, "local", 5) == 0
                                       : strcasecmp(type, "file") == 0 || strcasecmp(type, "directory") == 0;
}

/* What is as it was isn't written again: current may be redacted, or older than the row is by now. */
static void keep_changes(json_t *row, const json_t *current)
{
    static const char *const identity[] = {"id", "name", "database_id"};
    const char *column;
    json_t *value;
    void *next;
    json_object_foreach_safe(row, next, column, value)
    {
        bool needed = !json_equal(value, json_object_get(current, column));
        for (int i = 0; i < 3; i++)
            needed |= strcmp(column, identity[i]) == 0;
        if (!needed)
            json_object_del(row, column);
    }
}

int catalog_apply(enum catalog_kind kind, const json_t *current, const json_t *changes,
                  const struct settings *settings, int64_t now_ms, json_t **ret_row, const char **ret_field,
                  struct error *err)
{
    static const struct column_default *const defaults[] = {[CATALOG_DATABASE] = database_defaults,
                                                            [CATALOG_DESTINATION] = destination_defaults,
                                                            [CATALOG_SCHEDULE] = schedule_defaults,
                                                            [CATALOG_GROUP] = group_defaults,
                                                            [CATALOG_ASSIGNMENT] = assignment_defaults};
    const char *wrong = NULL, **field = ret_field ? ret_field : &wrong;
    *field = NULL;
    json_t *row = overlay(defaults[kind], current, changes);
    if (row == NULL)
        return out_of_memory(err);
    int rc = 0;
    /* an older row keeps a name that would not be accepted now */
    if (kind != CATALOG_ASSIGNMENT && (current == NULL || differs(row, current, "name")))
        rc = check_name(catalog_kind_name(kind), text_of(row, "name"), field, err);
    if (rc == 0 && !needs_no_check(kind, current, changes)) {
        switch (kind) {
        case CATALOG_DATABASE:
            rc = check_database(row, settings, field, err);
            break;
        case CATALOG_DESTINATION:
            rc = check_destination(row, current, changes, settings, field, err);
            break;
        case CATALOG_SCHEDULE:
            rc = check_schedule(row, current, now_ms, field, err);
            break;
        case CATALOG_ASSIGNMENT:
            rc = check_range(row, "priority", 0, INT_MAX, field, err);
            break;
        case CATALOG_GROUP:
            break;
        }
    }
    if (rc) {
        json_decref(row);
        return rc;
    }
    if (kind == CATALOG_SCHEDULE && current && only_disables(changes))
        json_object_set_new(row, "next_run_at", json_null());
    if (current)
        keep_changes(row, current);
    *ret_row = row;
    return 0;
}
