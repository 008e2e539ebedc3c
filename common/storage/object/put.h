/*
 * One artifact to one key of an object store: what all protocols share of an upload. The flow is in put.c, in
 * one picture. A protocol is one const table of hooks; a hook makes one request, and tells what came of it.
 *
 * A driver's put_start is one line: object_put_start with its table. The protocol's own struct begins with
 * struct object_put; its session (session.h) is opened and ended here.
 *
 * - Hooks run on the loop's thread. A hook that makes a request returns 0 when it is under way, and
 *   object_put_answered (part: object_put_part_answered; look: object_put_looked) follows once, from the
 *   loop, never before the hook has returned; or it returns a negative code with err filled, and nothing
 *   follows.
 * - Requests are made by object_put_call (part: object_put_call_part), which keep what a cancel ends. After a
 *   cancel the answer still comes, with ERROR_CANCELLED or with what was there already; the ask's done tells
 *   it as any other outcome.
 * - Only the store's word counts: a 404 or a 2xx that no store has said is FAILED, retryable (the store's
 *   judge sees to it, protocol.h).
 */
#pragma once

#include "storage/driver.h"
#include "storage/object/task.h"
#include "storage/part_digests.h"
#include "storage/part_plan.h"
#include "storage/range_digest.h"

#define OBJECT_PUT_MAX_PARALLEL 32
#define OBJECT_PUT_MAX_DOOMED 64

struct object_put;
struct object_put_sender;
struct object_put_part_sums;

/* What came of a hook. err: with FAILED and SPOILED, and perhaps LOST; NULL otherwise. */
enum object_put_outcome {
    OBJECT_PUT_OK,
    OBJECT_PUT_PROVEN,  /* single, complete, transfer: OK, and the answer holds the store's own digest of what
                           it has taken, equal to ours: no request confirms it once more */
    OBJECT_PUT_AGAIN,   /* look, list, transfer: there is more to do: the hook is called again */
    OBJECT_PUT_REFUSED, /* single, create, complete, transfer: by the create-only condition */
    OBJECT_PUT_LOST,   /* list, part, complete, transfer: the store doesn't know the upload (any more), or not
                          what it is said to hold. abort: it is gone. The key is looked at (it may have been
                          completed), then the upload begins anew, once */
    OBJECT_PUT_FAILED, /* err says why. Retryable: the upload stays for the next attempt */
    OBJECT_PUT_SPOILED, /* complete, transfer: FAILED, and what is there can't become the object: it is
                           aborted and forgotten, also where err is retryable */
};

/* What a store's protocol supplies beside its struct object_protocol. */
struct object_put_protocol {
    const struct object_protocol *store; /* its driver's get_start reads back; list_start: see finds_strays */
    size_t size; /* of the protocol's own struct, struct object_put first; allocated zeroed */

    /* From object_put_start, before anything runs, with request and session set: sets what stands under "set
     * by init" below (object_put_plan_parts), and takes up request->resume_state where it isn't NULL
     * (object_put_take_up, object_put_doom, strays_wanted). 0 or a negative code; deinit runs in both cases.
     */
    int (*init)(struct object_put *put, struct error *err);
    /* When nothing runs any more, before the session ends: frees what is the protocol's own. Also of a struct
     * that init hasn't seen (it is zeroed). May be NULL. */
    void (*deinit)(struct object_put *put);

    /* --- the object --- */

    /* What stands at the key. put->reason says why it is asked. Ends with object_put_looked, a failure with
     * object_put_answered. Where put->conditional and before anything is sent (OBJECT_PUT_BEFORE), an answer
     * "may not read" may be told as nothing there. */
    int (*look)(struct object_put *put, struct error *err);
    /* The whole in one request, under the create-only condition where put->conditional, with our metadata
     * (sha256, row-id, fence, backup-id) and put->first_sums. OK, PROVEN, REFUSED, FAILED. Its bytes go to
     * request->bytes_done (the ask's bytes_sent). */
    int (*single)(struct object_put *put, struct error *err);
    /* The object as looked at last, and no other version: what this attempt made, and made wrong. OK, FAILED
     * (it stands as it was; the next attempt says so). */
    int (*remove)(struct object_put *put, struct error *err);

    /* --- a large object, either way --- */

