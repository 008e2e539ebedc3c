/*
 * S3 as object/call.c knows it: credentials and signature, the learned region and clock of a server, errors
 * by class (S3's error codes first, status second), and what is repaired once per call: a skewed clock,
 * expired or rotated credentials, a wrong region (if need be by an aside: a HEAD of the bucket).
 *
 * Of an ask: headers are all signed; host, x-amz-date, x-amz-content-sha256, x-amz-security-token and
 * x-amz-expected-bucket-owner are added, SSE-C's three with customer_key. payload_hash: hex SHA-256 or
 * S3_UNSIGNED; NULL = computed of a memory body. expect_root: a 200 must hold a document with this root, else
 * it counts as a 500 and is tried again; an <Error> in it is judged as an error answer.
 */
#pragma once

#include "storage/object/customer_key.h"
#include "storage/object/protocol.h"
#include "storage/s3/config.h"

#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_UNSIGNED "UNSIGNED-PAYLOAD" /* https only: asserted */

enum s3_ask_flag {
    /* A 2xx must hold an ETag, as it does when it tells of an object, else it counts as a 500 and is tried
     * again: something else answered in the store's place, such as a proxy with its own page. */
    S3_EXPECT_ETAG = 1 << 0,
};

struct s3_session {
    struct object_session base; /* first */
    struct s3_config config;
    struct object_customer_key customer_key; /* SSE-C, once the session is open */
};

static inline const struct s3_config *s3_config_of(const struct object_session *session)
{
    return &((const struct s3_session *)session)->config;
}

extern const struct object_protocol s3_protocol;

/* Of s3_protocol; session.c */
int s3_session_init(struct object_session *session, const struct storage_location *location,
                    struct error *err);
int s3_session_take_secret(struct object_session *session, const char *secret, struct error *err);
void s3_session_deinit(struct object_session *session);
