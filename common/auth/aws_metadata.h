/*
 * Private to the AWS credentials: the instance's metadata service (IMDS). Three questions: a session token,
 * the role's name, the role's keys. Without a token (token NULL) the last two are version 1 of the service.
 */
#pragma once

#include "auth/aws_answer.h"
#include "auth/service_call.h"

int aws_metadata_prepare_token(struct service_request *request, struct error *err);
int aws_metadata_prepare_role(struct service_request *request, const char *token, struct error *err);
int aws_metadata_prepare_keys(struct service_request *request, const char *token, const char *role,
                              struct error *err);

/* *ret: malloc'ed. ERROR_UNSUPPORTED: no tokens here, so version 1. */
int aws_metadata_answer_token(const struct http_response *response, char **ret, struct error *err);
/* *ret: malloc'ed. ERROR_NOT_FOUND: the instance has no role. ERROR_DENIED: a token is wanted. */
int aws_metadata_answer_role(const struct http_response *response, char **ret, struct error *err);
int aws_metadata_answer_keys(struct aws_answer *answer, const struct http_response *response,
                             struct error *err);
