/*
 * backupctl secret: the keys of what is encrypted at rest.
 *
 * rotate goes through both tables in the order of their ids, a bounded batch at a time, and writes what it
 * could encrypt anew where the row still has the text that was read. A pass that changed something, or was
 * overtaken, is followed by another one: a backup made meanwhile has a copy of what its destination had.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "catalog_commands.h"
#include "storage/config.h"
#include "store/sealed_configs.h"

enum { BATCH = 200, MAX_PASSES = 5, MAX_ARRAY = 64 << 20 };

/* --- rotate --- */

struct rotation {
    struct cli *cli;
    const struct keyring *keyring;
    int64_t changed[SEALED_N_TABLES];
    int64_t failed[SEALED_N_TABLES]; /* of this pass */
    bool again;
    struct error first; /* the first failure of this pass, and where */
};

struct batch {
    struct strbuf ids, before, after;
    int n;
};

static void batch_init(struct batch *b)
{
    struct strbuf *const all[] = {&b->ids, &b->before, &b->after};
    for (int i = 0; i < 3; i++) {
        strbuf_init(all[i], MAX_ARRAY);
        pg_array_begin(all[i]);
    }
    b->n = 0;
}

static void batch_deinit(struct batch *b)
{
    strbuf_deinit(&b->ids);
    strbuf_deinit(&b->before);
    strbuf_deinit(&b->after);
}

static void row_failed(struct rotation *r, enum sealed_table table, int64_t id, const struct error *err)
{
    r->failed[table]++;
    if (r->first.code)
        return;
    r->first = *err;
    error_context(&r->first, "%s id %lld", sealed_table_name(table), (long long)id);
}

static void take_row(struct rotation *r, enum sealed_table table, int64_t id, const char *text,
                     struct batch *b)
{
    json_t *config = NULL, *anew = NULL;
    struct error err = {0};
    int rc = storage_config_parse(text, &config, &err);
    const char *key = rc ? NULL : storage_config_key_id(config);
    if (key && strcmp(key, keyring_current_id(r->keyring)) != 0)
        rc = storage_config_reseal(config, r->keyring, &anew, &err);
    char *dump = anew ? json_dumps(anew, JSON_COMPACT) : NULL;
    if (anew && dump == NULL)
        rc = error_set(&err, ERROR_SYSTEM, true, "out of memory");
    if (rc) {
        row_failed(r, table, id, &err);
    } else if (dump) {
        pg_array_int(&b->ids, id);
        pg_array_text(&b->before, text);
        pg_array_text(&b->after, dump);
        b->n++;
    }
    free(dump);
    json_decref(anew);
    json_decref(config);
}

static int write_batch(struct rotation *r, enum sealed_table table, struct batch *b, struct error *err)
{
    PGresult *result;
    pg_array_end(&b->ids);
    pg_array_end(&b->before);
    pg_array_end(&b->after);
    struct pg_request *request = catalog_request(r->cli, err);
    if (request == NULL)
        return err->code;
    if (b->ids.failed || b->before.failed || b->after.failed ||
        sealed_add_replace(request, table, strbuf_cstr(&b->ids), strbuf_cstr(&b->before),
                           strbuf_cstr(&b->after))) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    r->changed[table] += PQntuples(result);
    r->again = true;
    PQclear(result);
    return 0;
}

