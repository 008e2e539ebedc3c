/* Private to the AWS credentials: one set of them in memory of its own. */
#pragma once

#include "auth/aws_credentials.h"

enum { AWS_KEYS_MAX = 32 * 1024 }; /* bytes of one set, its source included */

/*
 * Checks that a set can be signed with and copies it: *ret's strings point into *ret_memory (free it with
 * aws_credentials_memory_free), an empty token becomes NULL. what names its origin in messages, and is
 * ret->source when from->source is NULL. ERROR_INPUT: id or secret missing, a blank or control character
 * inside; no value is ever repeated.
 */
int aws_keys_copy(const char *what, const struct aws_credentials *from, struct aws_credentials *ret,
                  char **ret_memory, struct error *err);
