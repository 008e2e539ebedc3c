#include "base/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option_type { TEXT, NUMBER, LEVEL, FORMAT };

#define ALL (SETTINGS_SCHEDULER | SETTINGS_WORKER | SETTINGS_API | SETTINGS_CLI)
#define STORES (SETTINGS_WORKER | SETTINGS_API | SETTINGS_CLI)
#define QUEUE (SETTINGS_SCHEDULER | SETTINGS_WORKER | SETTINGS_CLI)

struct option_row {
    const char *name; /* environment name; the long option is derived from it */
    enum option_type type;
    size_t offset;
    unsigned programs;
    bool secret;
    const char *fallback;
    int64_t min, max;
    const char *help;
};

#define AT(field) offsetof(struct settings, field)

static const struct option_row options[] = {
    {"BM_DATABASE_URL", TEXT, AT(database_url), ALL, true, "", 0, 0,
     "PostgreSQL: libpq connection string or URI"},
    {"BM_REDIS_URL", TEXT, AT(redis_url), ALL, true, "redis://127.0.0.1:6379/0", 0, 0,
     "Redis: redis://[user:pass@]host:port/db or unix:///path"},
    {"BM_QUEUES", TEXT, AT(queues), QUEUE, false, "default", 0, 0, "queues to serve, comma-separated"},
    {"BM_CONCURRENCY", NUMBER, AT(concurrency), SETTINGS_WORKER, false, "16", 1, 1024, "jobs at once"},
    {"BM_STAGING_DIR", TEXT, AT(staging_dir), SETTINGS_WORKER | SETTINGS_CLI, false,
     "/var/lib/backupmanager/staging", 0, 0, "where artifacts are staged"},
    {"BM_HOST", TEXT, AT(host), SETTINGS_WORKER | SETTINGS_CLI, false, "", 0, 0,
     "name of this machine in rows and worker ids (default: its host name)"},
    {"BM_DRAIN_SECONDS", NUMBER, AT(drain_seconds), SETTINGS_WORKER, false, "30", 0, 86400,
     "time to finish on SIGTERM before jobs go back to the queue"},
    {"BM_LISTEN", TEXT, AT(listen), SETTINGS_API, false, "127.0.0.1:8000", 0, 0,
     "address of the HTTP listener"},
    {"BM_TRUSTED_PROXIES", TEXT, AT(trusted_proxies), SETTINGS_API, false, "", 0, 0,
     "addresses of reverse proxies (or unix), comma-separated, whose X-Forwarded-For and X-Forwarded-Proto count"},
    {"BM_COOKIE_SECURE", TEXT, AT(cookie_secure), SETTINGS_API, false, "auto", 0, 0,
     "whether browsers may send the session's cookie over https only: auto (when a trusted proxy says https), "
     "always or never"},
    {"BM_CORS_ORIGINS", TEXT, AT(cors_origins), SETTINGS_API, false, "", 0, 0,
     "origins whose pages may use the API from a browser, comma-separated (default: none)"},
    {"BM_DOCS_DIR", TEXT, AT(docs_dir), SETTINGS_API, false, "", 0, 0,
     "folder with Swagger UI's files for /docs (default: docs beside the program, or where it is installed)"},
    {"BM_LOG_LEVEL", LEVEL, AT(log_level), ALL, false, "info", 0, 0, "error, warn, info or debug"},
    {"BM_LOG_FORMAT", FORMAT, AT(log_format), ALL, false, "text", 0, 0, "text or json"},
    {"BM_RETRY_BASE_MS", NUMBER, AT(retry_base_ms), SETTINGS_WORKER, false, "2000", 1, 3600000,
     "backoff: window of the first retry"},
    {"BM_RETRY_CAP_MS", NUMBER, AT(retry_cap_ms), SETTINGS_WORKER, false, "300000", 1, 86400000,
     "backoff: largest window"},
    {"BM_MAX_ATTEMPTS", NUMBER, AT(max_attempts), SETTINGS_WORKER, false, "8", 1, 1000000,
     "attempts before a copy is failed for good"},
    {"BM_LEASE_SECONDS", NUMBER, AT(lease_seconds), QUEUE, false, "60", 2, 86400,
     "how long a silent worker keeps its jobs"},
    {"BM_RECONCILE_SECONDS", NUMBER, AT(reconcile_seconds), QUEUE, false, "30", 1, 86400,
     "period in which Redis is compared with PostgreSQL"},
    {"BM_RELAY_SECONDS", NUMBER, AT(relay_seconds), QUEUE, false, "5", 1, 3600,
     "period in which rows not yet queued are looked for"},
    {"BM_HANDOVER_SECONDS", NUMBER, AT(handover_seconds), QUEUE, false, "900", 1, 604800,
     "how long a job waits for the host that has its artifact"},
    {"BM_STAGING_KEEP_HOURS", NUMBER, AT(staging_keep_hours), SETTINGS_WORKER, false, "24", 0, 87600,
     "how long the staged artifact of an unfinished backup is kept for a retry"},
    {"BM_STARVATION_SECONDS", NUMBER, AT(starvation_seconds), SETTINGS_WORKER, false, "60", 1, 86400,
     "after this wait a low priority takes its turn"},
    {"BM_MISFIRE_GRACE_SECONDS", NUMBER, AT(misfire_grace_seconds), SETTINGS_SCHEDULER, false, "300", 1,
     86400, "a run at most this late is not a misfire"},
    {"BM_MISFIRE_CAP", NUMBER, AT(misfire_cap), SETTINGS_SCHEDULER, false, "24", 1, 1000,
     "most missed runs that misfire policy `all` makes up for"},
    {"BM_AUDIT_RETENTION_DAYS", NUMBER, AT(audit_retention_days), SETTINGS_SCHEDULER, false, "0", 0, 36500,
     "rows of the audit log older than this are removed; 0: kept for ever"},
    {"BM_DEAD_MAX", NUMBER, AT(dead_max), QUEUE, false, "10000", 1, 10000000,
     "length of a queue's dead list"},
    {"BM_DATABASE_CONNECTIONS", NUMBER, AT(database_connections), SETTINGS_WORKER, false, "2", 1, 16,
     "PostgreSQL connections for status writes"},
    {"BM_LEGACY_BASE_PATH", TEXT, AT(legacy_base_path), ALL, false, "./backups", 0, 0,
     "base of relative paths without a base_path"},
    {"BM_CREDENTIALS_DEFAULT", TEXT, AT(credentials_default), STORES, false, "", 0, 0,
     "how a bare name in credentials_ref is resolved, e.g. vault:kv/%s"},
    {"BM_ENCRYPTION_KEY_REF", TEXT, AT(encryption_key_ref), STORES, false, "", 0, 0,
     "where the keys of encrypted storage_config live (32 bytes, base64 or hex), e.g. file:/run/secrets/key; "
     "several, comma-separated, while keys are changed: the first encrypts"},
    {"BM_LEGACY_ENCRYPTION_KEY_REF", TEXT, AT(legacy_encryption_key_ref), SETTINGS_WORKER | SETTINGS_CLI,
     false, "", 0, 0, "where the older system's ENCRYPTION_KEY lives, for its encrypted passwords"},
    {"BM_COMMAND_ENVIRONMENT", TEXT, AT(command_environment), SETTINGS_WORKER, false, "", 0, 0,
     "variables that databases of type command get besides the usual ones (PATH, HOME, ...), comma-separated"},
    {"BM_PG_DUMP", TEXT, AT(pg_dump), SETTINGS_WORKER | SETTINGS_CLI, false, "pg_dump", 0, 0,
     "pg_dump to run"},
    {"BM_TAR", TEXT, AT(tar), SETTINGS_WORKER | SETTINGS_CLI, false, "tar", 0, 0, "tar to run"},
};