    /* The resume state as of now, malloc'ed; NULL when memory is out. put->upload_id NULL: the intent of an
     * upload. Nothing secret in it in clear. At most 4 MiB. */
    char *(*encode)(const struct object_put *put);
    /* One of two. name: no request begins an upload, its name is drawn (object_put_set_upload) and recorded
     * before anything is sent. create: a request begins it: OK after object_put_set_upload; REFUSED; FAILED.
     * With finds_strays the ask is to be `once`: it is tried again here, once what an answer that got lost
     * may have left is aborted. */
    int (*name)(struct object_put *put, struct error *err);
    int (*create)(struct object_put *put, struct error *err);
    /* What an earlier attempt left of put->upload_id: object_put_part_listed for each part (or, of a stream,
     * how far it is). OK, AGAIN (the next page), LOST, FAILED. A stream that turns out to be complete: put's
     * completed is set, and OK. */
    int (*list)(struct object_put *put, struct error *err);
    /* Ends the open upload `id`, which isn't always put->upload_id. OK or LOST: it is gone. FAILED. NULL: the
     * store ends what isn't completed by itself. */
    int (*abort)(struct object_put *put, const char *id, struct error *err);
    bool finds_strays; /* driver->list_start tells open uploads of a key. An upload whose begin was recorded,
                          but not its name, is found and aborted */

    /* --- (a) parts, in any order, several at once --- */

    bool records_parts; /* encode tells of single parts: it is recorded again as they get done */
    /* Part sender->number: sender->size bytes of request->source_fd from sender->offset. sums: at least
     * put->part_sums. Made by object_put_call_part; ends with object_put_part_answered. */
    int (*part)(struct object_put_sender *sender, const struct object_put_part_sums *sums, struct error *err);
    /* All parts are done: put->parts [plan.count]. OK, PROVEN, REFUSED, LOST, FAILED, SPOILED. */
    int (*complete)(struct object_put *put, struct error *err);

    /* --- (b) a stream of the protocol's own; NULL = parts --- */

    /* Sends what is missing of put->upload_id, to its end; may make many requests one after the other, each
     * by object_put_call, with AGAIN between them (or object_put_pause). OK, PROVEN, AGAIN, REFUSED, LOST,
     * FAILED, SPOILED. put->first_sums are known before it begins. */
    int (*transfer)(struct object_put *put, struct error *err);
    /* Bytes that are there or on their way; asked several times a second while transfer is under way. */
    uint64_t (*progress)(const struct object_put *put);
};

enum object_put_state {
    OBJECT_PUT_OPEN,
    OBJECT_PUT_LOOK,
    OBJECT_PUT_READ,
    OBJECT_PUT_STRAYS,
    OBJECT_PUT_ABORT,
    OBJECT_PUT_LIST,
    OBJECT_PUT_SUMS,
    OBJECT_PUT_SINGLE,
    OBJECT_PUT_INTENT,
    OBJECT_PUT_CREATE,
    OBJECT_PUT_RECORD,
    OBJECT_PUT_PARTS,
    OBJECT_PUT_COMPLETE,
    OBJECT_PUT_TRANSFER,
    OBJECT_PUT_CONFIRM,
    OBJECT_PUT_REMOVE,
    OBJECT_PUT_FORGET,
    OBJECT_PUT_END,
};

/* Why the key is looked at. */
enum object_put_reason {
    OBJECT_PUT_BEFORE,        /* before anything is sent */
    OBJECT_PUT_AFTER_REFUSAL, /* the store says that something stands there */
    OBJECT_PUT_AFTER_LOSS,    /* the upload is gone: perhaps it was completed */
    OBJECT_PUT_AFTER_WRITE,   /* is it what was sent? */
};

/* What stands at the key, as the store tells it. Strings: copied. */
struct object_put_seen {
    uint64_t size;
    const char *sha256, *row_id, *fence; /* of its metadata; NULL or "" = it doesn't say */
    bool checksum_differs;               /* the store told a checksum, ours is known, and they aren't equal */
};

enum object_standing_kind {
    OBJECT_STANDING_NONE,
    OBJECT_STANDING_EQUAL,   /* size, our SHA-256 in its metadata, checksum where told */
    OBJECT_STANDING_UNKNOWN, /* of equal size; its content must be read */
    OBJECT_STANDING_DIFFERENT,
    OBJECT_STANDING_DAMAGED, /* says that it is this artifact, but its checksum or size is another */
};

