/* What a sink answers a request with, and what the three protocols read of it alike. */
#pragma once

#include "objects.h"
#include "wire.h"

enum kind {
    PUT_OBJECT,
    HEAD_OBJECT,
    DELETE_OBJECT,
    CREATE_UPLOAD,
    UPLOAD_PART,
    COMPLETE_UPLOAD,
    ABORT_UPLOAD,
    LIST,
    BUCKET,
    OTHER,
    KINDS
};

struct answer {
    int status; /* 200 until something else is said */
    const char *reason;
    const char *content_type; /* of the body, where there is one */
    char headers[OBJECTS_HEADERS_MAX + 512];
    char body[OBJECTS_HEADERS_MAX + 512];
};

/* One for each protocol: s3.c, azure.c, gcs.c. The request's body has been dropped. */
enum kind s3_judge(const struct wire_request *request, struct answer *answer);
enum kind azure_judge(const struct wire_request *request, struct answer *answer);
enum kind gcs_judge(const struct wire_request *request, struct answer *answer);

void answer_status(struct answer *answer, int status, const char *reason);
__attribute__((format(printf, 2, 3))) void answer_header(struct answer *answer, const char *format, ...);
__attribute__((format(printf, 2, 3))) void answer_body(struct answer *answer, const char *format, ...);

/* The value of a query parameter, up to the next '&', or NULL. */
const char *query_parameter(const char *query, const char *name);
/* Lines of the request's headers whose names begin with the prefix, behind those that stand in out. */
void keep_headers(const struct wire_request *request, const char *prefix, char out[OBJECTS_HEADERS_MAX]);
