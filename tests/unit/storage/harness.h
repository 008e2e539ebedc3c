/* What the storage tests share: a temporary tree, made-up artifacts, and each operation run to its end. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/driver.h"

static char harness_root[64];

static inline void harness_make_root(void)
{
    snprintf(harness_root, sizeof harness_root, "/tmp/bm-storage-XXXXXX");
    if (mkdtemp(harness_root) == NULL)
        abort();
}

static inline int harness_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void harness_remove_tree(const char *path)
{
    nftw(path, harness_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "<root>/<name>", in one of a few static buffers. */
static inline const char *harness_path(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", harness_root, name);
    return path;
}

static inline const char *harness_make_dir(const char *name)
{
    const char *path = harness_path(name);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static inline void harness_write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int harness_files;

static inline int harness_count_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)path, (void)st, (void)ftw;
    if (flag != FTW_D)
        harness_files++;
    return 0;
}

/* Everything below path that is no directory, temporary files included. */
static inline int harness_count_files(const char *path)
{
    harness_files = 0;
    nftw(path, harness_count_one, 16, FTW_PHYS);
    return harness_files;
}

static inline void harness_sha256(const void *data, size_t size, char out[STORAGE_SHA256_SIZE])
{
    unsigned char bytes[32];
    assert_int_equal(EVP_Digest(data, size, bytes, NULL, EVP_sha256(), NULL), 1);
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* An artifact: bytes that differ with the seed, in an unlinked file. */
struct artifact {
    unsigned char *data;
    size_t size;
    int fd;
    char sha256[STORAGE_SHA256_SIZE];
};

static inline struct artifact artifact_make(size_t size, unsigned seed)
{
    struct artifact a = {.size = size, .data = malloc(size + 1)};
    assert_non_null(a.data);
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < size; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        a.data[i] = (unsigned char)(x >> 56);
    }
    harness_sha256(a.data, size, a.sha256);
    a.fd = open(harness_root, O_RDWR | O_TMPFILE, 0600);
    assert_true(a.fd >= 0);
    assert_int_equal(write(a.fd, a.data, size), size);
    return a;
}

static inline void artifact_free(struct artifact *a)
{
    close(a->fd);
    free(a->data);
}

/*
 * A loop of its own for one or more operations, and on it what drivers need that use the network: a test that
 * runs them sets the two functions.
 */
static struct access *(*harness_open_access)(uv_loop_t *loop);
static void (*harness_close_access)(struct access *access);
static struct access *harness_access;
static int harness_done; /* operations on this loop that have ended */

static inline void harness_loop_open(uv_loop_t *loop)
{
    uv_loop_init(loop);
    harness_done = 0;
    harness_access = harness_open_access ? harness_open_access(loop) : NULL;
}

static inline struct storage_location harness_at(const struct storage_location *location)
{
    struct storage_location at = *location;
    at.access = harness_access;
    return at;
}

/* Runs n operations to their end; nothing of them is left on the loop. */
static inline void harness_loop_end(uv_loop_t *loop, int n)
{
    while (harness_done < n && uv_run(loop, UV_RUN_ONCE))
        ;
    if (harness_access)
        harness_close_access(harness_access);
    harness_access = NULL;
    assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(loop), 0);
}

/* One operation run to its end on a loop of its own. */
struct outcome {
    int done; /* times that done was called */
    bool running;
    bool existed;
    bool exists;
    uint64_t size;
    char sha256[STORAGE_SHA256_SIZE];
    char absolute_path[4096];
    struct error err;
};

static inline void outcome_error(struct outcome *o, const struct error *err)
{
    harness_done++;
    assert_false(o->running); /* never before _start has returned */
    o->done++;
    if (err)
        o->err = *err;
}

static inline void on_put(struct storage_put *put, const struct storage_put_result *result,
                          const struct error *err)
{
    struct outcome *o = put->data;
    outcome_error(o, err);
    assert_true((result == NULL) == (err != NULL));
    if (result) {
        o->size = result->size;
        o->existed = result->existed;
        memcpy(o->sha256, result->sha256, sizeof o->sha256);
    }
}

static inline void on_get(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct outcome *o = get->data;
    outcome_error(o, err);
    assert_true((sha256 == NULL) == (err != NULL || get->digest));
    o->size = size;
    if (sha256)
        memcpy(o->sha256, sha256, sizeof o->sha256);
}

static inline void on_stat(struct storage_stat *stat, const struct storage_stat_result *result,
                           const struct error *err)
{
    struct outcome *o = stat->data;
    outcome_error(o, err);
    assert_true((result == NULL) == (err != NULL));
    if (result) {
        o->exists = result->exists;
        o->size = result->size;
        memcpy(o->absolute_path, result->absolute_path, sizeof o->absolute_path);
    }
}

static inline void on_delete(struct storage_delete *del, bool existed, const struct error *err)
{
    struct outcome *o = del->data;
    outcome_error(o, err);
    o->existed = existed;
}

static inline const struct storage_driver *harness_driver(const struct storage_location *location)
{
    const struct storage_driver *driver;
    struct error err = {0};
    if (storage_driver_find(location->storage_type, &driver, &err) < 0)
        fail_msg("%s", err.message);
    return driver;
}

static inline void harness_run(uv_loop_t *loop, struct outcome *o, int rc)
{
    o->running = false;
    harness_loop_end(loop, rc == 0 ? 1 : 0);
    assert_int_equal(o->done, rc == 0 ? 1 : 0);
    assert_int_equal(rc, rc == 0 ? 0 : o->err.code);
}

