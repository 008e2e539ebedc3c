/* The texts of Google's credentials and the answers of its services; the first byte chooses which. What was
 * taken can be sent, to where it may be; what was refused isn't repeated, but for codes and words of errors,
 * which are plain text. */
#include <string.h>

#include "auth/google_answer.h"
#include "auth/google_text.h"
#include "auth/secret.h"
#include "fuzz.h"

static void check_error(int rc, const struct error *err, bool words_are_shown)
{
    MUST(rc < 0 && rc == err->code && err->message[0] != '\0' && strlen(err->message) < 900);
    MUST(words_are_shown || strstr(err->message, "SECRET=") == NULL);
    for (const char *at = err->message; *at; at++)
        MUST((unsigned char)*at >= ' ');
}

static void check_source(const char *text)
{
    struct google_source s;
    struct error err = {0};
    unsigned char digest[DIGEST_SHA256_BYTES];
    int rc = google_source_parse(text, "test", &s, &err);
    if (rc) {
        check_error(rc, &err, false);
        return;
    }
    MUST(s.name[0] != '\0');
    if (s.kind == GOOGLE_ACCESS_TOKEN)
        MUST(google_text_is_token(s.token.value));
    else
        MUST(google_text_is_safe_address(s.token_url, false));
    if (s.kind == GOOGLE_FEDERATION)
        MUST((s.federation.file == NULL) != (s.federation.url == NULL));
    MUST(s.impersonation.url == NULL || google_text_is_safe_address(s.impersonation.url, false));
    MUST(google_source_digest(&s, digest) == (s.kind == GOOGLE_SERVICE_ACCOUNT || s.kind == GOOGLE_USER));
    google_source_deinit(&s);
}

static void check_token(enum google_step step, int status, const char *body, size_t size)
{
    struct google_answer a = {
        .step = step, .what = "test", .status = status, .body = body, .size = size, .now_ms = 1};
    struct google_token token;
    struct error err = {0};
    int rc = google_answer_token(&a, &token, &err);
    if (rc) {
        check_error(rc, &err, status != 200);
        return;
    }
    MUST(status == 200 && google_text_is_token(token.value));
    MUST(token.expires_at_ms > 0 && token.expires_at_ms <= 1 + 86400000);
    secret_free(token.value);
}

static void check_subject(const char *field, const char *body, size_t size)
{
    struct google_answer a = {
        .step = GOOGLE_STEP_SUBJECT, .what = "test", .status = 200, .body = body, .size = size};
    char *token;
    struct error err = {0};
    int rc = google_answer_subject(&a, field, &token, &err);
    if (rc) {
        check_error(rc, &err, false);
        return;
    }
    MUST(token[0] != '\0' && strlen(token) <= size);
    secret_free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *body = (const char *)data + 1;
    char *text = strndup(body, size - 1);
    MUST(text != NULL);
    switch (data[0]) {
    case 't':
        check_token(GOOGLE_STEP_ASSERTION, 200, body, size - 1);
        break;
    case 'i':
        check_token(GOOGLE_STEP_IMPERSONATE, 200, body, size - 1);
        break;
    case 'e':
        check_token(GOOGLE_STEP_EXCHANGE, 400, body, size - 1);
        break;
    case 'x':
        check_subject(NULL, body, size - 1);
        break;
    case 'j':
        check_subject("token", body, size - 1);
        break;
    default:
        check_source(text);
        break;
    }
    free(text);
    return 0;
}
