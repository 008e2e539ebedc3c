/* Answers of AWS's services; the first byte chooses which. What was taken can be signed with and expires;
 * what was refused isn't repeated, but for codes, whose letters are plain, and what is said about missing
 * permissions. */
#include <string.h>

#include "auth/aws_answer.h"
#include "fuzz.h"

static void check(struct aws_answer *answer, int rc, const struct error *err)
{
    if (rc == 0) {
        MUST(answer->credentials.access_key_id[0] != '\0' &&
             answer->credentials.secret_access_key[0] != '\0');
        MUST(answer->credentials.expires_at_ms > 0);
    } else
        MUST(rc == err->code && err->message[0] != '\0' && strstr(err->message, "SECRET=") == NULL);
    aws_answer_deinit(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct aws_answer answer = {.source = "test"};
    struct error err = {0};
    char code[64];
    const char *body = (const char *)data + 1;
    switch (data[0]) {
    case 'j':
        check(&answer, aws_answer_read_json(&answer, body, size - 1, &err), &err);
        break;
    case 'x':
        check(&answer, aws_answer_read_sts(&answer, 200, body, size - 1, &err), &err);
        break;
    case 'e':
        MUST(aws_answer_read_sts(&answer, 400, body, size - 1, &err) < 0);
        MUST(err.code < 0 && strlen(err.message) < 400);
        break;
    default:
        aws_answer_error_type(body, size - 1, code);
        MUST(strlen(code) < sizeof code);
        break;
    }
    return 0;
}
