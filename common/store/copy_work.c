/*
 *   LOOKS --(COPY_READ)--> READS --> done
 *     `------(COPY_LOOK)-----------> done
 *   REMOVES -----------------------> done
 */
#include "store/copy_work.h"

#include <string.h>

static void finish(struct copy_work *work)
{
    work->state = COPY_WORK_NEW;
    work->op = NULL;
    work->done(work, work->existed, work->err.code ? &work->err : NULL);
}

static void on_get(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct copy_work *work = get->data;
    const struct copy *c = work->copy;
    if (err)
        work->err = *err;
    else if (c->checksum && strcmp(sha256, c->checksum) != 0)
        error_set(&work->err, ERROR_CORRUPT, false,
                  "the SHA-256 of the copy is %.12s..., recorded is %.12s...: it is damaged", sha256,
                  c->checksum);
    else if (c->size >= 0 && size != (uint64_t)c->size)
        error_set(&work->err, ERROR_CORRUPT, false,
                  "the copy has %llu bytes, recorded are %lld: it is damaged", (unsigned long long)size,
                  (long long)c->size);
    finish(work);
}

static int start_get(struct copy_work *work, struct error *err)
{
    const struct copy *c = work->copy;
    work->state = COPY_WORK_READS;
    work->get = (struct storage_get){.loop = work->loop,
                                     .location = c->place.location,
                                     .key = c->key,
                                     .target_fd = -1,
                                     .done = on_get,
                                     .data = work};
    return c->place.driver->get_start(&work->get, &work->op, err);
}

static void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                    const struct error *err)
{
    struct copy_work *work = stat->data;
    const struct copy *c = work->copy;
    if (err)
        work->err = *err;
    else if (!result->exists)
        error_set(&work->err, ERROR_NOT_FOUND, false, "the copy is not there");
    else if (c->size >= 0 && result->size != (uint64_t)c->size)
        error_set(&work->err, ERROR_CORRUPT, false, "the copy has %llu bytes, recorded are %lld",
                  (unsigned long long)result->size, (long long)c->size);
    if (work->err.code || work->kind != COPY_READ || start_get(work, &work->err))
        finish(work);
}

static void on_delete(struct storage_delete *del, bool existed, const struct error *err)
{
    struct copy_work *work = del->data;
    if (err)
        work->err = *err;
    work->existed = existed;
    finish(work);
}

static int start_delete(struct copy_work *work, struct error *err)
{
    const struct copy *c = work->copy;
    work->state = COPY_WORK_REMOVES;
    work->del = (struct storage_delete){
        .loop = work->loop, .location = c->place.location, .done = on_delete, .data = work};
    if (copy_is_completed(c)) {
        work->del.key = c->key;
    } else {
        work->del.near_key = c->key;
        work->del.row_id = c->id;
        work->del.fence = c->fence;
        work->del.resume_state = c->resume_state;
    }
    return c->place.driver->delete_start(&work->del, &work->op, err);
}

int copy_work_start(struct copy_work *work, struct error *err)
{
    const struct copy *c = work->copy;
    work->err = (struct error){0};
    work->existed = false;
    if (c->place.driver == NULL) {
        *err = c->err;
        return err->code;
    }
    if (work->kind == COPY_REMOVE)
        return start_delete(work, err);
    work->state = COPY_WORK_LOOKS;
    work->stat = (struct storage_stat){
        .loop = work->loop, .location = c->place.location, .key = c->key, .done = on_stat, .data = work};
    return c->place.driver->stat_start(&work->stat, &work->op, err);
}

void copy_work_cancel(struct copy_work *work)
{
    if (work->state != COPY_WORK_NEW)
        storage_op_cancel(work->op);
}

uint64_t copy_work_bytes(struct copy_work *work)
{
    return atomic_load(&work->get.bytes_done);
}
