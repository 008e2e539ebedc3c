/* Private to the AWS credentials: roles from the Security Token Service. region NULL: the global address. */
#pragma once

#include "auth/aws_plan.h"
#include "auth/service_call.h"

/* AssumeRoleWithWebIdentity, unsigned; the token file is read now. */
int aws_sts_prepare_web_identity(struct service_request *request, const struct aws_role *role,
                                 const char *token_file, const char *region, struct error *err);
/* AssumeRole, to be signed for aws_sts_signing_region, service "sts". */
int aws_sts_prepare_role(struct service_request *request, const struct aws_role *role, const char *region,
                         struct error *err);
const char *aws_sts_signing_region(const char *region);
