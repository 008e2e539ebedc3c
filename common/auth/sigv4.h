/*
 * AWS Signature Version 4: the Authorization header, and presigned URLs. Pure functions; every rule is AWS's
 * "Signing AWS API requests", the S3 differences included; tested with the published suite (shared vectors).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

struct sigv4_header {
    const char *name;  /* any case */
    const char *value; /* trimmed and squeezed by the signer for the signature; sent as it is by the caller */
};

struct sigv4_query {
    const char *name;  /* decoded */
    const char *value; /* decoded; NULL = "" */
};

enum sigv4_path {
    SIGV4_PATH_ONCE,      /* S3: path encoded once, never normalised */
    SIGV4_PATH_NORMALISE, /* all others: '.', '..' and '//' resolved, encoded twice */
};

struct sigv4_request {
    const char *method;
    const char *path; /* decoded, begins with '/'; "" is "/" */
    const struct sigv4_query *query;
    int n_query;
    const struct sigv4_header *headers; /* all that are to be signed, host among them; x-amz-date and
                                           x-amz-security-token are added by the signer */
    int n_headers;
    const char *payload_hash; /* hex SHA-256, or UNSIGNED-PAYLOAD; is not added as a header by the signer */
    const char *region, *service;
    const char *access_key_id, *secret_access_key, *session_token; /* session_token NULL or "" = none */
    int64_t time_s; /* Unix time of the signature, the server's clock if an offset is known */
    enum sigv4_path path_rule;
    bool token_unsigned; /* the token is sent but not signed (some services; never S3) */
};

/* Values of the headers to send besides those given. */
struct sigv4_signature {
    char date[17];       /* x-amz-date: 20150830T123600Z */
    char *authorization; /* malloc'ed: free with sigv4_signature_deinit, which overwrites it */
};

/* ERROR_INPUT for what can't be signed (no host header, CR or LF in a value), ERROR_LIMIT, ERROR_SYSTEM. The
 * canonical request and the string to sign are appended to the buffers where they aren't NULL (tests,
 * debugging a refused signature; they hold the token). */
int sigv4_sign(const struct sigv4_request *request, struct sigv4_signature *ret,
               struct strbuf *canonical_request, struct strbuf *string_to_sign, struct error *err);
void sigv4_signature_deinit(struct sigv4_signature *signature);

/* Appends the presigned query ("X-Amz-Algorithm=...&...&X-Amz-Signature=...") with the request's own
 * parameters to ret_query; expires_s 1 to 604800; the payload hash is request->payload_hash (S3:
 * UNSIGNED-PAYLOAD). */
int sigv4_presign(const struct sigv4_request *request, int64_t expires_s, struct strbuf *ret_query,
                  struct strbuf *canonical_request, struct strbuf *string_to_sign, struct error *err);

/* Percent-encoding of AWS: A-Z a-z 0-9 - _ . ~ stay, and '/' when keep_slash; all else %XX over the bytes. */
void sigv4_encode(struct strbuf *out, const char *text, bool keep_slash);
