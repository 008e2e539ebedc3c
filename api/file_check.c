/*
 * A check waits at its place (the base path), looks, and is answered. Only so many checks of one place look
 * at once. When the batch's time is over, those that wait are answered and gone; those that look are answered
 * and abandoned: they keep their memory until the driver comes back. While a place has an abandoned look, new
 * checks there are answered at once.
 *
 *   WAITING --> LOOKING --> answered, freed
 *      |           +-- time over --> answered, ABANDONED --> freed when the driver comes back
 *      +-- time over, or the place hangs --> answered, freed
 */
#include "file_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/utf8.h"
#include "storage/driver.h"

#define LOOKS_PER_PLACE 8

TAILQ_HEAD(check_list, check);

struct place {
    struct file_checks *checks;
    char *base_path;
    struct check_list waiting;
    int looking;   /* abandoned ones included */
    int abandoned; /* those that nobody waits for any more */
    LIST_ENTRY(place) link;
};

struct check {
    struct storage_stat stat; /* stat.location.base_path is the place's */
    struct place *place;
    struct file_check_batch *batch; /* NULL: abandoned */
    json_t *copy;                   /* borrowed from the batch's owner until answered */
    char *storage_type;
    char *key;
    char *disk_identity;
    bool looking;
    TAILQ_ENTRY(check) in_place; /* while it waits */
    TAILQ_ENTRY(check) in_batch; /* until answered */
};

struct file_check_batch {
    struct file_checks *checks;
    struct check_list unanswered;
    uv_timer_t deadline;
    void (*done)(void *data);
    void *data;
    LIST_ENTRY(file_check_batch) link;
};

struct file_checks {
    uv_loop_t *loop;
    const char *legacy_base;
    int64_t timeout_ms;
    bool closed;
    LIST_HEAD(, place) places;
    LIST_HEAD(, file_check_batch) batches;
};