struct object_standing {
    enum object_standing_kind kind;
    uint64_t size;
    char sha256[STORAGE_SHA256_SIZE]; /* "" = not known */
    bool ours;                        /* made by this very attempt: row and fence in its metadata */
    bool taken_up; /* or of the upload that this attempt took up: the fence of the one that began it */
};

enum object_part_state {
    OBJECT_PART_MISSING,
    OBJECT_PART_LISTED, /* at the store, with the digests below; whether it is ours is seen by hashing */
    OBJECT_PART_SENDING,
    OBJECT_PART_DONE,
};

struct object_part {
    enum object_part_state state;
    char *tag;       /* what the store, or the hook, calls it. Only of LISTED and DONE parts */
    uint32_t crc32c; /* of DONE parts, where part_sums or the staging pass's digests hold it */
    unsigned told;   /* LISTED: enum range_sum */
    unsigned char md5[RANGE_MD5_BYTES];
};

/* A part that an earlier attempt left, as the list tells it. */
struct object_part_listed {
    uint64_t number; /* any number, any size: what doesn't fit the plan is passed over */
    uint64_t size;
    const char *tag; /* copied */
    bool recorded;   /* an earlier attempt recorded the tag for these very bytes */
    /* CRC32C or MD5 of the bytes, as the store tells it or as the part's name holds it. Without `recorded` it
     * is this that tells that the part is ours: against the staging pass's digest, or by hashing. */
    unsigned told; /* enum range_sum; 0 = nothing is told */
    uint32_t crc32c;
    unsigned char md5[RANGE_MD5_BYTES];
};

/* Digests of a part that is to be sent. */
struct object_put_part_sums {
    unsigned known; /* enum range_sum: of part_sums, and what the staging pass's digests hold */
    struct range_sums sums;
};

/* A part under way. */
struct object_put_sender {
    struct object_put *put;
    struct object_call *call; /* NULL = free */
    uint32_t number;          /* from 1 */
    uint64_t offset, size;
    uint32_t crc32c;
    _Atomic uint64_t sent; /* for the ask's bytes_sent */
};

struct object_put {
    struct object_op op; /* first */
    const struct object_put_protocol *protocol;
    struct storage_put *request;

    struct object_session *session; /* store->session_size bytes; its container goes into messages */

    /* --- set by init --- */
    bool single;      /* one request; else object_put_plan_parts (a), or a stream (b) */
    bool conditional; /* the writes carry the create-only condition. false: the key is looked at before */
    bool read_back;
    int parallel;       /* parts at once, 1 to OBJECT_PUT_MAX_PARALLEL */
    bool strays_wanted; /* uploads of the key that nobody knows the name of are looked for, and aborted */

    /* --- set by init, or changed by a look before anything is sent (it may tell what the store can do) ---
     */
    /* enum range_sum: computed of the whole before single or transfer. SHA-256 is compared with what was
     * promised, CRC32C with the staging pass's: wanted where the store checks neither. */
    unsigned first_wanted;
    /* enum range_sum: computed of each part before it is sent. Where the staging pass's digests hold the
     * same, they are compared. */
    unsigned part_sums;
    bool whole_md5; /* parts: MD5 of the whole is computed beside, for complete (object_put_md5) */

    /* --- read by hooks --- */
    enum object_put_reason reason;   /* of look */
    struct object_standing standing; /* of the last look */
    char *upload_id;                 /* NULL = none is open */
    int64_t begun_fence; /* of the attempt that began it: in the metadata of the object to be, where they are
                            fixed by create */
    bool digests_fit; /* the staging pass's digests are of these parts; single and stream: of this artifact */
    unsigned first_known; /* what first_sums holds */
    struct range_sums first_sums;
    struct part_plan plan;
    struct object_part *parts; /* [plan.count], number - 1 */
    bool completed;            /* the store has said so; list may set it */
    /* Set by create: what encode tells doesn't name the upload, so that no later attempt can take it up:
     * however this one ends, it is aborted. */
    bool unrecorded;

