/*
 * A check is a copy that wants an answer about a file. The file's last look answers it if that is recent;
 * else the check waits at the file, together with all others that want to know the same, until the next look
 * is over or its batch's time is. A file that is looked at stands in the list of its mount:
 *
 *   IDLE --> WAITING --> LOOKING --> IDLE   checks answered, result remembered
 *               |            +-- stays while the driver does not come back; its checks are answered by the
 * deadline
 *               +-- nobody waits any more --> IDLE
 *
 * A mount has few looks at once. While one of them is late the mount hangs: no further look is begun there,
 * and checks are answered at once. So a dead mount holds few threads, and no more when it is asked about
 * again.
 */
#include "file_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "file_table.h"

#define LOOKS_PER_MOUNT 4
#define MOUNTS_KEPT_MS 2000

static const char hangs[] = "the disk does not answer: an earlier look at it has not come back";

struct place {
    struct file_checks *checks;
    char *mount;
    bool in_use;                        /* by file_check_add */
    struct file_list wanted, refreshes; /* WAITING */
    struct file_list looking;           /* the longest first */
    int n_looking;
    bool told; /* the log has been told that it hangs */
    LIST_ENTRY(place) link;
};

struct check {
    struct file *file;
    struct file_check_batch *batch;
    json_t *copy; /* borrowed from the batch's owner */
    bool skips;   /* the look under way began too early for it */
    TAILQ_ENTRY(check) in_file;
    TAILQ_ENTRY(check) in_batch;
};

struct file_check_batch {
    struct file_checks *checks;
    bool anew;
    TAILQ_HEAD(, check) unanswered;
    uv_timer_t deadline;
    void (*done)(void *data);
    void *data;
    LIST_ENTRY(file_check_batch) link;
};

struct file_checks {
    uv_loop_t *loop;
    struct file_check_options options;
    struct file_table files;
    struct mounts mounts;
    int64_t mounts_at_ms;
    int n_looking;
    bool closed;
    LIST_HEAD(, place) places;
    LIST_HEAD(, file_check_batch) batches;
};

