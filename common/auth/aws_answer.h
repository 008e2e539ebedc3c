/* Private to the AWS credentials: what the services answer. Pure functions. No message repeats more of an
 * answer than an error's code and what AWS says about missing permissions. */
#pragma once

#include "auth/aws_credentials.h"

/* The whole struct aws_credentials of one answer: *ret's strings point into *ret_memory, free it with
 * aws_credentials_memory_free. */
struct aws_answer {
    const char *source; /* for people: "instance metadata"; also in front of errors */
    struct aws_credentials credentials;
    char *memory;
};
void aws_answer_deinit(struct aws_answer *answer);

/* Container and instance metadata: {AccessKeyId, SecretAccessKey, Token, Expiration}, or {Code, Message}.
 * ERROR_PROTOCOL (retryable): not that; ERROR_DENIED (retryable): another code than Success. */
int aws_answer_read_json(struct aws_answer *answer, const char *body, size_t size, struct error *err);

/* STS: XML with Credentials, or with Error. Any HTTP status. ERROR_PROTOCOL (retryable); ERROR_DENIED,
 * retryable where the code is about identity tokens, which are renewed; ERROR_UNREACHABLE (retryable):
 * throttled, or the service's own fault. native holds the code. */
int aws_answer_read_sts(struct aws_answer *answer, int status, const char *body, size_t size,
                        struct error *err);

/* An error of a JSON service (Secrets Manager): its code from "__type", at most 63 bytes and without its name
 * space; "" when there is none. */
void aws_answer_error_type(const char *body, size_t size, char ret_code[64]);

/* Codes that say: again, a little later. */
bool aws_answer_is_throttling(int status, const char *code);