enum { N_OPTIONS = sizeof options / sizeof *options };

/* BM_STAGING_DIR -> staging-dir */
static void long_name(const struct option_row *o, char *out, size_t size)
{
    size_t n = 0;
    for (const char *p = o->name + 3; *p && n + 1 < size; p++)
        out[n++] = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    out[n] = '\0';
}

static int one_of(const char *value, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(value, names[i]) == 0)
            return i;
    return -1;
}

static int assign(struct settings *s, const struct option_row *o, const char *value, struct error *err)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    static const char *const formats[] = {"text", "json"};
    char *field = (char *)s + o->offset;
    switch (o->type) {
    case TEXT: {
        char *copy = strdup(value);
        if (copy == NULL)
            return error_set(err, ERROR_SYSTEM, false, "out of memory");
        free(*(char **)field);
        *(char **)field = copy;
        return 0;
    }
    case NUMBER: {
        char *end;
        errno = 0;
        long long number = strtoll(value, &end, 10);
        if (errno || end == value || *end || number < o->min || number > o->max)
            return error_set(err, ERROR_INPUT, false, "%s: '%s' is not a whole number from %lld to %lld",
                             o->name, value, (long long)o->min, (long long)o->max);
        *(int64_t *)field = number;
        return 0;
    }
    case LEVEL: {
        int i = one_of(value, levels, 4);
        if (i < 0)
            return error_set(err, ERROR_INPUT, false, "%s: '%s' is not error, warn, info or debug", o->name,
                             value);
        s->log_level = (enum log_level)i;
        return 0;
    }
    case FORMAT: {
        int i = one_of(value, formats, 2);
        if (i < 0)
            return error_set(err, ERROR_INPUT, false, "%s: '%s' is not text or json", o->name, value);
        s->log_format = (enum log_format)i;
        return 0;
    }
    }
    return 0;
}

