/* An upload to S3: what of storage/object/put.h differs from store to store. */
#pragma once

#include "storage/object/put.h"
#include "storage/s3/protocol.h"
#include "storage/s3/resume.h"
#include "storage/s3/s3.h"

#define S3_PUT_BASE64_SIZE 48 /* of a digest, with NUL */

struct s3_put {
    struct object_put put;     /* first */
    struct s3_resume now, old; /* of this upload, of an earlier attempt; now's strings belong to others */
    bool payload_signed;
    uint32_t marker; /* of ListParts: where the next page begins */
    char *complete_body;
};

bool s3_put_was(const struct object_answer *answer, int status, const char *code); /* code NULL = any */
bool s3_put_has_key(const struct object_put *put);                                 /* SSE-C */
bool s3_put_wants_md5(const struct object_put *put);
bool s3_put_wants_crc32c(const struct object_put *put);

/* put_headers.c: of PutObject and CreateMultipartUpload. items point into it. */
struct s3_put_headers {
    struct object_header items[32];
    int n;
    char row_id[24], fence[24], backup_id[24], until[32], sum[S3_PUT_BASE64_SIZE];
    char *context, *tags;
};
int s3_put_headers_init(struct s3_put_headers *headers, const struct object_put *put, struct error *err);
void s3_put_headers_deinit(struct s3_put_headers *headers);
void s3_put_headers_add(struct s3_put_headers *headers, const char *name, const char *value);
/* x-amz-checksum-crc32c or Content-MD5, where the store is to get one. */
void s3_put_headers_add_sum(struct s3_put_headers *headers, const struct object_put *put, uint32_t crc32c,
                            const unsigned char *md5);
void s3_put_base64(const void *data, size_t size, char out[S3_PUT_BASE64_SIZE]);
void s3_put_base64_crc32c(uint32_t crc32c, char out[S3_PUT_BASE64_SIZE]);

/* Hooks: put_look.c, put_single.c, put_upload.c, put_parts.c */
int s3_put_look(struct object_put *put, struct error *err);
int s3_put_remove(struct object_put *put, struct error *err);
int s3_put_single(struct object_put *put, struct error *err);
int s3_put_create(struct object_put *put, struct error *err);
int s3_put_complete(struct object_put *put, struct error *err);
int s3_put_abort(struct object_put *put, const char *id, struct error *err);
int s3_put_list(struct object_put *put, struct error *err);
int s3_put_part(struct object_put_sender *sender, const struct object_put_part_sums *sums, struct error *err);