int file_checks_new(uv_loop_t *loop, const struct file_check_options *options,
                    struct file_checks **ret_checks, struct error *err)
{
    struct file_checks *checks = calloc(1, sizeof *checks);
    if (checks == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    checks->loop = loop;
    checks->options = *options;
    if (checks->options.now_ms == NULL)
        checks->options.now_ms = clock_monotonic_ms;
    if (checks->options.load_mounts == NULL)
        checks->options.load_mounts = mounts_load;
    file_table_init(&checks->files, options->most_files);
    checks->mounts_at_ms = INT64_MIN / 2;
    *ret_checks = checks;
    return 0;
}

static int64_t now_ms(const struct file_checks *checks)
{
    return checks->options.now_ms();
}

static void free_when_empty(struct file_checks *checks)
{
    if (!checks->closed || checks->n_looking)
        return;
    file_table_deinit(&checks->files);
    mounts_deinit(&checks->mounts);
    free(checks);
}

/* -- mounts */

static struct place *find_place(struct file_checks *checks, const char *base_path)
{
    int64_t now = now_ms(checks);
    struct place *place;
    if (now - checks->mounts_at_ms >= MOUNTS_KEPT_MS) {
        mounts_deinit(&checks->mounts);
        checks->options.load_mounts(&checks->mounts);
        checks->mounts_at_ms = now;
    }
    const char *mount = mounts_find(&checks->mounts, base_path);
    LIST_FOREACH(place, &checks->places, link)
    if (strcmp(place->mount, mount) == 0)
        return place;
    place = calloc(1, sizeof *place);
    char *copy = strdup(mount);
    if (place == NULL || copy == NULL) {
        free(place);
        free(copy);
        return NULL;
    }
    place->checks = checks;
    place->mount = copy;
    TAILQ_INIT(&place->wanted);
    TAILQ_INIT(&place->refreshes);
    TAILQ_INIT(&place->looking);
    LIST_INSERT_HEAD(&checks->places, place, link);
    return place;
}

static void release_place(struct place *place)
{
    if (place->in_use || place->n_looking || !TAILQ_EMPTY(&place->wanted) || !TAILQ_EMPTY(&place->refreshes))
        return;
    LIST_REMOVE(place, link);
    free(place->mount);
    free(place);
}

static bool place_hangs(const struct file_checks *checks, const struct place *place)
{
    const struct file *first = TAILQ_FIRST(&place->looking);
    return first && (first->late || now_ms(checks) - first->started_ms >= checks->options.timeout_ms);
}

static void tell_that_it_hangs(struct place *place)
{
    if (!place->told)
        log_warn("the disk at %s does not answer; its files are reported as not accessible until it does",
                 place->mount);
    place->told = true;
}

/* -- answers */

static json_t *text_of_message(const char *message)
{
    char text[1200];
    snprintf(text, sizeof text, "%s", message);
    utf8_clean(text);
    json_t *json = json_string(text);
    return json ? json : json_null();
}

/* size < 0: the file was not seen; message: why it is not accessible. */
static void set_info(json_t *copy, const char *base_path, const char *key, int64_t size, const char *message)
{
    bool seen = size >= 0, accessible = seen && message == NULL;
    size_t n = strlen(base_path);
    while (n > 0 && base_path[n - 1] == '/')
        n--;
    json_t *path = json_sprintf("%.*s/%s", (int)n, base_path, key);
    json_t *info =
        json_pack("{s:b, s:o, s:o, s:b, s:o}", "exists", seen, "absolute_path", path ? path : json_null(),
                  "file_size_on_disk", seen ? json_integer(size) : json_null(), "is_accessible", accessible,
                  "error_message", message ? text_of_message(message) : json_null());
    json_object_set_new(copy, "file_info", info ? info : json_null());
}

static void on_deadline(uv_timer_t *deadline);

/* The check is gone. A batch that has begun and that this completes is told from the loop. */
static void answer(struct check *check, int64_t size, const char *message)
{
    struct file_check_batch *batch = check->batch;
    set_info(check->copy, check->file->base_path, check->file->key, size, message);
    TAILQ_REMOVE(&check->file->waiters, check, in_file);
    TAILQ_REMOVE(&batch->unanswered, check, in_batch);
    free(check);
    if (batch->done && TAILQ_EMPTY(&batch->unanswered))
        uv_timer_start(&batch->deadline, on_deadline, 0, 0);
}

/* -- looks */

static void begin_looks(struct file_checks *checks);

/* Where it waits for its turn. */
static struct file_list *line_of(const struct file *file)
{
    return file->wanted ? &file->place->wanted : &file->place->refreshes;
}

static void wait_for_turn(struct file *file, struct place *place)
{
    file->state = FILE_WAITING;
    file->place = place;
    file->wanted = !TAILQ_EMPTY(&file->waiters);
    file->late = false;
    TAILQ_INSERT_TAIL(line_of(file), file, in_place);
}

static void make_idle(struct file_checks *checks, struct file *file)
{
    struct place *place = file->place;
    file->state = FILE_IDLE;
    file->place = NULL;
    file_table_release(&checks->files, file);
    if (place)
        release_place(place);
}

/* After a look: those it answers, and the next one for those who came too late for it. */
static void settle(struct file_checks *checks, struct file *file)
{
    struct check *check, *next;
    for (check = TAILQ_FIRST(&file->waiters); check; check = next) {
        next = TAILQ_NEXT(check, in_file);
        if (check->skips)
            check->skips = false;
        else
            answer(check, file->size,
                   file->message    ? file->message
                   : file->size < 0 ? "out of memory"
                                    : NULL);
    }
    if (TAILQ_EMPTY(&file->waiters) || checks->closed)
        make_idle(checks, file);
    else
        wait_for_turn(file, file->place);
}

static void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                    const struct error *err)
{
    struct file *file = stat->data;
    struct place *place = file->place;
    struct file_checks *checks = place->checks;
    TAILQ_REMOVE(&place->looking, file, in_place);
    place->n_looking--;
    checks->n_looking--;
    if (place->told && !place_hangs(checks, place)) {
        log_info("the disk at %s answers again", place->mount);
        place->told = false;
    }
    if (err)
        file_set_found(file, stat->unreadable_size, err->message, now_ms(checks));
    else if (!result->exists)
        file_set_found(file, -1, "the file is not there", now_ms(checks));
    else
        file_set_found(file, (int64_t)result->size, NULL, now_ms(checks));
    settle(checks, file);
    if (checks->closed)
        free_when_empty(checks);
    else
        begin_looks(checks);
}