static const struct option_row *find(const char *word, size_t n, unsigned program)
{
    char name[64];
    for (int i = 0; i < N_OPTIONS; i++) {
        long_name(&options[i], name, sizeof name);
        if ((options[i].programs & program) && strlen(name) == n && memcmp(name, word, n) == 0)
            return &options[i];
    }
    return NULL;
}

int settings_load(struct settings *s, enum settings_program program, int argc, char **argv, int *ret_next,
                  struct error *err)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const char *value = options[i].programs & program ? getenv(options[i].name) : NULL;
        int rc = assign(s, &options[i], value && *value ? value : options[i].fallback, err);
        if (rc)
            return rc;
    }
    int at = 1;
    while (at < argc && strncmp(argv[at], "--", 2) == 0) {
        const char *word = argv[at] + 2;
        const char *equals = strchr(word, '=');
        const struct option_row *o = find(word, equals ? (size_t)(equals - word) : strlen(word), program);
        if (o == NULL)
            break;
        const char *value = equals ? equals + 1 : at + 1 < argc ? argv[++at] : NULL;
        if (value == NULL)
            return error_set(err, ERROR_INPUT, false, "--%s needs a value", word);
        int rc = assign(s, o, value, err);
        if (rc)
            return rc;
        at++;
    }
    if (s->host[0] == '\0') {
        char name[256] = "localhost";
        gethostname(name, sizeof name - 1);
        free(s->host);
        s->host = strdup(name);
        if (s->host == NULL)
            return error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    *ret_next = at;
    return 0;
}

void settings_deinit(struct settings *s)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        if (options[i].type == TEXT) {
            char **field = (char **)((char *)s + options[i].offset);
            free(*field);
            *field = NULL;
        }
    }
}

void settings_help(FILE *out, enum settings_program program)
{
    fprintf(out, "Settings, from the environment or as a long option (which wins):\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct option_row *o = &options[i];
        if (!(o->programs & program))
            continue;
        char name[64];
        long_name(o, name, sizeof name);
        fprintf(out, "  %-26s --%s\n      %s", o->name, name, o->help);
        if (*o->fallback)
            fprintf(out, " [default: %s]", o->fallback);
        fputc('\n', out);
    }
}
