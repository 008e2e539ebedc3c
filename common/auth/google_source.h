/*
 * Private to the Google credentials: what a secret's text, or a file of Application Default Credentials, says
 * about where tokens come from. Pure, but for google_source_find, which looks for such a file.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "auth/google_credentials.h"
#include "base/strbuf.h"

enum google_kind {
    GOOGLE_METADATA,        /* the machine's own account */
    GOOGLE_ACCESS_TOKEN,    /* a token that somebody made */
    GOOGLE_SERVICE_ACCOUNT, /* a private key */
    GOOGLE_USER,            /* a refresh token */
    GOOGLE_FEDERATION,      /* a token of another identity provider */
};

/* Texts are NULL where they may be left out and are; they stand in `json`. */
struct google_source {
    enum google_kind kind;
    char *name; /* for people; on the heap */
    json_t *json;
    const char *project, *quota_project;
    const char *token_url; /* where tokens are asked for; not of the first two kinds */

    struct {
        const char *value;
        int64_t expires_at_ms; /* 0 = not said */
    } token;
    struct {
        const char *email, *private_key, *key_id;
    } account;
    struct {
        const char *id, *secret; /* of a user both; of a federation both or none */
        const char *refresh_token;
    } client;
    struct {
        const char *audience, *token_type, *user_project;
        const char *file, *url; /* one of them */
        const json_t *headers;  /* of the url: texts by name */
        const char *field;      /* the token's, in JSON; NULL = the whole text is the token */
    } federation;
    struct {
        const char *url; /* NULL = the token is used as it is */
        const json_t *delegates;
        int lifetime_s;
    } impersonation;
};

enum { GOOGLE_MAX_SUBJECT_HEADERS = 4 };

/*
 * what: the reference or the path, for messages. ERROR_INPUT: which member is wrong; ERROR_UNSUPPORTED: a
 * kind that isn't served, and what to use; ERROR_LIMIT. Not retryable; no value of a member is repeated, but
 * for "type". ret is to be deinitialised after success only.
 */
int google_source_parse(const char *text, const char *what, struct google_source *ret, struct error *err);
void google_source_deinit(struct google_source *source); /* overwrites */

/*
 * Application Default Credentials: reads environment and files (blocking, small, local). Without a file:
 * GOOGLE_METADATA. looked: appended to where nothing was found, for messages. ERROR_DENIED, not retryable: no
 * file, and NO_GCE_CHECK. What can't be read: as regular_file_open says.
 */
int google_source_find(struct google_source *ret, struct strbuf *looked, struct error *err);

/* SHA-256 as google_credentials.h describes it; false: there's no such secret. */
bool google_source_digest(const struct google_source *source, unsigned char ret[DIGEST_SHA256_BYTES]);
