#include "backup_copies.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup.h"
#include "catalog_commands.h"
#include "copies.h"
#include "gunzip.h"
#include "output.h"

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

/* Reads the whole copy into fd (-1: nowhere) and compares it with what PostgreSQL records. */
static int read_copy(struct cli *cli, const struct copy *c, int fd, struct error *err)
{
    uint64_t size = 0;
    char sha256[STORAGE_SHA256_SIZE] = "";
    int rc = copies_get(cli, &c->place, c->key, fd, fd >= 0, &size, sha256, err);
    if (rc)
        return rc;
    if (c->checksum && strcmp(sha256, c->checksum) != 0)
        return error_set(err, ERROR_CORRUPT, false,
                         "the SHA-256 of the copy is %.12s..., recorded is %.12s...: it is damaged", sha256,
                         c->checksum);
    if (c->size >= 0 && size != (uint64_t)c->size)
        return error_set(err, ERROR_CORRUPT, false,
                         "the copy has %llu bytes, recorded are %lld: it is damaged",
                         (unsigned long long)size, (long long)c->size);
    return 0;
}

/* --- restore --- */

struct restore {
    const char *output; /* path, or "-" */
    char temporary[PATH_MAX];
    bool decode;
    int fd; /* of the temporary file, or standard output */
};

/* The stored name, in this directory; without .gz when it is decoded. */
static void default_output(const char *key, bool decode, char *out, size_t size)
{
    const char *slash = strrchr(key, '/');
    snprintf(out, size, "%s", slash ? slash + 1 : key);
    size_t n = strlen(out);
    if (decode && n > 3 && strcmp(out + n - 3, ".gz") == 0)
        out[n - 3] = '\0';
}

static int open_output(struct restore *r, struct error *err)
{
    if (strcmp(r->output, "-") == 0) {
        r->fd = STDOUT_FILENO;
        return 0;
    }
    if (access(r->output, F_OK) == 0)
        return error_set(err, ERROR_EXISTS, false, "'%s' exists already; give another name with --output",
                         r->output);
    snprintf(r->temporary, sizeof r->temporary, "%.4000s.XXXXXX", r->output);
    r->fd = mkostemp(r->temporary, O_CLOEXEC);
    return r->fd < 0 ? error_errno(err, errno, "'%s' can't be made", r->output) : 0;
}

/* rc: how it went so far. The file gets its name only when everything was right. */
static int close_output(struct restore *r, int rc, struct error *err)
{
    if (strcmp(r->output, "-") == 0)
        return rc;
    if (rc == 0 && fsync(r->fd))
        rc = error_errno(err, errno, "'%s' can't be written", r->output);
    close(r->fd);
    if (rc == 0 && link(r->temporary, r->output))
        rc = error_errno(err, errno, "'%s' can't be made", r->output);
    unlink(r->temporary);
    return rc;
}

static int copy_out(struct cli *cli, const struct restore *r, const struct copy *c, struct error *err)
{
    if (!r->decode)
        return read_copy(cli, c, r->fd, err);
    struct gunzip gunzip;
    if (gunzip_start(&gunzip, r->fd, err))
        return err->code;
    struct error decoding = {0};
    int rc = read_copy(cli, c, gunzip.in, err);
    gunzip_finish(&gunzip, &decoding);
    if (rc == 0 && decoding.code) {
        *err = decoding;
        rc = err->code;
    }
    return rc;
}

/* What goes to a pipe can't be taken back: the copy is read and checked first, then read again. */
static int restore_to_pipe(struct cli *cli, const struct restore *r, const struct copy *c, struct error *err)
{
    int rc = read_copy(cli, c, -1, err);
    return rc ? rc : copy_out(cli, r, c, err);
}

static int restore_one(struct cli *cli, const struct restore *wanted, const struct copy *c, struct error *err)
{
    struct restore r = *wanted;
    char name[NAME_MAX + 1];
    if (c->place.driver == NULL) {
        *err = c->err;
        return err->code;
    }
    if (r.output == NULL) {
        default_output(c->key, r.decode, name, sizeof name);
        r.output = name;
    }
    int rc = open_output(&r, err);
    if (rc)
        return rc;
    bool pipe = strcmp(r.output, "-") == 0;
    rc = pipe ? restore_to_pipe(cli, &r, c, err) : copy_out(cli, &r, c, err);
    rc = close_output(&r, rc, err);
    if (rc == 0)
        fprintf(stderr, "restored from '%s'%s%s%s\n", c->name, pipe ? "" : " to ", pipe ? "" : r.output,
                c->checksum ? ", SHA-256 verified" : "; no SHA-256 is on record: not verified");
    return rc;
}

