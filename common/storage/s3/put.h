/* One artifact to one key: the struct that put*.c share. The flow is in put.c. */
#pragma once

#include "storage/object/task.h"
#include "storage/part_digests.h"
#include "storage/part_plan.h"
#include "storage/range_digest.h"
#include "storage/s3/protocol.h"
#include "storage/s3/resume.h"
#include "storage/s3/s3.h"

#define S3_PUT_MAX_PARALLEL 32
#define S3_PUT_MAX_DOOMED 64
#define S3_PUT_BASE64_SIZE 48 /* of a digest, with NUL */

enum s3_put_state {
    S3_PUT_OPEN,
    S3_PUT_LOOK,
    S3_PUT_READ,
    S3_PUT_STRAYS,
    S3_PUT_ABORT,
    S3_PUT_LIST,
    S3_PUT_SUMS,
    S3_PUT_SINGLE,
    S3_PUT_INTENT,
    S3_PUT_CREATE,
    S3_PUT_RECORD,
    S3_PUT_PARTS,
    S3_PUT_COMPLETE,
    S3_PUT_CONFIRM,
    S3_PUT_REMOVE,
    S3_PUT_FORGET,
    S3_PUT_END,
};

/* Why the key is looked at. */
enum s3_put_reason {
    S3_PUT_FIRST,     /* before anything is sent */
    S3_PUT_REFUSED,   /* the store says that something stands there */
    S3_PUT_LOST,      /* the upload is gone: perhaps it was completed */
    S3_PUT_COMPLETED, /* is it what was sent? */
};

enum s3_standing_kind {
    S3_STANDING_NONE,
    S3_STANDING_EQUAL,   /* size, our SHA-256 in its metadata, checksum where told */
    S3_STANDING_UNKNOWN, /* of equal size; its content must be read */
    S3_STANDING_DIFFERENT,
    S3_STANDING_DAMAGED, /* says that it is this artifact, but its checksum or size is another */
};

struct s3_standing {
    enum s3_standing_kind kind;
    uint64_t size;
    char sha256[STORAGE_SHA256_SIZE]; /* "" = not known */
    bool ours;                        /* made by this very attempt: row and fence in its metadata */
    bool taken_up; /* or of the upload that this attempt took up: the fence of the one that began it */
};

enum s3_part_state {
    S3_PART_MISSING,
    S3_PART_LISTED, /* at the store with the MD5 below; whether it is ours is seen by hashing */
    S3_PART_SENDING,
    S3_PART_DONE,
};

struct s3_part {
    enum s3_part_state state;
    uint32_t crc32c;
    unsigned char md5[RANGE_MD5_BYTES];
};

/* A part under way. */
struct s3_sender {
    struct s3_put *put;
    struct object_call *call; /* NULL = free */
    uint32_t number;
    uint32_t crc32c;
    _Atomic uint64_t sent;
};

struct s3_put {
    struct object_op op; /* first */
    struct storage_put *request;
    struct s3_session session;
    enum s3_put_state state;
    uv_timer_t timer; /* runs step(), and tells of progress while parts are sent */
    bool waiting;     /* call, sub or sums is under way, or pausing */
    bool pausing;     /* the timer ends it */
    bool stale;       /* the row is someone else's */
    bool ending;      /* success or err is decided: only tidying up is left */
    struct error err; /* the first failure */
    bool existed;

    struct object_call *call;
    struct storage_op *sub; /* get or list */
    struct storage_get get;
    struct storage_list list;
    struct range_digest sums;
    bool has_sums; /* ready holds those of the next part to be sent, or of the single object */
    struct range_sums ready;

    /* what is to be done at the end, or before the upload begins */
    char *doomed[S3_PUT_MAX_DOOMED]; /* upload ids to abort */
    int n_doomed;
    bool strays_wanted; /* uploads of the key that nobody knows the id of are looked for */
    bool remove_wanted; /* the wrong object that we made */
    bool forget_wanted; /* save(NULL) */
    bool abort_failed;

    enum s3_put_reason reason; /* of LOOK and CONFIRM */
    struct s3_standing standing;
    char read_sha256[STORAGE_SHA256_SIZE];
    bool refused; /* by If-None-Match */
    int refusals, restarts, creates;

    /* one request */
    bool single;
    bool proven; /* its answer holds the store's own digest of what it got */

