/*
 * Checks and removals: one copy after the other, by priority. What a check found is recorded with the copy,
 * as backupctl does; a removed copy's row goes when its object is gone, and the backup's when it has none
 * left.
 */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "operations.h"

static void next_copy(struct operation *o);

static const struct copy *current(const struct operation *o)
{
    return &o->copies.all[o->at];
}

static bool deletes(const struct operation *o)
{
    return o->order.kind == OPERATION_DELETE;
}

const char *operation_disk(const struct operation *o)
{
    if (o->order.kind == OPERATION_TEST)
        return o->place.location.base_path;
    return o->at >= 0 && o->at < o->copies.n ? current(o)->place.location.base_path : NULL;
}

uint64_t operation_bytes(struct operation *o)
{
    bool reads = o->order.kind == OPERATION_VERIFY && o->busy;
    return o->bytes + (reads ? copy_work_bytes(&o->work) : 0);
}

/* --- the entries of the result --- */

static void note_check(struct operation *o, const struct error *found, const char *verdict)
{
    o->bad |= found->code != 0;
    json_array_append_new(o->list, json_pack("{s:I, s:s, s:b, s:s}", "id", (json_int_t)current(o)->id,
                                             "storage_name", current(o)->name, "ok", found->code == 0,
                                             "verification_result", verdict));
}

static void note_removal(struct operation *o, bool existed, const struct error *err)
{
    o->bad |= err != NULL;
    json_array_append_new(o->list, json_pack("{s:I, s:s, s:b, s:b, s:s?}", "id", (json_int_t)current(o)->id,
                                             "storage_name", current(o)->name, "ok", err == NULL, "existed",
                                             (int)existed, "error_message", err ? err->message : NULL));
}

/* --- one copy --- */

static void on_told(struct operation *o, const struct pg_results *results)
{
    (void)results;
    next_copy(o);
}

static void checked(struct operation *o, const struct error *err)
{
    const struct error none = {0}, *found = err ? err : &none;
    char verdict[COPY_VERDICT_SIZE];
    copy_verdict(current(o), o->order.deep, found, verdict);
    note_check(o, found, verdict);
    struct pg_request *question = pg_request_new(o->api->pg);
    operation_tell(o, question, question ? copies_add_verified(question, current(o)->id, verdict) : -1,
                   on_told);
}

static void removed(struct operation *o, bool existed, const struct error *err)
{
    const struct copy *c = current(o);
    struct error missing = {0};
    bool disk = c->place.driver && (c->place.driver->capabilities & STORAGE_CAP_LOCAL_PATH);
    if (err == NULL && !existed && disk && copy_is_completed(c) && !o->order.forget_missing) {
        error_set(
            &missing, ERROR_NOT_FOUND, false,
            "'%.200s' is not found at '%.200s' from this host; it may stand at another one. If it is gone for "
            "good: ask again with forget_missing=true",
            c->key, c->place.location.base_path);
        err = &missing;
    }
    note_removal(o, existed, err);
    if (err) {
        next_copy(o);
        return;
    }
    struct pg_request *question = pg_request_new(o->api->pg);
    operation_tell(o, question, question ? copies_add_forget(question, c->id, c->fence) : -1, on_told);
}

static void take(struct operation *o, bool existed, const struct error *err)
{
    if (operation_is_stopped(o) && err && err->code == ERROR_CANCELLED)
        operation_fail(o, "the server ended in the middle of it; ask for it again");
    else if (deletes(o))
        removed(o, existed, err);
    else
        checked(o, err);
}

static void on_worked(struct copy_work *work, bool existed, const struct error *err)
{
    struct operation *o = work->data;
    uint64_t bytes = copy_work_bytes(work);
    if (operation_answered(o))
        return;
    o->bytes += bytes;
    take(o, existed, err);
}

static void work_on(struct operation *o)
{
    const struct copy *c = current(o);
    struct error err = {0};
    o->work = (struct copy_work){.loop = o->api->loop,
                                 .copy = c,
                                 .kind = deletes(o)      ? COPY_REMOVE
                                         : o->order.deep ? COPY_READ
                                                         : COPY_LOOK,
                                 .done = on_worked,
                                 .data = o};
    if (c->place.driver && hung_disks_have(&o->api->hung_disks, c->place.location.base_path))
        error_set(&err, ERROR_UNREACHABLE, true, "its disk does not answer");
    else if (copy_work_start(&o->work, &err) == 0) {
        operation_asks(o);
        return;
    }
    take(o, false, &err);
}

void operation_cancel_work(struct operation *o)
{
    if (o->order.kind == OPERATION_TEST)
        probe_cancel(&o->probe);
    else
        copy_work_cancel(&o->work);
}

/* --- all of them --- */

static void on_forgotten(struct operation *o, const struct pg_results *results)
{
    if (PQntuples(results->results[0]) == 0)
        operation_fail(o, "the backup has changed meanwhile; look at it again");
    else
        operation_end(o);
}

static void finish(struct operation *o)
{
    int failed = 0;
    size_t i;
    const json_t *entry;
    if (!deletes(o)) {
        operation_end(o);
        return;
    }
    json_array_foreach(o->list, i, entry) failed += !json_is_true(json_object_get(entry, "ok"));
    if (failed) {
        operation_fail(
            o, "%d of %d copies could not be deleted and stay on record; repair the cause and ask again",
            failed, o->copies.n);
        return;
    }
    struct pg_request *question = pg_request_new(o->api->pg);
    operation_tell(o, question, question ? copies_add_forget_backup(question, o->order.backup_id) : -1,
                   on_forgotten);
}

/* Of one copy to the next without a call in a call: a copy that can't be asked about is told PostgreSQL
 * first, or is one of few. */
static void next_copy(struct operation *o)
{
    while (++o->at < o->copies.n)
        if (deletes(o) || copy_is_completed(current(o)))
            break;
    if (operation_is_stopped(o))
        operation_fail(o, "the server ended in the middle of it; ask for it again");
    else if (o->at < o->copies.n)
        work_on(o);
    else
        finish(o);
}

int operation_copies_add(struct pg_request *question, const struct operation *o)
{
    return copies_add_select(question, o->order.backup_id, o->order.destination, 0);
}

void operation_copies_begin(struct operation *o, const PGresult *result)
{
    struct error err = {0};
    PGresult *rows = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    if (copies_read(rows, o->api->legacy_base, o->api->access, &o->copies, &err)) {
        operation_fail(o, "%s", err.message);
        return;
    }
    for (int i = 0; o->order.deep && i < o->copies.n; i++)
        if (copy_is_completed(&o->copies.all[i]) && o->copies.all[i].size > 0)
            o->bytes_total += (uint64_t)o->copies.all[i].size;
    next_copy(o);
}
