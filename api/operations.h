/*
 * Long work for people who don't wait: a request is answered with 202 and the operation that does it, which
 * is a row of PostgreSQL (sql/005_operations) and lives in the process that took it in.
 *
 *   waiting -> running -> done | failed          interrupted: its process ended without a word
 *
 * done: it was carried out; what it found is in `result`. failed: it could not be, error_message says why.
 * OPERATIONS_AT_ONCE run, OPERATIONS_WAITING more wait their turn, for each process.
 */
#pragma once

#include <sys/queue.h>

#include "hung_disks.h"
#include "route.h"
#include "storage/probe.h"
#include "store/copy_work.h"

enum { OPERATIONS_AT_ONCE = 4, OPERATIONS_WAITING = 16 };

struct operations;

int operations_new(struct api *api, struct operations **ret_operations, struct error *err);
/* No more begin; those under way end soon, as failed. */
void operations_stop(struct operations *operations);
/* stopped runs once, from the loop: when all have ended and that is written, or after limit_ms. */
void operations_drain(struct operations *operations, int64_t limit_ms, void (*stopped)(void *data),
                      void *data);
/* The memory goes when the last operation has come back. NULL does nothing. */
void operations_free(struct operations *operations);

/* GET /api/operations?limit=&before=&kind=&state=&backup_id=&destination_id=, GET /api/operations/{id} */
void operations_list(struct api *api, struct http_request *request);
void operations_show(struct api *api, struct http_request *request);

/* POST /api/backups/{id}/verify, DELETE /api/backups/{id}, POST /api/destinations/{id}/test */
void operation_verify(struct api *api, struct http_request *request);
void operation_delete(struct api *api, struct http_request *request);
void operation_test(struct api *api, struct http_request *request);

/* -- inside */

enum operation_kind { OPERATION_VERIFY, OPERATION_DELETE, OPERATION_TEST };

const char *operation_kind_name(enum operation_kind kind); /* "verify", as in its row */

/* What is asked. Texts are copied; NULL where they don't apply. */
struct operation_order {
    enum operation_kind kind;
    int64_t backup_id, destination_id;
    const char *object_name; /* of the backup or destination */
    const char *destination; /* VERIFY: only the copy there */
    bool deep;               /* VERIFY */
    bool forget_missing;     /* DELETE */
};

/* The reply: 202 with the operation, or a problem. */
void operation_submit(struct api *api, struct http_request *request, const struct operation_order *order);

enum operation_state {
    OPERATION_WAITS,
    OPERATION_BEGINS, /* its row is written, what it needs is read */
    OPERATION_WORKS,  /* a driver is asked, or PostgreSQL told what it said */
    OPERATION_ENDS,   /* its end is written */
    OPERATION_ENDED,
};

struct operation {
    struct operations *all;
    struct api *api;
    struct operation_order order; /* texts are its own */
    int64_t id;                   /* of its row */
    enum operation_state state;
    TAILQ_ENTRY(operation) link;

    json_t *list;       /* what was found: one entry for each copy or step */
    bool bad;           /* not all of it was good */
    char failure[1000]; /* "": done */
    uint64_t bytes, bytes_total, told_bytes;
    int end_tries;
    bool asking; /* PostgreSQL; the operation stays until it has answered */
    void (*told)(struct operation *o, const struct pg_results *results);

    bool busy; /* a driver is asked; the operation stays until it has answered */
    int64_t moved_ms;
    uint64_t seen_bytes;
    struct hung_disk hung;

    struct copies copies; /* VERIFY, DELETE */
    int at;
    struct copy_work work;
    PGresult *columns; /* TEST */
    struct storage_place place;
    struct probe probe;
};

/* -- for operation_submit.c */

/* A place for one more; false: there are as many as there may be, or the server ends. */
bool operations_reserve(struct operations *operations);
void operations_give_back(struct operations *operations);
/* Takes over o, whose row stands, into the place that was reserved. Not once they have ended. */
void operations_take(struct operations *operations, struct operation *o);
bool operations_have_ended(const struct operations *operations);
/* Who renews the leases: this process. */
const char *operations_owner(const struct operations *operations);
void operation_free(struct operation *o);

/* -- for the kinds */

/* What a kind does once its row says running; results: of the statement that it asked for. */
int operation_copies_add(struct pg_request *question, const struct operation *o);
void operation_copies_begin(struct operation *o, const PGresult *result);
int operation_test_add(struct pg_request *question, const struct operation *o);
void operation_test_begin(struct operation *o, const PGresult *result);

/* A driver is asked at base_path (NULL: a store), has answered. */
void operation_asks(struct operation *o);
/* True: nobody waits for the answer any more, o is gone or will be. */
bool operation_answered(struct operation *o);
typedef void (*operation_told)(struct operation *o, const struct pg_results *results);
/* Sends question (taken over; added: what the functions that filled it returned); told runs when it has been
 * carried out, else the operation fails. */
void operation_tell(struct operation *o, struct pg_request *question, int added, operation_told told);
/* Its base path, for what hangs; NULL: none. */
const char *operation_disk(const struct operation *o);
/* Bytes read until now. */
uint64_t operation_bytes(struct operation *o);
void operation_cancel_work(struct operation *o);
/* True: the server ends; nothing more is begun. */
bool operation_is_stopped(const struct operation *o);
/* o->failure "": done. */
void operation_end(struct operation *o);
void operation_fail(struct operation *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