static void begin_look(struct file_checks *checks, struct file *file)
{
    struct error err = {0};
    const struct storage_driver *driver;
    struct storage_op *op;
    struct place *place = file->place;
    TAILQ_REMOVE(line_of(file), file, in_place);
    file->stat = (struct storage_stat){.loop = checks->loop,
                                       .location = {.storage_type = file->storage_type,
                                                    .base_path = file->base_path,
                                                    .disk_identity = file->disk_identity},
                                       .key = file->key,
                                       .unreadable_size = -1,
                                       .done = on_stat,
                                       .data = file};
    int rc = storage_driver_find(file->storage_type, &driver, &err);
    if (rc == 0)
        rc = driver->stat_start(&file->stat, &op, &err);
    if (rc) {
        file_set_found(file, -1, err.message, now_ms(checks));
        settle(checks, file);
        return;
    }
    file->state = FILE_LOOKING;
    file->started_ms = now_ms(checks);
    TAILQ_INSERT_TAIL(&place->looking, file, in_place);
    place->n_looking++;
    checks->n_looking++;
}

static struct file *next_of(const struct file_checks *checks, struct place *place)
{
    if (place->n_looking >= LOOKS_PER_MOUNT || place_hangs(checks, place))
        return NULL;
    return TAILQ_EMPTY(&place->wanted) ? TAILQ_FIRST(&place->refreshes) : TAILQ_FIRST(&place->wanted);
}

/* One of each mount in turn, as many as there may be. */
static void begin_looks(struct file_checks *checks)
{
    bool any = true;
    while (any && checks->n_looking < checks->options.most_looks) {
        struct place *place, *next;
        any = false;
        for (place = LIST_FIRST(&checks->places); place; place = next) {
            next = LIST_NEXT(place, link);
            struct file *file =
                checks->n_looking < checks->options.most_looks ? next_of(checks, place) : NULL;
            if (file) {
                any = true;
                begin_look(checks, file);
            }
        }
    }
}

/* -- batches */

static void on_deadline_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void give_up(struct file_check_batch *batch, const char *why)
{
    struct file_checks *checks = batch->checks;
    struct check *check;
    while ((check = TAILQ_FIRST(&batch->unanswered))) {
        struct file *file = check->file;
        answer(check, -1, why);
        if (file->state == FILE_LOOKING) {
            if (!checks->closed)
                tell_that_it_hangs(file->place);
            file->late = true;
        } else if (TAILQ_EMPTY(&file->waiters)) {
            TAILQ_REMOVE(line_of(file), file, in_place);
            make_idle(checks, file);
        }
    }
    LIST_REMOVE(batch, link);
    uv_close((uv_handle_t *)&batch->deadline, on_deadline_closed);
    batch->done(batch->data);
}

static void on_deadline(uv_timer_t *deadline)
{
    give_up(deadline->data, "the disk did not answer in time");
}