static inline struct outcome run_put(const struct storage_location *location, const char *key,
                                     const struct artifact *a, int64_t row_id, int64_t fence)
{
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct outcome o = {.running = true};
    struct storage_put put = {.loop = &loop,
                              .location = harness_at(location),
                              .key = key,
                              .source_fd = a->fd,
                              .size = a->size,
                              .sha256 = a->sha256,
                              .row_id = row_id,
                              .fence = fence,
                              .done = on_put,
                              .data = &o};
    struct storage_op *op;
    harness_run(&loop, &o, harness_driver(location)->put_start(&put, &op, &o.err));
    if (o.done && !o.err.code)
        assert_int_equal(put.bytes_done, a->size);
    return o;
}

/* A range, into fd (-1: nowhere) and the caller's digest (NULL: the driver's own). */
static inline struct outcome run_get_digesting(const struct storage_location *location, const char *key,
                                               int fd, uint64_t offset, uint64_t length,
                                               struct digest *digest)
{
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct outcome o = {.running = true};
    struct storage_get get = {.loop = &loop,
                              .location = harness_at(location),
                              .key = key,
                              .target_fd = fd,
                              .offset = offset,
                              .length = length,
                              .digest = digest,
                              .done = on_get,
                              .data = &o};
    struct storage_op *op;
    harness_run(&loop, &o, harness_driver(location)->get_start(&get, &op, &o.err));
    if (o.done && !o.err.code)
        assert_int_equal(get.bytes_done, o.size);
    return o;
}

static inline struct outcome run_get_range(const struct storage_location *location, const char *key, int fd,
                                           uint64_t offset, uint64_t length)
{
    return run_get_digesting(location, key, fd, offset, length, NULL);
}

/* The whole object. */
static inline struct outcome run_get(const struct storage_location *location, const char *key, int fd)
{
    return run_get_range(location, key, fd, 0, 0);
}

static inline struct outcome run_stat(const struct storage_location *location, const char *key)
{
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct outcome o = {.running = true};
    struct storage_stat stat = {
        .loop = &loop, .location = harness_at(location), .key = key, .done = on_stat, .data = &o};
    struct storage_op *op;
    harness_run(&loop, &o, harness_driver(location)->stat_start(&stat, &op, &o.err));
    return o;
}

static inline struct outcome run_storage_delete(struct storage_delete del)
{
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct outcome o = {.running = true};
    del.loop = &loop;
    del.location = harness_at(&del.location);
    del.done = on_delete;
    del.data = &o;
    struct storage_op *op;
    harness_run(&loop, &o, harness_driver(&del.location)->delete_start(&del, &op, &o.err));
    return o;
}

static inline struct outcome run_delete(const struct storage_location *location, const char *key,
                                        const char *near_key, int64_t row_id, int64_t fence)
{
    return run_storage_delete((struct storage_delete){
        .location = *location, .key = key, .near_key = near_key, .row_id = row_id, .fence = fence});
}

/* Only the open upload of key. */
static inline struct outcome run_abort(const struct storage_location *location, const char *key,
                                       const char *upload_id)
{
    return run_storage_delete(
        (struct storage_delete){.location = *location, .key = key, .upload_id = upload_id});
}

/* What list told. */
struct listing {
    int done;
    struct error err;
    char names[4096]; /* "key|key|" */
    int n, stop_after;
    uint64_t size;
    int64_t time_ms;
    char upload_id[128];
};

static inline bool on_list_entry(struct storage_list *list, const struct storage_entry *entry)
{
    struct listing *l = list->data;
    size_t n = strlen(l->names);
    snprintf(l->names + n, sizeof l->names - n, "%s|", entry->key);
    l->size += entry->size;
    l->time_ms = entry->time_ms;
    snprintf(l->upload_id, sizeof l->upload_id, "%s", entry->upload_id ? entry->upload_id : "");
    return ++l->n != l->stop_after;
}

static inline void on_list_done(struct storage_list *list, const struct error *err)
{
    struct listing *l = list->data;
    l->done++;
    harness_done++;
    if (err)
        l->err = *err;
}

static inline struct listing run_listing(const struct storage_location *location, enum storage_list_kind kind,
                                         const char *prefix, int stop_after)
{
    uv_loop_t loop;
    harness_loop_open(&loop);
    struct listing l = {.stop_after = stop_after};
    struct storage_list list = {.loop = &loop,
                                .location = harness_at(location),
                                .prefix = prefix,
                                .kind = kind,
                                .on_entry = on_list_entry,
                                .done = on_list_done,
                                .data = &l};
    struct storage_op *op;
    int rc = harness_driver(location)->list_start(&list, &op, &l.err);
    assert_int_equal(l.done, 0);
    harness_loop_end(&loop, rc == 0 ? 1 : 0);
    assert_int_equal(l.done, rc == 0 ? 1 : 0);
    return l;
}

/* The operation ended with this code, retryable or not, and said `text`. */
static inline void expect_error_at(const struct outcome *o, int code, bool retryable, const char *text,
                                   const char *file, int line)
{
    if (o->err.code != code || o->err.retryable != retryable || !strstr(o->err.message, text)) {
        print_error("got code %d, retryable %d: %s\n", o->err.code, o->err.retryable, o->err.message);
        _fail(file, line);
    }
}
#define expect_error(o, code, retryable, text) expect_error_at(o, code, retryable, text, __FILE__, __LINE__)

static inline void expect_success_at(const struct outcome *o, const char *file, int line)
{
    if (o->err.code || !o->done) {
        print_error("failed: %s\n", o->err.message);
        _fail(file, line);
    }
}
#define expect_success(o) expect_success_at(o, __FILE__, __LINE__)
