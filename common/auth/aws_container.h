/* Private to the AWS credentials: the container's endpoint (ECS, EKS pod identity). */
#pragma once

#include "auth/aws_answer.h"
#include "auth/service_call.h"

/* "container (<host>)" never holds the path: it may be a secret. ERROR_INPUT:
 * AWS_CONTAINER_CREDENTIALS_FULL_URI leads somewhere else than https, this machine or AWS's container
 * addresses; a token with control characters. */
int aws_container_prepare(struct service_request *request, struct error *err);
int aws_container_answer(struct aws_answer *answer, const struct http_response *response, struct error *err);
