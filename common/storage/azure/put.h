/* One artifact to one blob: what put*.c share. The flow is object/put.c's. */
#pragma once

#include "storage/azure/azure.h"
#include "storage/azure/request.h"
#include "storage/azure/resume.h"
#include "storage/object/put.h"

#define AZURE_BASE64_SIZE 32 /* of an MD5, or a CRC-64, with NUL */

struct azure_put {
    struct object_put base;       /* first */
    enum azure_checksum checksum; /* settled: not AUTO */
    struct azure_resume now;      /* its strings belong to others */
    char etag[128];               /* of what was looked at last; "" = not told */
    char *list_body;              /* of Put Block List */

    /* What Put Blob and Put Block List say of the blob to be. */
    char row_id[24], fence[24], backup_id[24];
    char until[AZURE_HTTP_DATE_SIZE];
    char md5[AZURE_BASE64_SIZE];
    char *tags; /* "a=b&c=d", encoded; NULL = none */
};

static inline struct azure_put *azure_put_of(const struct object_put *put)
{
    return (struct azure_put *)(uintptr_t)put;
}

static inline const struct azure_config *azure_put_config(const struct object_put *put)
{
    return &azure_session_of(put->session)->config;
}

/* put.c: by what the server has told of itself; before any bytes are sent. */
void azure_put_settle(struct azure_put *self);

/* put_blob.c: what is said of a blob, and what stands at its name. */
int azure_put_describe_init(struct azure_put *self, struct error *err);
void azure_put_describe_deinit(struct azure_put *self);
int azure_put_look(struct object_put *put, struct error *err);
int azure_put_single(struct object_put *put, struct error *err);
int azure_put_remove(struct object_put *put, struct error *err);
/* The headers of the blob to be, the create-only condition among them. */
void azure_put_describe(struct azure_put *self, struct object_draft *draft);
void azure_put_base64_md5(const unsigned char md5[RANGE_MD5_BYTES], char ret[AZURE_BASE64_SIZE]);
/* REFUSED where the answer tells that something stands there; else FAILED. */
enum object_put_outcome azure_put_refusal(const struct object_answer *answer);

/* put_blocks.c */
char *azure_put_encode(const struct object_put *put);
int azure_put_name(struct object_put *put, struct error *err);
int azure_put_list(struct object_put *put, struct error *err);
int azure_put_part(struct object_put_sender *sender, const struct object_put_part_sums *sums,
                   struct error *err);
int azure_put_complete(struct object_put *put, struct error *err);
