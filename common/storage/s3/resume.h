/*
 * resume_state of a multipart upload, JSON: what of it an earlier attempt has left at the store. Pure.
 *
 *   {"upload_id": "..." | null, "endpoint": ..., "bucket": ..., "key": ..., "sha256": ..., "size": ...,
 *    "part_size": 0 = the default plan, "checksum": "crc32c" | "md5" | "none", "fence": of the attempt that
 * began it, "parts": [[number, "ETag"], ...]}
 *
 * upload_id null: an upload was about to be begun; whether it was, only the store knows.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define S3_RESUME_MAX ((size_t)4 << 20)
#define S3_ETAG_MAX 128

struct s3_resume {
    const char *upload_id; /* NULL = an intent only */
    const char *endpoint, *bucket, *key, *sha256, *checksum;
    uint64_t size, part_size;
    int64_t fence; /* in the metadata of the object that will come of it */
    json_t *json;  /* owns the strings above */
};

/* ERROR_INPUT: not such a state. Undone by s3_resume_deinit, which takes a zeroed one too. */
int s3_resume_parse(const char *text, struct s3_resume *ret, struct error *err);
void s3_resume_deinit(struct s3_resume *resume);
/* Whether both are of the same artifact, cut and checked in the same way, at the same place. upload_id isn't
 * looked at. */
bool s3_resume_same(const struct s3_resume *a, const struct s3_resume *b);
/* The same service and bucket, where an upload of this state can be aborted by its key. */
bool s3_resume_same_bucket(const struct s3_resume *a, const struct s3_resume *b);
/* ETag that was recorded for a part, as the store gave it; NULL = none. */
const char *s3_resume_etag(const struct s3_resume *resume, uint32_t number);

/* malloc'ed; NULL when memory is out. etags [count], part number - 1, NULL = not uploaded yet; etags NULL =
 * none. */
char *s3_resume_text(const struct s3_resume *resume, const char *const *etags, uint32_t count);
