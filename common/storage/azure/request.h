/* One request as it goes over the wire: URL and header lines, authorised by key, SAS or token. */
#pragma once

#include "auth/azure_credentials.h"
#include "storage/azure/azure.h"

#define AZURE_HTTP_DATE_SIZE 32

/* time_ms: the server's clock as far as known. session's place is known (azure_config_place). ERROR_LIMIT,
 * ERROR_SYSTEM, and what the signer says; ret is deinitialised then. */
int azure_request_build(const struct azure_session *session, const struct object_ask *ask,
                        const struct azure_credentials *credentials, int64_t time_ms,
                        struct object_request *ret, struct error *err);

/* "Fri, 26 Jun 2015 23:39:12 GMT" (RFC 9110). */
void azure_http_date(int64_t time_ms, char ret[AZURE_HTTP_DATE_SIZE]);