    /* --- private --- */
    enum object_put_state state;
    uv_timer_t timer; /* runs step(), and tells of progress while a large object is sent */
    bool waiting;     /* call, sub or sums is under way, or pausing */
    bool pausing;     /* the timer ends it */
    bool again;       /* the state's hook goes on */
    bool soon;        /* the timer answers with soon_outcome */
    enum object_put_outcome soon_outcome;
    bool stale;       /* the row is someone else's */
    bool ending;      /* success or err is decided: only tidying up is left */
    struct error err; /* the first failure */
    bool existed;
    struct object_call *call;
    struct storage_op *sub; /* get or list */
    struct storage_get get;
    struct storage_list list;
    struct range_digest sums;
    char *doomed[OBJECT_PUT_MAX_DOOMED]; /* uploads to abort */
    int n_doomed;
    bool remove_wanted; /* the wrong object that we made */
    bool forget_wanted; /* save(NULL) */
    bool abort_failed;
    char read_sha256[STORAGE_SHA256_SIZE];
    bool refused, proven;
    bool spoiled; /* can't be completed any more */
    bool lost;    /* the store doesn't know it */
    int refusals, restarts, creates;
    struct digest *whole;      /* without digests of the staging pass: SHA-256 of all parts in their order */
    struct evp_md_ctx_st *md5; /* with whole_md5 */
    unsigned char md5_sum[RANGE_MD5_BYTES];
    bool md5_known;
    uint32_t next;  /* part that is looked at next */
    bool hashing;   /* sums is at work on it */
    bool has_ready; /* ready holds those of the next part to be sent */
    uint32_t ready_number;
    struct range_sums ready;
    uint32_t n_done, n_saved;
    uint64_t done_bytes;
    int n_sending;
    struct object_put_sender senders[OBJECT_PUT_MAX_PARALLEL];
    bool saving, save_wanted, save_null, recorded;
};

/* storage_driver.put_start. Checks key, digest and source. */
int object_put_start(const struct object_put_protocol *protocol, struct storage_put *request,
                     struct storage_op **ret_op, struct error *err);

/* --- from init --- */

/* How a large object is cut (part_plan_make), and room for its parts. Sets plan, parts, digests_fit; error
 * with key and container in it. */
int object_put_plan_parts(struct object_put *put, uint64_t part_size, uint32_t max_parts, uint64_t min_size,
                          uint64_t max_size, struct error *err);
/* For tests: parts of this many bytes, whatever configuration and store allow; 0 undoes it. */
void object_put_set_part_size(uint64_t bytes);
/* The resume state names an upload that is this one: same place, key, artifact, plan, checks. fence: of the
 * attempt that began it. */
int object_put_take_up(struct object_put *put, const char *upload_id, int64_t fence, struct error *err);

/* --- from hooks --- */

/* The hook's one request: ask's data becomes put; its done tells the outcome. */
int object_put_call(struct object_put *put, struct object_ask *ask, struct error *err);
/* Fills in the ask's data (sender), body and bytes_sent. */
int object_put_call_part(struct object_put_sender *sender, struct object_ask *ask, struct error *err);
void object_put_answered(struct object_put *put, enum object_put_outcome outcome, const struct error *err);
/* OK with the part's tag; LOST; FAILED. tag is copied. Context (key, part of parts) is added here;
 * ERROR_CORRUPT: the bytes aren't those of the staging pass, the upload is spoiled. */
void object_put_part_answered(struct object_put_sender *sender, enum object_put_outcome outcome,
                              const char *tag, const struct error *err);
void object_put_looked(struct object_put *put, const struct object_put_seen *seen); /* NULL = nothing there */
/* From transfer, instead of a request: it is called again in ms. */
void object_put_pause(struct object_put *put, int64_t ms);
/* From list and abort, instead of a request, where none needs to be made: OK or LOST, from the loop. */
void object_put_answer_soon(struct object_put *put, enum object_put_outcome outcome);
/* From create and name. ERROR_SYSTEM. */
int object_put_set_upload(struct object_put *put, const char *upload_id, struct error *err);
void object_put_part_listed(struct object_put *put, const struct object_part_listed *listed);
/* An upload to abort before anything is sent, or at the end. Without an abort hook: nothing. */
void object_put_doom(struct object_put *put, const char *upload_id);

/* --- what is known of the artifact --- */

/* CRC32C of the whole: of the staging pass, of SUMS, of all parts. false: not known (yet). */
bool object_put_crc32c(const struct object_put *put, uint32_t *ret);
/* MD5 of the whole: of the staging pass, of SUMS, or with whole_md5 once all parts are done. */
bool object_put_md5(const struct object_put *put, unsigned char ret[RANGE_MD5_BYTES]);
