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
#include "storage/config.h"

#define STORAGE_SHA256_SIZE DIGEST_SHA256_SIZE

enum storage_capability {
    STORAGE_CAP_RESUME = 1 << 0,      /* an upload can be taken up again from resume_state */
    STORAGE_CAP_CREATE_ONLY = 1 << 1, /* publishing never replaces what stands at the name */
    STORAGE_CAP_LOCAL_PATH = 1 << 2,  /* objects are files: base_path applies, file_info can be answered */
    STORAGE_CAP_LIST = 1 << 3,        /* list_start: objects and open uploads */
    STORAGE_CAP_ACCESS = 1 << 4,      /* needs storage_location.access: network, credentials */
    STORAGE_CAP_EXPIRE = 1 << 5, /* the store drops uploads that never end by itself; none can be aborted */
    STORAGE_CAP_UNLISTED_UPLOADS = 1 << 6, /* list_start doesn't tell open uploads: ERROR_UNSUPPORTED */
    STORAGE_CAP_MD5 = 1 << 7, /* wants the whole's MD5: cheaper in the staging pass than at each copy */
};

/* Where: a configured destination, or what a row says of itself. */
struct storage_location {
    const char *storage_type;    /* "local", ... */
    const char *base_path;       /* disks; NULL elsewhere */
    const char *disk_identity;   /* what `identify` gave when the destination was added; NULL = not checked */
    const json_t *config;        /* object, opened (no `sealed` in it), may be NULL */
    const char *credentials_ref; /* where the secret lives; NULL = config's, else the type's own chain */
    const char *destination; /* name of the configured destination: limits are shared under it; NULL = none */
    int64_t bandwidth_limit; /* bytes per second for the destination in this process; 0 = none */
    struct access *access;   /* on the request's loop; NULL is enough without STORAGE_CAP_ACCESS */
};

struct storage_driver;
struct access;
struct part_digests;

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
    int64_t backup_id; /* 0 = none; recorded with the object where the store keeps such things */
    const struct part_digests *part_digests; /* of source_fd by the default plan; NULL = not known */

    /* STORAGE_CAP_RESUME. resume_state: what an earlier attempt at this row last gave to save, or NULL. save
     * records a new one durably under the row's fence (state is copied; NULL = nothing to resume any more)
     * and then runs saved once, from the loop, never before return; ours = false: the row is someone else's
     * by now, stop. A driver waits for `saved` before its own done, even when cancelled. save NULL: nothing
     * is recorded, uploads aren't resumed. */
    const char *resume_state;
    void (*save)(struct storage_put *put, const char *state, void (*saved)(void *arg, bool ours), void *arg);

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
    /* A range: length 0 = the whole object from offset on. What lies beyond the object's end isn't there:
     * size tells. size and sha256 are of the range; target_fd is written from 0 all the same. */
    uint64_t offset, length;
    /* NULL, or the caller's, for an object that is read in several ranges: it is fed with the bytes of this
     * one until done runs, which gets sha256 NULL. After an error nobody knows how much it has seen. */
    struct digest *digest;
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
    int64_t
        unreadable_size; /* disks, written before done: of a file that is there but can't be read; else -1 */
    void (*done)(struct storage_stat *stat, const struct storage_stat_result *result,
                 const struct error *err);
    void *data;
};

struct storage_delete {
    uv_loop_t *loop;
    struct storage_location location;
    const char *key; /* final object; NULL = temporary objects of row_id with a fence <= fence are removed */
    const char *near_key;     /* with key NULL: the final name those temporary objects were meant for */
    const char *resume_state; /* with key NULL: names the upload to abort; NULL = none */
    const char *upload_id;    /* not NULL: only this open upload of key (as list_start tells both) is aborted,
                                 key itself stays */
    int64_t row_id;
    int64_t fence;
    void (*done)(struct storage_delete *del, bool existed, const struct error *err);
    void *data;
};

enum storage_list_kind {
    STORAGE_LIST_OBJECTS,
    STORAGE_LIST_UPLOADS, /* begun and neither completed nor aborted */
};

struct storage_entry {
    const char *key;       /* valid during on_entry only */
    uint64_t size;         /* objects */
    int64_t time_ms;       /* Unix time: last change, or when the upload began; 0 = not told */
    const char *upload_id; /* uploads */
};

/* All that begins with prefix, in the store's order, page by page. */
struct storage_list {
    uv_loop_t *loop;
    struct storage_location location;
    const char *prefix; /* of the key; "" = everything below the bucket */
    enum storage_list_kind kind;
    bool (*on_entry)(struct storage_list *list,
                     const struct storage_entry *entry); /* false = enough, no error */
    void (*done)(struct storage_list *list, const struct error *err);
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
    /* NULL without STORAGE_CAP_LIST */
    int (*list_start)(struct storage_list *list, struct storage_op **ret_op, struct error *err);
    void (*op_cancel)(struct storage_op *op);
};

/* Asks op to end soon, from the loop's thread; see above. */
void storage_op_cancel(struct storage_op *op);

/* The driver of a storage type. ERROR_INPUT for an unknown type (the message lists the known ones). */
int storage_driver_find(const char *storage_type, const struct storage_driver **ret_driver,
                        struct error *err);

/* Whether one of these types (separated by ',', NULL = none; unknown ones are passed over) has a driver with
 * that capability. */
bool storage_driver_any_can(const char *storage_types, enum storage_capability capability);

/* For tests and benchmarks: the next finds of this driver's types give it instead. NULL undoes it. */
void storage_driver_override(const struct storage_driver *driver);
