/* Private to the Google credentials: the questions to the services, one for each google_step. Errors are
 * those of who asks: a key, a file, a variable that can't be used. */
#pragma once

#include "auth/google_source.h"
#include "auth/service_call.h"

/* GET from the metadata server. ERROR_INPUT: GCE_METADATA_HOST. */
int google_request_metadata(struct service_request *request, struct error *err);
/* RFC 7523: an assertion signed with the account's key, valid from now_s for an hour. */
int google_request_assertion(struct service_request *request, const struct google_source *source,
                             const char *scope, int64_t now_s, struct error *err);
/* RFC 6749, 6. */
int google_request_refresh(struct service_request *request, const struct google_source *source,
                           struct error *err);
/* GET of the identity provider's token. */
int google_request_subject(struct service_request *request, const struct google_source *source,
                           struct error *err);
/* RFC 8693. */
int google_request_exchange(struct service_request *request, const struct google_source *source,
                            const char *scope, const char *subject_token, struct error *err);
/* generateAccessToken of the IAM Service Account Credentials API. */
int google_request_impersonation(struct service_request *request, const struct google_source *source,
                                 const char *scope, const char *token, struct error *err);
