/*
 * resume_state of a resumable upload, JSON: what an earlier attempt has left at the store. Pure.
 *
 *   {"session": "KEY_ID:BASE64" | null, "endpoint": ..., "bucket": ..., "key": ..., "sha256": ..., "size":
 *    ..., "fence": of the attempt that began it}
 *
 * session is the upload's URL, which is a secret, encrypted (seal.h). null: there is no key to encrypt it
 * with, or no upload yet. How much the store has is not recorded: it knows.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct gcs_resume {
    const char *session; /* NULL = not known */
    const char *endpoint, *bucket, *key, *sha256;
    uint64_t size;
    int64_t fence;
    json_t *json; /* owns the strings above */
};

/* ERROR_INPUT: not such a state. Undone by gcs_resume_deinit, which takes a zeroed one too. */
int gcs_resume_parse(const char *text, struct gcs_resume *ret, struct error *err);
void gcs_resume_deinit(struct gcs_resume *resume);
/* Whether both are of the same artifact at the same place. session and fence aren't looked at. */
bool gcs_resume_same(const struct gcs_resume *a, const struct gcs_resume *b);
/* The same service and bucket, where an upload of this state can be cancelled. */
bool gcs_resume_same_bucket(const struct gcs_resume *a, const struct gcs_resume *b);
/* malloc'ed; NULL when memory is out. */
char *gcs_resume_text(const struct gcs_resume *resume);
