#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "artifact/child_environment.h"
#include "auth/secret.h"
#include "catalog_commands.h"
#include "copies.h"
#include "destination_place.h"
#include "doctor.h"

static const char *text_of(const json_t *row, const char *column)
{
    const char *text = json_string_value(json_object_get(row, column));
    return text && *text ? text : NULL;
}

/* --- programs --- */

/* The first line that `program --version` prints. False: it can't be run. type: of the sources it is for. */
static bool version_of(const char *program, const char *type, char *out, size_t size)
{
    int ends[2];
    char **environment = child_environment_new(&(struct source){.db_type = type}, NULL);
    if (environment == NULL || pipe(ends)) {
        child_environment_free(environment);
        return false;
    }
    char *argv[] = {(char *)program, "--version", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    int failed = posix_spawnp(&child, program, &actions, NULL, argv, environment);
    child_environment_free(environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    size_t used = 0;
    for (ssize_t n = 1; !failed && n > 0 && used<size - 1; used += n> 0 ? (size_t)n : 0)
        n = read(ends[0], out + used, size - 1 - used);
    close(ends[0]);
    out[used] = '\0';
    out[strcspn(out, "\n")] = '\0';
    int status = 1;
    return !failed && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int64_t count_sources(struct doctor *d, const char *type)
{
    PGresult *r;
    struct error err = {0};
    if (!d->has_postgresql ||
        cli_query(d->cli, "SELECT count(*) FROM databases WHERE is_active AND db_type::text = $1", 1, &type,
                  &r, &err))
        return 0;
    int64_t n = pg_int(r, 0, 0, 0);
    PQclear(r);
    return n;
}

static bool check_program(struct doctor *d, const char *check, const char *program, const char *type,
                          const char *advice, char *version, size_t size)
{
    if (version_of(program, type, version, size)) {
        doctor_find(d, DOCTOR_OK, check, NULL, "%s", version);
        return true;
    }
    doctor_find(d, count_sources(d, type) ? DOCTOR_FAIL : DOCTOR_WARN, check, advice,
                "'%s' can't be run; databases of type %s need it", program, type);
    return false;
}

void doctor_check_programs(struct doctor *d)
{
    char version[200];
    if (check_program(d, "pg_dump", d->cli->settings.pg_dump, "postgresql",
                      "apt install postgresql-client, or set BM_PG_DUMP", version, sizeof version)) {
        const char *digits = strpbrk(version, "0123456789");
        d->pg_dump_major = digits ? atoi(digits) : 0;
    }
    check_program(d, "tar", d->cli->settings.tar, "directory", "apt install tar, or set BM_TAR", version,
                  sizeof version);
}

/* --- directories --- */

static void check_space(struct doctor *d, const char *check, const char *path, int64_t needed)
{
    struct statvfs fs;
    char free_text[32];
    char needed_text[32];
    if (statvfs(path, &fs))
        return;
    int64_t free_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
    bool low = free_bytes < needed || fs.f_bavail < fs.f_blocks / 20;
    output_size(free_bytes, free_text);
    output_size(needed, needed_text);
    if (low)
        doctor_find(d, DOCTOR_WARN, check, "free some space, or use a larger file system",
                    "%s free at %s; the largest backup so far takes %s", free_text, path, needed_text);
    else
        doctor_find(d, DOCTOR_OK, check, NULL, "%s, %s free", path, free_text);
}

static int64_t largest_artifact(struct doctor *d)
{
    PGresult *r;
    struct error err = {0};
    if (!d->has_postgresql ||
        cli_query(d->cli, "SELECT coalesce(max(artifact_size), 0) FROM backups", 0, NULL, &r, &err))
        return 0;
    int64_t size = pg_int(r, 0, 0, 0);
    PQclear(r);
    return size;
}

void doctor_check_staging(struct doctor *d)
{
    const char *dir = d->cli->settings.staging_dir;
    struct stat st;
    if (stat(dir, &st) && errno == ENOENT)
        doctor_find(d, DOCTOR_WARN, "staging directory", "a worker makes it at its start, when its user may",
                    "%s is missing", dir);
    else if (stat(dir, &st))
        doctor_find(d, DOCTOR_FAIL, "staging directory", "check BM_STAGING_DIR and the rights on its parents",
                    "%s: %s", dir, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        doctor_find(d, DOCTOR_FAIL, "staging directory", "set BM_STAGING_DIR to a directory",
                    "%s is not a directory", dir);
    else if (access(dir, W_OK | X_OK))
        doctor_find(d, DOCTOR_FAIL, "staging directory", "give the worker's user the right to write there",
                    "%s: %s", dir, strerror(errno));
    else
        check_space(d, "staging directory", dir, 2 * largest_artifact(d));
}

/* --- destinations --- */

static bool is_ours(const char *queues, const char *queue)
{
    size_t n = strlen(queue);
    for (const char *at = queues; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        at += strspn(at, " ");
        if (strncmp(at, queue, n) == 0 && strchr(", ", at[n]))
            return true;
    }
    return false;
}

static void check_destination(struct doctor *d, const json_t *row, int64_t largest)
{
    struct error err = {0};
    struct destination_place destination = {0};
    const struct storage_place *place = &destination.place;
    struct storage_stat_result stat;
    char check[300];
    snprintf(check, sizeof check, "destination %s", text_of(row, "name"));
    if (!json_is_true(json_object_get(row, "enabled"))) {
        doctor_find(d, DOCTOR_OK, check, NULL, "disabled");
        return;
    }
    if (!is_ours(d->cli->settings.queues, text_of(row, "queue"))) {
        doctor_find(d, DOCTOR_OK, check, NULL,
                    "served by workers of queue %s, not by BM_QUEUES here; run doctor on their machine",
                    text_of(row, "queue"));
        return;
    }
    char key[1100];
    if (destination_place_open(d->cli, catalog_row_id(row), &destination, &err) == 0 &&
        storage_place_key(place, "backupmanager-doctor", key, sizeof key))
        copies_stat(d->cli, place, key, &stat, &err);
    bool disk = place->driver && (place->driver->capabilities & STORAGE_CAP_LOCAL_PATH);
    const char *base = place->location.base_path;
    if (err.code)
        doctor_find(d, DOCTOR_FAIL, check,
                    strncmp(text_of(row, "storage_type"), "local", 5) == 0
                        ? "mount the right disk, or correct it with backupctl destination update; "
                          "backupctl destination test goes on from here"
                        : "backupctl destination test says which step fails and what to allow",
                    "%s", err.message);
    else if (disk && access(base, W_OK | X_OK))
        doctor_find(d, DOCTOR_FAIL, check, "give the worker's user the right to write there", "%s: %s", base,
                    strerror(errno));
    else if (disk)
        check_space(d, check, base, largest);
    else
        doctor_find(d, DOCTOR_OK, check, NULL, "reachable");
    destination_place_close(&destination);
}

static json_t *rows_of(struct doctor *d, enum catalog_kind kind)
{
    struct error err = {0};
    PGresult *result;
    struct pg_request *request = catalog_request(d->cli, &err);
    if (request == NULL)
        return NULL;
    if (catalog_add_select(request, kind, NULL, 0)) {
        pg_request_free(request);
        return NULL;
    }
    if (catalog_run(request, &result, &err))
        return NULL;
    json_t *rows = catalog_read_rows(result, kind);
    PQclear(result);
    return rows;
}

void doctor_check_destinations(struct doctor *d)
{
    if (!d->has_postgresql)
        return;
    json_t *rows = rows_of(d, CATALOG_DESTINATION);
    int64_t largest = largest_artifact(d);
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) check_destination(d, row, largest);
    if (json_array_size(rows) == 0)
        doctor_find(d, DOCTOR_WARN, "destinations", "backupctl destination add --help", "none is configured");
    json_decref(rows);
}

/* --- sources --- */

static void check_postgresql_source(struct doctor *d, const char *check, const json_t *row)
{
    struct error err = {0};
    char *password = NULL;
    char port[16] = "";
    const char *reference = text_of(row, "password_ref");
    if (reference && cli_secret(d->cli, reference, &password, &err)) {
        doctor_find(d, DOCTOR_WARN, check,
                    "run doctor with the worker's user and environment, or repair the secret", "%s",
                    err.message);
        return;
    }
    if (json_is_integer(json_object_get(row, "port")))
        snprintf(port, sizeof port, "%d", (int)json_integer_value(json_object_get(row, "port")));
    const char *const keywords[] = {
        "host", "port", "user", "dbname", "password", "connect_timeout", "application_name", NULL};
    const char *const values[] = {
        text_of(row, "host"), port, text_of(row, "username"), text_of(row, "database_name"), password, "5",
        "backupctl doctor",   NULL};
    PGconn *conn = PQconnectdbParams(keywords, values, 0);
    secret_free(password);
    int major = PQserverVersion(conn) / 10000;
    if (PQstatus(conn) != CONNECTION_OK) {
        error_set(&err, ERROR_UNREACHABLE, true, "%s", PQerrorMessage(conn)); /* one line of it */
        doctor_find(d, DOCTOR_WARN, check, "check host, port, user and password: backupctl database show",
                    "%s", err.message);
    } else if (d->pg_dump_major && d->pg_dump_major < major) {
        doctor_find(
            d, DOCTOR_FAIL, check, "install the pg_dump of the server's version, and set BM_PG_DUMP to it",
            "the server is PostgreSQL %d; pg_dump %d can't dump a newer server", major, d->pg_dump_major);
    } else {
        doctor_find(d, DOCTOR_OK, check, NULL, "reachable, PostgreSQL %d", major);
    }
    PQfinish(conn);
}

static void check_source(struct doctor *d, const json_t *row)
{
    char check[300];
    const char *type = text_of(row, "db_type");
    const char *path = text_of(row, "source_path");
    snprintf(check, sizeof check, "database %s", text_of(row, "name"));
    if (!json_is_true(json_object_get(row, "is_active")))
        return;
    if (json_array_size(json_object_get(row, "destinations")) == 0)
        doctor_find(d, DOCTOR_WARN, check, "backupctl destination assign NAME --database ...",
                    "no destination is assigned: its backups fail");
    if (type && strcmp(type, "postgresql") == 0)
        check_postgresql_source(d, check, row);
    else if (path && access(path, R_OK))
        doctor_find(d, DOCTOR_FAIL, check, "repair the path, or backupctl database update --path", "%s: %s",
                    path, strerror(errno));
    else if (path)
        doctor_find(d, DOCTOR_OK, check, NULL, "%s can be read", path);
}

void doctor_check_sources(struct doctor *d)
{
    if (!d->has_postgresql)
        return;
    json_t *rows = rows_of(d, CATALOG_DATABASE);
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) check_source(d, row);
    json_decref(rows);
}
