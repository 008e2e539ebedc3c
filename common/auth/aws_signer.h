/* Private to the AWS clients: Signature Version 4 for questions to services (service_call). */
#pragma once

#include "auth/aws_credentials.h"
#include "auth/service_call.h"

/* Filled by the user, zero to begin with. */
struct aws_signer {
    struct aws_credentials keys; /* see aws_keys_copy */
    char *keys_memory;
    const char *region, *service; /* outlive the signer */
};

/* Replaces the keys by a copy; ERROR_INPUT as aws_keys_copy says. what names them in messages. */
int aws_signer_use(struct aws_signer *signer, const char *what, const struct aws_credentials *keys,
                   struct error *err);
void aws_signer_deinit(struct aws_signer *signer);

/* Adds the headers of a signature at this time. The path of the URL must be "/" or written as in the request
 * line, without a query. */
int aws_signer_sign(const struct aws_signer *signer, struct service_request *request, struct error *err);
