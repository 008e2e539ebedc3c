/*
 * AWS Signature Version 4: the Authorization header, and presigned URLs. Pure functions, from any thread;
 * every rule is AWS's "Signing AWS API requests", the S3 differences included; tested with the published
 * suite (tests/vectors/sigv4).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

enum {
    SIGV4_MAX_HEADERS = 64,         /* of one request, those that the signer adds not counted */
    SIGV4_MAX_QUERY = 64,           /* likewise */
    SIGV4_MAX_REQUEST = 256 * 1024, /* bytes of the canonical request */
};

struct sigv4_header {
    const char *name;  /* any case */
    const char *value; /* trimmed and squeezed by the signer for the signature; sent as it is by the caller */
};

struct sigv4_query {
    const char *name;  /* decoded */
    const char *value; /* decoded; NULL = "" */
};

enum sigv4_path {
    SIGV4_PATH_ONCE, /* S3: the path is given decoded; encoded once, never normalised */
    /* All others: the path is given as it stands in the request line (encoded once by who sends it); '.',
     * '..' and '//' are resolved, and it is encoded once more for the signature. For "/" there's no
     * difference. */
    SIGV4_PATH_NORMALISE,
};

struct sigv4_request {
    const char *method;
    const char *path; /* begins with '/', "" is "/"; see path_rule */
    const struct sigv4_query *query;
    int n_query;
    const struct sigv4_header
        *headers; /* all that are to be signed, host among them. Refused here: x-amz-date and
                     x-amz-security-token (the signer adds them), authorization */
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

/* ERROR_INPUT for what can't be signed (no host header, CR, LF or another control character in a value or a
 * credential), ERROR_LIMIT, ERROR_SYSTEM; none is retryable but the last. The canonical request and the
 * string to sign are appended to the buffers where they aren't NULL (tests, debugging a refused signature;
 * they hold the token). The caller sends x-amz-date: ret->date, authorization, and x-amz-security-token where
 * there is a token. */
int sigv4_sign(const struct sigv4_request *request, struct sigv4_signature *ret,
               struct strbuf *canonical_request, struct strbuf *string_to_sign, struct error *err);
void sigv4_signature_deinit(struct sigv4_signature *signature);

/* Appends the presigned query, encoded and sorted, with the request's own parameters among its own, to
 * ret_query: "X-Amz-Algorithm=...&...&X-Amz-Signature=..."; expires_s 1 to 604800; the payload hash is
 * request->payload_hash (S3: UNSIGNED-PAYLOAD). Errors as sigv4_sign. */
int sigv4_presign(const struct sigv4_request *request, int64_t expires_s, struct strbuf *ret_query,
                  struct strbuf *canonical_request, struct strbuf *string_to_sign, struct error *err);

/* Percent-encoding of AWS: A-Z a-z 0-9 - _ . ~ stay, and '/' when keep_slash; all else %XX over the bytes. */
void sigv4_encode(struct strbuf *out, const char *text, bool keep_slash);
