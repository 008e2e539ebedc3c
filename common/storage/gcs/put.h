/* One artifact to one key: what the parts of the upload share. The flow is storage/object/put.c's. */
#pragma once

#include "base/strbuf.h"
#include "storage/gcs/protocol.h"
#include "storage/gcs/resource.h"
#include "storage/gcs/resume.h"
#include "storage/object/put.h"

/* upload_id of an upload whose session can't be recorded: there is no key to encrypt it with. */
#define GCS_UNRECORDED "-"

struct gcs_put {
    struct object_put put;                /* first */
    char generation[GCS_GENERATION_SIZE]; /* of the last look */
    struct gcs_resume now, old; /* of this upload, of an earlier attempt; now's strings belong to others */
    struct strbuf head;         /* what is sent in front of the bytes: metadata */
    char tail[64];

    /* a resumable upload */
    char *url;             /* its session's, a secret; NULL = not known */
    uint64_t offset;       /* so many bytes are kept */
    uint64_t end;          /* those of the request under way end here */
    _Atomic uint64_t sent; /* of the request under way */
    bool unclear;          /* how many are kept is to be asked */
    int breaks;            /* in a row, without a byte more */
    int64_t wait_ms;       /* before the next request */
};

static inline const struct gcs_config *gcs_put_config(const struct object_put *put)
{
    return &((const struct gcs_session *)put->session)->config;
}

/* put.c: whether the resource says all that makes the object ours and whole. */
bool gcs_put_proves(const struct object_put *put, const struct gcs_resource *resource);
/* Refused by ifGenerationMatch=0, in Google's words. */
bool gcs_put_was_refused(const struct object_answer *answer, const struct error *err);

/* put_insert.c: objects.insert. The resource of the object to be, as JSON, behind what stands in out. */
void gcs_put_write_metadata(const struct object_put *put, struct strbuf *out);
/* What both ways of sending it have in common: where it goes, and create only. */
void gcs_put_draft_insert(const struct object_put *put, const char *upload_type, struct object_draft *draft);
int gcs_put_single(struct object_put *put, struct error *err);

/* put_stream.c */
int gcs_put_create(struct object_put *put, struct error *err);
int gcs_put_list(struct object_put *put, struct error *err);
int gcs_put_transfer(struct object_put *put, struct error *err);
uint64_t gcs_put_progress(const struct object_put *put);
int gcs_put_abort(struct object_put *put, const char *id, struct error *err);
