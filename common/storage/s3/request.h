/* One S3 request as it goes over the wire: URL and header lines, signed. */
#pragma once

#include "auth/aws_credentials.h"
#include "storage/object/request.h"
#include "storage/s3/protocol.h"

/* ret: to be sent, or deinitialised. The path and query of its URL are the bytes that were signed. time_s:
 * the server's clock as far as known. ERROR_LIMIT, ERROR_SYSTEM, and what the signer says; *ret holds nothing
 * then. */
int s3_request_build(const struct s3_session *session, const struct object_ask *ask,
                     const struct aws_credentials *credentials, int64_t time_s, struct object_request *ret,
                     struct error *err);