static int read_batch(struct rotation *r, enum sealed_table table, int64_t after, PGresult **ret,
                      struct error *err)
{
    struct pg_request *request = catalog_request(r->cli, err);
    if (request == NULL)
        return err->code;
    if (sealed_add_select(request, table, after, BATCH)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    return catalog_run(request, ret, err);
}

static int rotate_table(struct rotation *r, enum sealed_table table, struct error *err)
{
    int64_t after = 0;
    int n = BATCH, rc = 0;
    while (rc == 0 && n == BATCH) {
        PGresult *rows;
        struct batch batch;
        rc = read_batch(r, table, after, &rows, err);
        if (rc)
            break;
        n = PQntuples(rows);
        batch_init(&batch);
        for (int i = 0; i < n; i++) {
            after = pg_int(rows, i, 0, 0);
            take_row(r, table, after, pg_text(rows, i, 1), &batch);
        }
        PQclear(rows);
        if (batch.n > 0)
            rc = write_batch(r, table, &batch, err);
        batch_deinit(&batch);
    }
    return rc;
}

static int rotate_all(struct rotation *r, struct error *err)
{
    int rc = 0;
    r->again = true;
    for (int pass = 0; rc == 0 && r->again && pass < MAX_PASSES; pass++) {
        r->again = false;
        r->first = (struct error){0};
        for (int table = 0; rc == 0 && table < SEALED_N_TABLES; table++) {
            r->failed[table] = 0;
            rc = rotate_table(r, (enum sealed_table)table, err);
        }
    }
    if (rc == 0 && r->again)
        rc = error_set(err, ERROR_CONFLICT, true,
                       "others kept changing these rows; run it again when they have finished");
    return rc;
}

static void print_rotation(const struct rotation *r, const struct arguments *args)
{
    const char *key = keyring_current_id(r->keyring);
    if (args->json) {
        json_t *facts = json_pack("{s:s}", "key_id", key);
        for (int t = 0; t < SEALED_N_TABLES; t++)
            json_object_set_new(facts, sealed_table_name((enum sealed_table)t),
                                json_pack("{s:I, s:I}", "encrypted_anew", (json_int_t)r->changed[t], "failed",
                                          (json_int_t)r->failed[t]));
        output_json(facts);
        json_decref(facts);
        return;
    }
    for (int t = 0; t < SEALED_N_TABLES; t++)
        printf("%s: %lld encrypted anew with key %s, %lld could not be opened\n",
               sealed_table_name((enum sealed_table)t), (long long)r->changed[t], key,
               (long long)r->failed[t]);
}

static int run_rotate(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct rotation r = {.cli = cli, .keyring = cli_keyring(cli, err)};
    if (r.keyring == NULL)
        return err->code;
    if (keyring_current_id(r.keyring)[0] == '\0')
        return error_set(err, ERROR_INPUT, false,
                         "BM_ENCRYPTION_KEY_REF is not set: name the new key first, then those in use, "
                         "comma-separated; openssl rand -base64 32 makes one");
    int rc = rotate_all(&r, err);
    print_rotation(&r, args);
    int64_t failed = r.failed[SEALED_DESTINATIONS] + r.failed[SEALED_COPIES];
    if (rc == 0 && failed > 0) {
        *err = r.first;
        error_context(err, "%lld rows were left as they are; the first", (long long)failed);
        rc = err->code;
    }
    return rc;
}

/* --- status --- */

/* The object of that key in keys; made when it is new. */
static json_t *entry_of(json_t *keys, const struct keyring *keyring, const char *id)
{
    size_t i;
    json_t *entry;
    json_array_foreach(keys, i, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "key_id")), id) == 0)
            return entry;
    }
    entry =
        json_pack("{s:s, s:b, s:b, s:i, s:i}", "key_id", id, "current",
                  strcmp(id, keyring_current_id(keyring)) == 0, "available", (int)keyring_has(keyring, id),
                  sealed_table_name(SEALED_DESTINATIONS), 0, sealed_table_name(SEALED_COPIES), 0);
    json_array_append_new(keys, entry);
    return entry;
}

static int count_table(struct cli *cli, const struct keyring *keyring, enum sealed_table table, json_t *keys,
                       struct error *err)
{
    PGresult *rows;
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (sealed_add_count(request, table)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    int rc = catalog_run(request, &rows, err);
    for (int i = 0; rc == 0 && i < PQntuples(rows); i++) {
        json_t *config = NULL;
        const char *name = sealed_table_name(table);
        const char *id = storage_config_parse(pg_text(rows, i, 0), &config, NULL)
                             ? "malformed"
                             : storage_config_key_id(config);
        if (id) {
            json_t *entry = entry_of(keys, keyring, id);
            json_int_t n = json_integer_value(json_object_get(entry, name)) + pg_int(rows, i, 1, 0);
            json_object_set_new(entry, name, json_integer(n));
        }
        json_decref(config);
    }
    if (rc == 0)
        PQclear(rows);
    return rc;
}

static int run_status(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"KEY", "key_id", OUTPUT_TEXT},
                                                   {"CURRENT", "current", OUTPUT_YESNO},
                                                   {"AVAILABLE", "available", OUTPUT_YESNO},
                                                   {"DESTINATIONS", "destinations", OUTPUT_NUMBER},
                                                   {"COPIES", "backup_destinations", OUTPUT_NUMBER},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    const struct keyring *keyring = cli_keyring(cli, err);
    if (keyring == NULL)
        return err->code;
    json_t *keys = json_array();
    int rc = 0;
    if (keyring_current_id(keyring)[0])
        entry_of(keys, keyring, keyring_current_id(keyring));
    for (int t = 0; rc == 0 && t < SEALED_N_TABLES; t++)
        rc = count_table(cli, keyring, (enum sealed_table)t, keys, err);
    if (rc == 0 && args->json)
        output_json(keys);
    else if (rc == 0)
        output_table(keys, columns, "nothing is encrypted, and BM_ENCRYPTION_KEY_REF is not set");
    json_decref(keys);
    return rc;
}

static const struct command commands[] = {
    {"status", "", "Which keys encrypt settings, in how many rows",
     "A key is available when BM_ENCRYPTION_KEY_REF names it; current is the one that encrypts.", 0, 0, false,
     true, 0, NULL, run_status},
    {"rotate", "", "Encrypt settings anew with the current key",
     "BM_ENCRYPTION_KEY_REF names the new key first, then the older ones: file:/run/secrets/new,file:/run/secrets/old.\n"
     "Give it to the workers before. Afterwards `secret status` says which keys nothing needs any more.",
     0, 0, false, true, 0, NULL, run_rotate},
    {0}};

const struct group group_secret = {"secret", "Secrets: the keys of what is encrypted at rest", commands};