struct file_check_batch *file_check_batch_new(struct file_checks *checks, bool anew)
{
    struct file_check_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    batch->checks = checks;
    batch->anew = anew;
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

static void wait_at(struct file *file, struct file_check_batch *batch, json_t *copy)
{
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        set_info(copy, file->base_path, file->key, -1, "not looked at: out of memory");
        return;
    }
    *check = (struct check){.file = file, .batch = batch, .copy = copy};
    check->skips = batch->anew && file->state == FILE_LOOKING;
    TAILQ_INSERT_TAIL(&file->waiters, check, in_file);
    TAILQ_INSERT_TAIL(&batch->unanswered, check, in_batch);
}

/* place: the file's mount, with nothing to do perhaps. */
static void answer_or_wait(struct file_check_batch *batch, json_t *copy, struct file *file,
                           struct place *place)
{
    const struct file_check_options *options = &batch->checks->options;
    int64_t age_ms = file->known ? now_ms(batch->checks) - file->looked_at_ms : INT64_MAX;
    bool will_do = file->known && !batch->anew && age_ms < options->stale_ms;
    if (place_hangs(batch->checks, place)) {
        tell_that_it_hangs(place);
        set_info(copy, file->base_path, file->key, -1, hangs);
        return;
    }
    if (will_do)
        set_info(copy, file->base_path, file->key, file->size, file->message);
    else
        wait_at(file, batch, copy);
    if (will_do && age_ms < options->fresh_ms)
        return;
    if (file->state == FILE_WAITING && !will_do && !file->wanted) {
        TAILQ_REMOVE(line_of(file), file, in_place);
        wait_for_turn(file, file->place);
    } else if (file->state == FILE_IDLE && (will_do || !TAILQ_EMPTY(&file->waiters)))
        wait_for_turn(file, place);
}

void file_check_add(struct file_check_batch *batch, json_t *copy, const char *disk_identity)
{
    struct file_checks *checks = batch->checks;
    json_object_set_new(copy, "file_info", json_null());
    if (!applies(copy))
        return;
    const char *base_path = text_of(copy, "base_path");
    const char *file_path = text_of(copy, "file_path");
    if (*base_path == '\0')
        base_path = checks->options.legacy_base;
    if (*file_path == '/') {
        set_info(copy, "", file_path + 1, -1, "file_path is absolute: it must be relative to base_path");
        return;
    }
    char *key = plain_path(file_path);
    struct place *place = find_place(checks, base_path);
    struct file *file = key && place ? file_table_hold(&checks->files, text_of(copy, "storage_type"),
                                                       base_path, key, disk_identity)
                                     : NULL;
    free(key);
    if (place)
        place->in_use = true;
    if (file) {
        answer_or_wait(batch, copy, file, place);
        if (file->state == FILE_IDLE)
            file_table_release(&checks->files, file);
        begin_looks(checks);
    } else
        set_info(copy, base_path, file_path, -1, "not looked at: out of memory");
    if (place) {
        place->in_use = false;
        release_place(place);
    }
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
    uv_timer_start(&batch->deadline, on_deadline, (uint64_t)batch->checks->options.timeout_ms, 0);
    return true;
}

/* Refreshes that have not begun. */
static void drop_waiting(struct file_checks *checks)
{
    struct place *place, *next;
    for (place = LIST_FIRST(&checks->places); place; place = next) {
        next = LIST_NEXT(place, link);
        struct file *file, *after;
        for (file = TAILQ_FIRST(&place->refreshes); file; file = after) {
            after = TAILQ_NEXT(file, in_place);
            TAILQ_REMOVE(&place->refreshes, file, in_place);
            make_idle(checks, file);
        }
    }
}

void file_checks_free(struct file_checks *checks)
{
    struct file_check_batch *batch;
    if (checks == NULL)
        return;
    checks->closed = true;
    while ((batch = LIST_FIRST(&checks->batches)))
        give_up(batch, "the server is ending");
    drop_waiting(checks);
    free_when_empty(checks);
}