    /* multipart */
    struct part_plan plan;
    struct s3_resume now, old; /* of this upload, of an earlier attempt; now's strings belong to others */
    char *upload_id;
    bool completed; /* the store has said so */
    bool spoiled;   /* can't be completed any more */
    bool lost;      /* the store doesn't know it */
    struct s3_part *parts;
    char **etags; /* [plan.count], as the store gave them; NULL = not done */
    bool digests_fit, payload_signed;
    unsigned part_sums;   /* enum range_sum: what is computed of each part that is sent */
    struct digest *whole; /* without digests of the staging pass: SHA-256 of all parts in their order */
    uint32_t next;        /* part that is looked at next */
    bool hashing;         /* sums is at work on it */
    uint32_t ready_number;
    uint32_t n_done, n_saved, marker;
    uint64_t done_bytes;
    int n_sending;
    struct s3_sender senders[S3_PUT_MAX_PARALLEL];
    char *complete_body;

    bool saving, save_wanted, save_null, recorded;
};

/* put.c */
void s3_put_step(struct s3_put *self);
/* Starts the one call of a state; its result comes to on_answer through the ask's data. On failure err is
 * set. body_fd is -1 unless ask says otherwise. */
void s3_put_call(struct s3_put *self, struct object_ask *ask);
void s3_put_fail(struct s3_put *self, const struct error *err); /* the first one counts */
void s3_put_pause(struct s3_put *self, int64_t ms);             /* then step goes on */
bool s3_put_was(const struct object_answer *answer, int status, const char *code);
void s3_put_doom(struct s3_put *self, const char *upload_id);
void s3_put_save(struct s3_put *self, bool null); /* at most one under way, the next one after it */
void s3_put_forget_upload(struct s3_put *self);   /* of this attempt's: nothing of it is known any more */

/* put_headers.c: of PutObject and CreateMultipartUpload. items point into it. */
struct s3_put_headers {
    struct object_header items[32];
    int n;
    char row_id[24], fence[24], backup_id[24], until[32], sum[S3_PUT_BASE64_SIZE];
    char *context, *tags;
};
int s3_put_headers_init(struct s3_put_headers *headers, const struct s3_put *self, struct error *err);
void s3_put_headers_deinit(struct s3_put_headers *headers);
void s3_put_headers_add(struct s3_put_headers *headers, const char *name, const char *value);
/* x-amz-checksum-crc32c or Content-MD5, where the store is to get one. */
void s3_put_headers_add_sum(struct s3_put_headers *headers, const struct s3_put *self, uint32_t crc32c,
                            const unsigned char *md5);
bool s3_put_wants_md5(const struct s3_put *self);
bool s3_put_wants_crc32c(const struct s3_put *self);
void s3_put_base64(const void *data, size_t size, char out[S3_PUT_BASE64_SIZE]);
void s3_put_base64_crc32c(uint32_t crc32c, char out[S3_PUT_BASE64_SIZE]);

/* put_look.c */
void s3_put_look_start(struct s3_put *self);
void s3_put_read_start(struct s3_put *self);
void s3_put_remove_start(struct s3_put *self);
/* The artifact's CRC32C where it is known. */
bool s3_put_crc32c(const struct s3_put *self, uint32_t *ret);
void s3_put_conflict(const struct s3_put *self, struct error *err);

/* put_single.c */
bool s3_put_single_needs_sums(const struct s3_put *self);
void s3_put_sums_start(struct s3_put *self);
void s3_put_single_start(struct s3_put *self);

/* put_upload.c */
/* For tests: parts of this many bytes, whatever configuration and store allow; 0 undoes it. */
void s3_put_set_part_size(uint64_t bytes);
int s3_put_upload_init(struct s3_put *self, struct error *err);
void s3_put_create_start(struct s3_put *self);
void s3_put_complete_start(struct s3_put *self);
void s3_put_abort_start(struct s3_put *self);

/* put_parts.c */
bool s3_put_parts_step(struct s3_put *self); /* true: all are done, or it failed and nothing runs */
void s3_put_parts_cancel(struct s3_put *self);
void s3_put_parts_progress(struct s3_put *self);
void s3_put_part_done(struct s3_put *self, uint32_t number, const char *etag);

/* put_resume.c */
void s3_put_strays_start(struct s3_put *self);
void s3_put_list_start(struct s3_put *self);
