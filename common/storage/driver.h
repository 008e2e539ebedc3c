/*
 * What a storage driver is: one const table per protocol, registered in driver.c. Drivers know nothing of
 * queues, rows or schedules. All operations are asynchronous on one libuv loop; blocking file work runs in
 * the thread pool.
 *
 * Every operation: _start returns 0 and later runs `done` exactly once from the loop (never before return),
 * or returns a negative code with err filled and never runs `done`. The request struct and all it points to
 * belong to the caller and stay unchanged until `done`. storage_op_cancel asks an operation to end soon with
 * ERROR_CANCELLED; `done` still runs (with success, when the operation had passed the point of no return).
 * When `done` is called the op handle is gone already. err is NULL on success; on failure the results are
 * NULL, 0 or false.
 *
 * Operations that fail for a reason that people repair (a disk that isn't mounted, rights, space, the wrong
 * disk) set err->retryable; path safety, names and conflicts don't.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/digest.h"
#include "base/error.h"

#define STORAGE_SHA256_SIZE DIGEST_SHA256_SIZE

enum storage_capability {
    STORAGE_CAP_RESUME = 1 << 0,      /* an upload can be taken up again from resume_state */
    STORAGE_CAP_CREATE_ONLY = 1 << 1, /* publishing never replaces what stands at the name */
    STORAGE_CAP_LOCAL_PATH = 1 << 2,  /* objects are files: base_path applies, file_info can be answered */
};

/* Where: a configured destination, or what a row says of itself. */
struct storage_location {
    const char *storage_type;  /* "local", ... */
    const char *base_path;     /* disks; NULL elsewhere */
    const char *disk_identity; /* what `identify` gave when the destination was added; NULL = not checked */
    const json_t *config;      /* object, may be NULL */
};

struct storage_driver;

/* One operation under way: the first member of the driver's own struct. */
struct storage_op {
    const struct storage_driver *driver;
};

struct storage_put_result {
    uint64_t size;
    char sha256[STORAGE_SHA256_SIZE]; /* of the bytes as confirmed at that place */
    bool existed;                     /* an equal object stood there already */
};

struct storage_put {
    uv_loop_t *loop;
    struct storage_location location;
    const char *key;    /* file_path: relative path or whole object key */
    int source_fd;      /* regular file, read by offset; stays open, position unused */
    uint64_t size;      /* of the whole artifact */
    const char *sha256; /* expected, lower-case hex */
    int64_t row_id;     /* backup_destinations.id and fence: names of temporary objects */
    int64_t fence;
    _Atomic uint64_t bytes_done; /* written by the driver, read by the caller for progress */
    void (*done)(struct storage_put *put, const struct storage_put_result *result, const struct error *err);
    void *data;
};

struct storage_get {
    uv_loop_t *loop;
    struct storage_location location;
    const char *key;
    int target_fd; /* written from offset 0 (pwrite); -1 = nowhere: the object is read for its digest only */
    bool target_is_stream; /* target_fd is a pipe or socket; the program ignores SIGPIPE */
    _Atomic uint64_t bytes_done;
    void (*done)(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err);
    void *data;
};

struct storage_stat_result {
    bool exists;
    uint64_t size;
    char absolute_path[4096]; /* disks; "" elsewhere */
};

struct storage_stat {
    uv_loop_t *loop;
    struct storage_location location;
    const char *key;
    void (*done)(struct storage_stat *stat, const struct storage_stat_result *result,
                 const struct error *err);
    void *data;
};

struct storage_delete {
    uv_loop_t *loop;
    struct storage_location location;
    const char *key; /* final object; NULL = temporary objects of row_id with a fence <= fence are removed */
    const char *near_key; /* with key NULL: the final name those temporary objects were meant for */
    int64_t row_id;
    int64_t fence;
    void (*done)(struct storage_delete *del, bool existed, const struct error *err);
    void *data;
};

struct storage_driver {
    const char *name;                 /* "posix" */
    const char *const *storage_types; /* NULL-terminated */
    unsigned capabilities;            /* enum storage_capability */

    /* Static check of a location and, when not NULL, a key: shape and safety, no disk or network. ERROR_INPUT
     * or ERROR_UNSAFE_PATH, never retryable; the message names the thing and the way out. */
    int (*check)(const struct storage_location *location, const char *key, struct error *err);

    /* Blocking, for `destination add`: what `disk_identity` must be from now on (malloc'ed, or NULL where the
     * type has none). May leave a marker file at the place. */
    int (*identify)(const struct storage_location *location, char **ret_identity, struct error *err);

    int (*put_start)(struct storage_put *put, struct storage_op **ret_op, struct error *err);
    int (*get_start)(struct storage_get *get, struct storage_op **ret_op, struct error *err);
    int (*stat_start)(struct storage_stat *stat, struct storage_op **ret_op, struct error *err);
    int (*delete_start)(struct storage_delete *del, struct storage_op **ret_op, struct error *err);
    void (*op_cancel)(struct storage_op *op);
};

/* Asks op to end soon, from the loop's thread; see above. */
void storage_op_cancel(struct storage_op *op);

/* The driver of a storage type. ERROR_INPUT for an unknown type (the message lists the known ones),
 * ERROR_UNSUPPORTED for a type of the specification that this build can't serve yet. */
int storage_driver_find(const char *storage_type, const struct storage_driver **ret_driver,
                        struct error *err);

/* For tests and benchmarks: the next finds of this driver's types give it instead. NULL undoes it. */
void storage_driver_override(const struct storage_driver *driver);

/* storage_config of a destination: a JSON object without any literal secret. ERROR_INPUT names the member and
 * says what to write instead (credentials_ref); no part of the text's values is repeated in the message. text
 * NULL or "" gives *ret_config = NULL; otherwise json_decref it. Bound: 64 KiB. */
int storage_config_parse(const char *text, json_t **ret_config, struct error *err);
