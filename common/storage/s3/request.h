/* One request as it goes over the wire: URL and header lines, signed. */
#pragma once

#include "auth/aws_credentials.h"
#include "base/strbuf.h"
#include "storage/s3/call.h"

#define S3_REQUEST_MAX_HEADERS 48

struct s3_request {
    char *url;
    const char *lines[S3_REQUEST_MAX_HEADERS]; /* point into text */
    int n_lines;
    struct strbuf text;
};

/* The path and query of the URL are the bytes that were signed. time_s: the server's clock as far as known.
 * ERROR_LIMIT, ERROR_SYSTEM, and what the signer says. */
int s3_request_build(const struct s3_session *session, const struct s3_ask *ask,
                     const struct aws_credentials *credentials, int64_t time_s, struct s3_request *ret,
                     struct error *err);
void s3_request_deinit(struct s3_request *request); /* overwrites it: it holds the signature */
