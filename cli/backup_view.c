#include "backup_view.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "output.h"

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static int64_t number_of(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static const char *copy_name(const json_t *copy)
{
    const char *name = text_of(copy, "storage_name");
    return *name ? name : text_of(copy, "storage_type");
}

/* Adds "copies": "1 of 2", and "size" of what is stored. */
static void add_summary(json_t *backup)
{
    int completed = 0;
    size_t i;
    const json_t *copy;
    const json_t *copies = json_object_get(backup, "destinations");
    json_t *size = json_object_get(backup, "artifact_size");
    json_array_foreach(copies, i, copy)
    {
        if (strcmp(text_of(copy, "status"), "completed") != 0)
            continue;
        completed++;
        if (json_is_null(size))
            size = json_object_get(copy, "file_size");
    }
    char text[32];
    snprintf(text, sizeof text, "%d of %zu", completed, json_array_size(copies));
    json_object_set_new(backup, "copies", json_string(text));
    json_object_set(backup, "size", size ? size : json_null());
}

void backup_view_list(json_t *backups)
{
    static const struct output_column columns[] = {{"ID", "id", OUTPUT_NUMBER},
                                                   {"NAME", "name", OUTPUT_TEXT},
                                                   {"STATUS", "status", OUTPUT_TEXT},
                                                   {"COPIES", "copies", OUTPUT_TEXT},
                                                   {"SIZE", "size", OUTPUT_SIZE},
                                                   {"CREATED (UTC)", "created_at", OUTPUT_TIME},
                                                   {"TOOK", "duration_seconds", OUTPUT_SECONDS},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    size_t i;
    json_t *backup;
    json_array_foreach(backups, i, backup) add_summary(backup);
    output_table(backups, columns, "no backups yet; start one with backupctl backup run DATABASE");
}

/* Adds "name" and "path" as people know them. */
static void add_place(json_t *copy)
{
    char path[4200];
    const char *base = text_of(copy, "base_path");
    size_t n = strlen(base);
    bool slash = n > 0 && base[n - 1] != '/';
    snprintf(path, sizeof path, "%s%s%s", base, slash ? "/" : "", text_of(copy, "file_path"));
    json_object_set_new(copy, "path", json_string(path));
    json_object_set_new(copy, "name", json_string(copy_name(copy)));
}

static void print_errors(const json_t *copies)
{
    size_t i;
    const json_t *copy;
    bool first = true;
    json_array_foreach(copies, i, copy)
    {
        static const struct output_column columns[] = {{"Where", "name", OUTPUT_TEXT},
                                                       {"Error", "error_message", OUTPUT_TEXT},
                                                       {"Next attempt", "next_attempt_at", OUTPUT_TIME},
                                                       {"Held by", "lease_owner", OUTPUT_TEXT},
                                                       {NULL, NULL, OUTPUT_TEXT}};
        if (*text_of(copy, "error_message") == '\0')
            continue;
        if (first)
            putchar('\n');
        first = false;
        output_facts(copy, columns);
    }
}

void backup_view_one(json_t *backup)
{
    static const struct output_column facts[] = {{"Backup", "name", OUTPUT_TEXT},
                                                 {"Id", "id", OUTPUT_NUMBER},
                                                 {"Database", "database", OUTPUT_TEXT},
                                                 {"Schedule", "schedule", OUTPUT_TEXT},
                                                 {"Status", "status", OUTPUT_TEXT},
                                                 {"Error", "error_message", OUTPUT_TEXT},
                                                 {"Copies", "copies", OUTPUT_TEXT},
                                                 {"Ordering", "ordering", OUTPUT_TEXT},
                                                 {"Created", "created_at", OUTPUT_TIME},
                                                 {"Started", "started_at", OUTPUT_TIME},
                                                 {"Ended", "completed_at", OUTPUT_TIME},
                                                 {"Took", "duration_seconds", OUTPUT_SECONDS},
                                                 {"Staged dump", "artifact_state", OUTPUT_TEXT},
                                                 {"Dump size", "artifact_source_bytes", OUTPUT_SIZE},
                                                 {"Compressed", "artifact_size", OUTPUT_SIZE},
                                                 {"SHA-256", "artifact_sha256", OUTPUT_CHECKSUM},
                                                 {"Staged on", "artifact_host", OUTPUT_TEXT},
                                                 {NULL, NULL, OUTPUT_TEXT}};
    static const struct output_column columns[] = {{"DESTINATION", "name", OUTPUT_TEXT},
                                                   {"TYPE", "storage_type", OUTPUT_TEXT},
                                                   {"PRIORITY", "priority", OUTPUT_NUMBER},
                                                   {"STATUS", "status", OUTPUT_TEXT},
                                                   {"ATTEMPTS", "attempts", OUTPUT_NUMBER},
                                                   {"SIZE", "file_size", OUTPUT_SIZE},
                                                   {"CHECKSUM", "checksum", OUTPUT_CHECKSUM},
                                                   {"TOOK", "upload_duration_seconds", OUTPUT_SECONDS},
                                                   {"PATH", "path", OUTPUT_TEXT},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    json_t *copies = json_object_get(backup, "destinations");
    size_t i;
    json_t *copy;
    add_summary(backup);
    json_array_foreach(copies, i, copy) add_place(copy);
    if (strcmp(text_of(backup, "artifact_state"), "ready") != 0)
        json_object_set_new(backup, "artifact_host", json_null());
    output_facts(backup, facts);
    putchar('\n');
    output_table(copies, columns, "no destination was assigned when it was made");
    print_errors(copies);
}

void backup_view_progress(const json_t *backup, char *out, size_t size)
{
    char human[32];
    const char *state = text_of(backup, "artifact_state");
    if (strcmp(state, "none") == 0) {
        snprintf(out, size, "waiting for a worker");
        return;
    }
    if (strcmp(state, "producing") == 0) {
        snprintf(out, size, "dumping: %s read",
                 output_size(number_of(backup, "artifact_source_bytes"), human));
        return;
    }
    size_t used = 0;
    size_t i;
    const json_t *copy;
    int64_t whole = number_of(backup, "artifact_size");
    out[0] = '\0';
    json_array_foreach(json_object_get(backup, "destinations"), i, copy)
    {
        const char *status = text_of(copy, "status");
        char amount[16] = "";
        if (strcmp(status, "uploading") == 0 && whole > 0)
            snprintf(amount, sizeof amount, " %lld %%",
                     (long long)(100 * number_of(copy, "bytes_done") / whole));
        int n =
            snprintf(out + used, size - used, "%s%s %s%s", used ? ", " : "", copy_name(copy), status, amount);
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}