int file_checks_new(uv_loop_t *loop, const char *legacy_base, int64_t timeout_ms,
                    struct file_checks **ret_checks, struct error *err)
{
    struct file_checks *checks = calloc(1, sizeof *checks);
    if (checks == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    checks->loop = loop;
    checks->legacy_base = legacy_base;
    checks->timeout_ms = timeout_ms;
    *ret_checks = checks;
    return 0;
}

static void free_when_empty(struct file_checks *checks)
{
    if (checks->closed && LIST_EMPTY(&checks->places))
        free(checks);
}

static struct place *find_place(struct file_checks *checks, const char *base_path)
{
    struct place *place;
    LIST_FOREACH(place, &checks->places, link)
    if (strcmp(place->base_path, base_path) == 0)
        return place;
    place = calloc(1, sizeof *place);
    char *copy = strdup(base_path);
    if (place == NULL || copy == NULL) {
        free(place);
        free(copy);
        return NULL;
    }
    place->checks = checks;
    place->base_path = copy;
    TAILQ_INIT(&place->waiting);
    LIST_INSERT_HEAD(&checks->places, place, link);
    return place;
}

static void release_place(struct place *place)
{
    struct file_checks *checks = place->checks;
    if (place->looking || !TAILQ_EMPTY(&place->waiting))
        return;
    LIST_REMOVE(place, link);
    free(place->base_path);
    free(place);
    free_when_empty(checks);
}

static void free_check(struct check *check)
{
    free(check->storage_type);
    free(check->key);
    free(check->disk_identity);
    free(check);
}

static json_t *text_or_null(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *text_or_null(const char *format, ...)
{
    char text[8400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    utf8_clean(text);
    json_t *json = json_string(text);
    return json ? json : json_null();
}

/* size < 0: the file was not seen, message says why. */
static void set_info(json_t *copy, const char *base_path, const char *key, int64_t size, const char *message)
{
    bool seen = size >= 0;
    size_t n = strlen(base_path);
    while (n > 0 && base_path[n - 1] == '/')
        n--;
    json_t *info = json_pack("{s:b, s:o, s:o, s:b, s:o}", "exists", seen, "absolute_path",
                             text_or_null("%.*s/%s", (int)n, base_path, key), "file_size_on_disk",
                             seen ? json_integer(size) : json_null(), "is_accessible", seen, "error_message",
                             message ? text_or_null("%s", message) : json_null());
    json_object_set_new(copy, "file_info", info ? info : json_null());
}

/* Takes the check out of its batch; the batch may be complete afterwards. */
static void answer(struct check *check, int64_t size, const char *message)
{
    set_info(check->copy, check->place->base_path, check->key, size, message);
    TAILQ_REMOVE(&check->batch->unanswered, check, in_batch);
    check->batch = NULL;
}

static void on_deadline_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void complete_batch(struct file_check_batch *batch)
{
    if (!TAILQ_EMPTY(&batch->unanswered))
        return;
    LIST_REMOVE(batch, link);
    uv_close((uv_handle_t *)&batch->deadline, on_deadline_closed);
    batch->done(batch->data);
}

static void look(struct place *place);
static void on_deadline(uv_timer_t *deadline);

static void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                    const struct error *err)
{
    struct check *check = stat->data;
    struct place *place = check->place;
    struct file_check_batch *batch = check->batch;
    place->looking--;
    if (batch == NULL) {
        if (--place->abandoned == 0)
            log_info("%s answers again", place->base_path);
    } else if (err) {
        answer(check, -1, err->message);
    } else if (!result->exists) {
        answer(check, -1, "the file is not there");
    } else {
        answer(check, (int64_t)result->size, NULL);
    }
    free_check(check);
    look(place);
    release_place(place);
    if (batch)
        complete_batch(batch);
}

static void start_look(struct check *check)
{
    struct error err = {0};
    const struct storage_driver *driver;
    struct storage_op *op;
    int rc = storage_driver_find(check->storage_type, &driver, &err);
    if (rc == 0)
        rc = driver->stat_start(&check->stat, &op, &err);
    if (rc == 0) {
        check->looking = true;
        check->place->looking++;
        return;
    }
    answer(check, -1, err.message);
    free_check(check);
}

/* A check that can't even be started is answered here; a batch that this completes is told from the loop. */
static void look(struct place *place)
{
    while (place->looking < LOOKS_PER_PLACE && !TAILQ_EMPTY(&place->waiting)) {
        struct check *check = TAILQ_FIRST(&place->waiting);
        struct file_check_batch *batch = check->batch;
        TAILQ_REMOVE(&place->waiting, check, in_place);
        start_look(check);
        if (batch->done && TAILQ_EMPTY(&batch->unanswered))
            uv_timer_start(&batch->deadline, on_deadline, 0, 0);
    }
}

static void give_up(struct file_check_batch *batch, const char *why)
{
    struct check *check;
    while ((check = TAILQ_FIRST(&batch->unanswered))) {
        struct place *place = check->place;
        bool looking = check->looking;
        answer(check, -1, why);
        if (looking) {
            if (place->abandoned++ == 0)
                log_warn("%s does not answer; its files are reported as not accessible until it does",
                         place->base_path);
        } else {
            TAILQ_REMOVE(&place->waiting, check, in_place);
            free_check(check);
            release_place(place);
        }
    }
    complete_batch(batch);
}

static void on_deadline(uv_timer_t *deadline)
{
    give_up(deadline->data, "the disk did not answer in time");
}

struct file_check_batch *file_check_batch_new(struct file_checks *checks)
{
    struct file_check_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    batch->checks = checks;
    TAILQ_INIT(&batch->unanswered);
    uv_timer_init(checks->loop, &batch->deadline);
    batch->deadline.data = batch;
    LIST_INSERT_HEAD(&checks->batches, batch, link);
    return batch;
}

/* As Path(base_path) / file_path reads it: without "." and empty components. The older system wrote such. */
static char *plain_path(const char *path)
{
    char *out = malloc(strlen(path) + 1);
    size_t n = 0;
    while (out && *path) {
        size_t size = strcspn(path, "/");
        if (size > 0 && !(size == 1 && *path == '.')) {
            if (n)
                out[n++] = '/';
            memcpy(out + n, path, size);
            n += size;
        }
        path += size + (path[size] == '/');
    }
    if (out)
        out[n] = '\0';
    return out;
}

static const char *text_of(const json_t *copy, const char *key)
{
    const char *text = json_string_value(json_object_get(copy, key));
    return text ? text : "";
}

static bool applies(const json_t *copy)
{
    const struct storage_driver *driver;
    return strcmp(text_of(copy, "status"), "completed") == 0 &&
           storage_driver_find(text_of(copy, "storage_type"), &driver, NULL) == 0 &&
           (driver->capabilities & STORAGE_CAP_LOCAL_PATH);
}

static struct check *new_check(struct file_check_batch *batch, struct place *place, json_t *copy,
                               const char *disk_identity)
{
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL)
        return NULL;
    check->storage_type = strdup(text_of(copy, "storage_type"));
    check->key = plain_path(text_of(copy, "file_path"));
    check->disk_identity = disk_identity ? strdup(disk_identity) : NULL;
    if (check->storage_type == NULL || check->key == NULL || (disk_identity && !check->disk_identity)) {
        free_check(check);
        return NULL;
    }
    check->place = place;
    check->batch = batch;
    check->copy = copy;
    check->stat = (struct storage_stat){.loop = batch->checks->loop,
                                        .location = {.storage_type = check->storage_type,
                                                     .base_path = place->base_path,
                                                     .disk_identity = check->disk_identity},
                                        .key = check->key,
                                        .done = on_stat,
                                        .data = check};
    TAILQ_INSERT_TAIL(&batch->unanswered, check, in_batch);
    return check;
}

void file_check_add(struct file_check_batch *batch, json_t *copy, const char *disk_identity)
{
    json_object_set_new(copy, "file_info", json_null());
    if (!applies(copy))
        return;
    const char *base_path = text_of(copy, "base_path");
    const char *file_path = text_of(copy, "file_path");
    if (*base_path == '\0')
        base_path = batch->checks->legacy_base;
    if (*file_path == '/') {
        set_info(copy, "", file_path + 1, -1, "file_path is absolute: it must be relative to base_path");
        return;
    }
    struct place *place = find_place(batch->checks, base_path);
    struct check *check = place ? new_check(batch, place, copy, disk_identity) : NULL;
    if (check == NULL) {
        set_info(copy, base_path, file_path, -1, "not looked at: out of memory");
    } else if (place->abandoned) {
        answer(check, -1, "the disk does not answer: an earlier look at it has not come back");
        free_check(check);
    } else {
        TAILQ_INSERT_TAIL(&place->waiting, check, in_place);
        look(place);
    }
    if (place)
        release_place(place);
}

bool file_check_batch_start(struct file_check_batch *batch, void (*done)(void *data), void *data)
{
    batch->done = done;
    batch->data = data;
    if (TAILQ_EMPTY(&batch->unanswered)) {
        LIST_REMOVE(batch, link);
        uv_close((uv_handle_t *)&batch->deadline, on_deadline_closed);
        return false;
    }
    uv_timer_start(&batch->deadline, on_deadline, (uint64_t)batch->checks->timeout_ms, 0);
    return true;
}

void file_checks_free(struct file_checks *checks)
{
    struct file_check_batch *batch;
    if (checks == NULL)
        return;
    while ((batch = LIST_FIRST(&checks->batches)))
        give_up(batch, "the server is ending");
    checks->closed = true;
    free_when_empty(checks);
}
