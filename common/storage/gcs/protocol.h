/*
 * Requests of the JSON API: what an ask means here, how it is authorised, what its answer says.
 *
 * ask.key with GCS_ASK_OBJECT is the object that is asked about, else it is NULL; ask.url is an upload's
 * session, which needs no credentials and gets none: the URL is one itself.
 */
#pragma once

#include "auth/google_credentials.h"
#include "storage/gcs/config.h"
#include "storage/object/customer_key.h"
#include "storage/object/protocol.h"

struct gcs_session {
    struct object_session base; /* first */
    struct gcs_config config;
    struct object_customer_key customer_key;
    /* Of the credentials of the last request, where they have one: a key for seal.h. */
    bool has_secret_digest;
    unsigned char secret_digest[DIGEST_SHA256_BYTES];
};

/* ask.flags: where it goes, and what a success must hold, or it counts as a 500 and is tried again: something
 * else has answered in the store's place, or the answer was cut off. */
enum gcs_ask_flag {
    GCS_ASK_UPLOAD = 1 << 0,   /* .../upload/storage/v1/b/BUCKET/o */
    GCS_ASK_BUCKET = 1 << 1,   /* the bucket itself, not its objects */
    GCS_WANT_OBJECT = 1 << 2,  /* the resource of an object */
    GCS_WANT_LISTING = 1 << 3, /* a page of a listing */
    GCS_WANT_MEDIA = 1 << 4,   /* an object's bytes, said to be so by x-goog-generation */
    GCS_WANT_SESSION = 1 << 5, /* Location */
    GCS_WANT_NOTHING = 1 << 6, /* no body: a deletion */
    GCS_TAKE_308 = 1 << 7,     /* an upload's state, as well as GCS_WANT_OBJECT */
    GCS_TAKE_499 = 1 << 8,     /* an upload that was cancelled */
};

extern const struct object_protocol gcs_protocol;

/* What tokens the session's calls ask for. */
struct google_credentials_ask gcs_credentials_ask(const struct gcs_session *session);

/* objects.get, for the resource; buckets.get. */
void gcs_ask_resource(const char *key, struct object_draft *draft);
void gcs_ask_bucket(struct object_draft *draft);

/* Whether a 404 is about the object or its bucket, as far as it says. */
bool gcs_says_no_bucket(const struct object_answer *answer);