int run_restore(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *backup;
    struct copies copies;
    int rc = backup_find(cli, args->operands[0], &backup, err);
    if (rc)
        return rc;
    struct restore wanted = {.output = arguments_get(args, "output"),
                             .decode = arguments_has(args, "decode")};
    rc = copies_of(cli, backup, arguments_get(args, "from"), &copies, err);
    if (rc == 0) {
        rc = error_set(err, ERROR_NOT_FOUND, false, "backup '%s' has no completed copy%s%s",
                       text_of(backup, "name"), arguments_has(args, "from") ? " at " : "",
                       arguments_has(args, "from") ? arguments_get(args, "from") : "");
        bool tried = false;
        for (int i = 0; i < copies.n && rc; i++) {
            if (strcmp(copies.all[i].status, "completed") != 0)
                continue;
            if (tried) /* the next copy may be whole */
                fprintf(stderr, "backupctl: %s; trying '%s'\n", err->message, copies.all[i].name);
            tried = true;
            *err = (struct error){0};
            rc = restore_one(cli, &wanted, &copies.all[i], err);
            if (rc == ERROR_EXISTS)
                break;
            if (rc)
                error_context(err, "%s", copies.all[i].name);
        }
        copies_free(&copies);
    }
    json_decref(backup);
    return rc;
}

/* --- verify --- */

static int record_verification(struct cli *cli, const struct copy *c, const char *verdict, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    if (copies_add_verified(request, c->id, verdict)) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    return pg_run(request, NULL, err);
}

int run_verify(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"DESTINATION", "storage_name", OUTPUT_TEXT},
                                                   {"OK", "ok", OUTPUT_YESNO},
                                                   {"RESULT", "verification_result", OUTPUT_TEXT},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    bool deep = arguments_has(args, "deep");
    bool bad = false;
    json_t *backup;
    struct copies copies;
    int rc = backup_find(cli, args->operands[0], &backup, err);
    if (rc)
        return rc;
    rc = copies_of(cli, backup, arguments_get(args, "destination"), &copies, err);
    if (rc) {
        json_decref(backup);
        return rc;
    }
    json_t *list = json_array();
    for (int i = 0; i < copies.n && rc == 0; i++) {
        const struct copy *c = &copies.all[i];
        struct error found = {0};
        char verdict[COPY_VERDICT_SIZE];
        if (!copy_is_completed(c))
            continue;
        copies_work(cli, c, deep ? COPY_READ : COPY_LOOK, NULL, &found);
        copy_verdict(c, deep, &found, verdict);
        bad |= found.code != 0;
        rc = record_verification(cli, c, verdict, err);
        json_array_append_new(list,
                              json_pack("{s:I, s:s, s:b, s:s}", "id", (json_int_t)c->id, "storage_name",
                                        c->name, "ok", found.code == 0, "verification_result", verdict));
    }
    if (rc == 0 && args->json)
        output_json(list);
    else if (rc == 0)
        output_table(list, columns, "no completed copy: nothing to verify");
    json_decref(list);
    copies_free(&copies);
    json_decref(backup);
    return rc ? rc : bad;
}

/* --- delete --- */

static int run_added(struct pg_request *request, int added, bool *ret_any, struct error *err)
{
    struct pg_copy answer = {0};
    if (added) {
        pg_request_free(request);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    int rc = pg_run(request, &answer, err);
    if (rc)
        return rc;
    *ret_any = PQntuples(answer.results[0]) > 0;
    pg_copy_clear(&answer);
    return 0;
}

static int delete_copy(struct cli *cli, const struct copy *c, struct error *err)
{
    bool existed = false, any;
    int rc = copies_work(cli, c, COPY_REMOVE, &existed, err);
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    rc = run_added(request, copies_add_forget(request, c->id, c->fence), &any, err);
    if (rc == 0)
        printf("%s: %s\n", c->name, existed ? "deleted" : "nothing was there");
    return rc;
}

static int delete_backup(struct cli *cli, const json_t *backup, struct error *err)
{
    bool gone;
    struct pg_request *request = catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    int rc = run_added(request, copies_add_forget_backup(request, catalog_row_id(backup)), &gone, err);
    if (rc == 0 && !gone)
        rc = error_set(err, ERROR_CONFLICT, true, "backup '%s' has changed meanwhile; look at it again",
                       text_of(backup, "name"));
    return rc;
}

static int delete_all(struct cli *cli, const json_t *backup, struct error *err)
{
    struct copies copies;
    int failed = 0;
    if (json_array_size(json_object_get(backup, "destinations")) > 0) {
        int rc = copies_of(cli, backup, NULL, &copies, err);
        if (rc)
            return rc;
        for (int i = 0; i < copies.n; i++) {
            struct error why = {0};
            if (delete_copy(cli, &copies.all[i], &why) == 0)
                continue;
            fprintf(stderr, "backupctl: %s: %s\n", copies.all[i].name, why.message);
            failed++;
        }
        copies_free(&copies);
    }
    if (failed)
        return error_set(
            err, ERROR_IO, true,
            "%d copies of backup '%s' could not be deleted and stay on record; repair the cause and run it "
            "again",
            failed, text_of(backup, "name"));
    return delete_backup(cli, backup, err);
}

int run_delete(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *backup;
    int rc = backup_find(cli, args->operands[0], &backup, err);
    if (rc)
        return rc;
    rc = copies_check_delete(backup, err);
    if (rc == 0)
        rc = delete_all(cli, backup, err);
    if (rc == 0)
        printf("backup '%s' is deleted\n", text_of(backup, "name"));
    json_decref(backup);
    return rc;
}
