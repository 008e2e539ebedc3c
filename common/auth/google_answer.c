#include "auth/google_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/google_text.h"
#include "auth/secret.h"
#include "base/clock.h"
#include "base/timestamp.h"

enum { ANSWER_MAX = 256 * 1024, CODE_SIZE = 64, WORDS_SIZE = 300, SUBJECT_MAX = 64 * 1024, DAY_S = 86400 };

static json_t *parse(const struct google_answer *a)
{
    json_t *object = a->size <= ANSWER_MAX ? json_loadb(a->body, a->size, 0, NULL) : NULL;
    if (json_is_object(object))
        return object;
    secret_json_free(object);
    return NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- errors ---- */

struct said {
    char code[CODE_SIZE], words[WORDS_SIZE];
};

/* OAuth's {"error": CODE, "error_description": WORDS}, or {"error": {"status": CODE, "message": WORDS}} of
 * Google's APIs. */
static void read_error(const struct google_answer *a, struct said *ret)
{
    json_t *object = parse(a);
    const json_t *error = json_object_get(object, "error");
    const char *code = json_is_object(error) ? text_of(error, "status") : json_string_value(error);
    const char *words =
        json_is_object(error) ? text_of(error, "message") : text_of(object, "error_description");
    google_text_copy_code(code ? code : "", ret->code, sizeof ret->code);
    google_text_copy_said(words ? words : "", ret->words, sizeof ret->words);
    secret_json_free(object);
}

static bool is_passing(int status, const struct said *said)
{
    static const char *const codes[] = {"internal_failure", "server_error", "temporarily_unavailable"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(said->code, codes[i]) == 0 || strcmp(said->words, codes[i]) == 0)
            return true;
    }
    return status == 408 || status == 429 || status >= 500;
}

static const char new_login[] = "log in anew: gcloud auth application-default login";

/* The first that fits, NULL fits all. */
static const struct {
    enum google_step step;
    const char *code, *words, *advice;
} advices[] = {
    {GOOGLE_STEP_ASSERTION, "invalid_grant", "hort-lived", "set this machine's clock"},
    {GOOGLE_STEP_ASSERTION, "invalid_grant", "timeframe", "set this machine's clock"},
    {GOOGLE_STEP_ASSERTION, "invalid_grant", "ignature",
     "the key was deleted, or isn't this account's: make a new one"},
    {GOOGLE_STEP_ASSERTION, "invalid_grant", "not found", "the service account was deleted, or never was"},
    {GOOGLE_STEP_ASSERTION, "invalid_grant", NULL,
     "is this machine's clock right, and is the key still there?"},
    {GOOGLE_STEP_REFRESH, "invalid_grant", NULL, new_login},
    {GOOGLE_STEP_REFRESH, "invalid_client", NULL, new_login},
    {GOOGLE_STEP_REFRESH, "invalid_rapt", NULL, new_login},
    {GOOGLE_STEP_EXCHANGE, "invalid_grant", NULL,
     "has the identity's token expired, and does the provider accept its issuer and audience?"},
    {GOOGLE_STEP_EXCHANGE, NULL, NULL, "look at audience and subject_token_type, and at the pool's provider"},
    {GOOGLE_STEP_IMPERSONATE, "NOT_FOUND", NULL, "does the service account exist?"},
    {GOOGLE_STEP_IMPERSONATE, NULL, NULL,
     "grant roles/iam.serviceAccountTokenCreator on the service account, and enable the IAM Service Account "
     "Credentials API"},
};

static const char *advice_on(enum google_step step, const struct said *said)
{
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        if (advices[i].step == step &&
            (advices[i].code == NULL || strcmp(said->code, advices[i].code) == 0) &&
            (advices[i].words == NULL || strstr(said->words, advices[i].words)))
            return advices[i].advice;
    }
    return NULL;
}

static int denied(const struct google_answer *a, const struct said *said, struct error *err)
{
    const char *advice = advice_on(a->step, said);
    char now[CLOCK_ISO8601_SIZE];
    clock_iso8601(a->now_ms, now);
    bool clock = advice && strstr(advice, "clock");
    bool renewed = a->step == GOOGLE_STEP_EXCHANGE && strcmp(said->code, "invalid_grant") == 0;
    return error_set(err, ERROR_DENIED, renewed, "%.400s: HTTP %d%s%s%s%s%s%s%s%s", a->what, a->status,
                     said->code[0] ? " " : "", said->code, said->words[0] ? ": " : "", said->words,
                     advice ? "; " : "", advice ? advice : "", clock ? "; it says " : "", clock ? now : "");
}

/* Digits; 0 for anything else. */
static int64_t read_digits(const char *text)
{
    bool digits = text && text[0] != '\0' && strlen(text) < 10 && text[strspn(text, "0123456789")] == '\0';
    return digits ? strtol(text, NULL, 10) : 0;
}

static void tell_status(const struct google_answer *a, struct error *err)
{
    if (err == NULL)
        return;
    snprintf(err->native, sizeof err->native, "%d", a->status);
    err->retry_after_ms = err->retryable ? read_digits(a->retry_after) * 1000 : 0;
}

static int refused(const struct google_answer *a, struct error *err)
{
    struct said said;
    read_error(a, &said);
    int rc;
    if (is_passing(a->status, &said))
        rc = error_set(err, ERROR_UNREACHABLE, true, "%.400s: HTTP %d%s%s", a->what, a->status,
                       said.code[0] ? " " : "", said.code);
    else if (said.code[0] == '\0' && a->step != GOOGLE_STEP_METADATA)
        rc = error_set(err, ERROR_PROTOCOL, true,
                       "%.400s: HTTP %d without an error of Google's: does a proxy answer?", a->what,
                       a->status);
    else
        rc = denied(a, &said, err);
    tell_status(a, err);
    return rc;
}

static int not_a_token(const struct google_answer *a, const char *why, struct error *err)
{
    return error_set(err, ERROR_PROTOCOL, true, "%.400s: the answer %s", a->what, why);
}

/* ---- tokens ---- */

/* A number, or digits in a text; 0 for anything else. At most a day, after which a token is fetched anew. */
static int64_t read_seconds(const json_t *value)
{
    int64_t seconds = json_integer_value(value);
    if (json_is_string(value))
        seconds = read_digits(json_string_value(value));
    return seconds < DAY_S ? seconds : DAY_S;
}

static int keep(const struct google_answer *a, const char *token, int64_t expires_at_ms,
                struct google_token *ret, struct error *err)
{
    if (token == NULL || !google_text_is_token(token))
        return not_a_token(a, "holds no usable token", err);
    char *copy = strdup(token);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret = (struct google_token){copy, expires_at_ms};
    return 0;
}

static int read_token(const struct google_answer *a, const json_t *object, struct google_token *ret,
                      struct error *err)
{
    const char *type = text_of(object, "token_type");
    int64_t seconds = read_seconds(json_object_get(object, "expires_in"));
    if (type && strcasecmp(type, "Bearer") != 0)
        return not_a_token(a, "holds a token of another type than Bearer", err);
    if (seconds <= 0)
        return not_a_token(a, "doesn't say how long its token can be used", err);
    return keep(a, text_of(object, "access_token"), a->now_ms + seconds * 1000, ret, err);
}

static int read_impersonated(const struct google_answer *a, const json_t *object, struct google_token *ret,
                             struct error *err)
{
    const char *expires = text_of(object, "expireTime");
    int64_t at_ms = expires ? timestamp_parse(expires) : -1;
    if (at_ms <= 0)
        return not_a_token(a, "doesn't say how long its token can be used", err);
    int64_t longest_ms = a->now_ms + (int64_t)DAY_S * 1000;
    return keep(a, text_of(object, "accessToken"), at_ms < longest_ms ? at_ms : longest_ms, ret, err);
}

/* Whoever has a problem may be the metadata server's front, which says nothing about itself. */
static int check_metadata(const struct google_answer *a, struct error *err)
{
    if (is_passing(a->status, &(struct said){0}))
        return 0;
    if (a->flavor == NULL || strcasecmp(a->flavor, "Google") != 0)
        return error_set(err, ERROR_NOT_FOUND, false, "%.400s: whoever answers isn't Google's", a->what);
    if (a->status == 404)
        return error_set(err, ERROR_NOT_FOUND, false, "%.400s: the machine has no service account", a->what);
    return 0;
}

int google_answer_token(const struct google_answer *answer, struct google_token *ret, struct error *err)
{
    int rc = answer->step == GOOGLE_STEP_METADATA ? check_metadata(answer, err) : 0;
    if (rc)
        return rc;
    if (answer->status != 200)
        return refused(answer, err);
    json_t *object = parse(answer);
    if (object == NULL)
        rc = not_a_token(answer, "isn't a JSON object", err);
    else if (answer->step == GOOGLE_STEP_IMPERSONATE)
        rc = read_impersonated(answer, object, ret, err);
    else
        rc = read_token(answer, object, ret, err);
    secret_json_free(object);
    return rc;
}

/* ---- the identity provider's token ---- */

static int keep_subject(const struct google_answer *a, const char *text, size_t size, char **ret,
                        struct error *err)
{
    static const char blanks[] = " \t\r\n";
    while (size > 0 && strchr(blanks, text[size - 1]))
        size--;
    while (size > 0 && strchr(blanks, *text))
        text++, size--;
    if (size == 0 || size > SUBJECT_MAX || memchr(text, '\0', size))
        return not_a_token(a, size ? "is too long for a token, or no text" : "is empty", err);
    char *copy = strndup(text, size);
    if (copy == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret = copy;
    return 0;
}

int google_answer_subject(const struct google_answer *answer, const char *field, char **ret,
                          struct error *err)
{
    if (answer->status != 200) {
        bool passing = is_passing(answer->status, &(struct said){0});
        int rc = error_set(err, passing ? ERROR_UNREACHABLE : ERROR_DENIED, true, "%.400s: HTTP %d",
                           answer->what, answer->status);
        tell_status(answer, err);
        return rc;
    }
    if (field == NULL)
        return keep_subject(answer, answer->body, answer->size, ret, err);
    json_t *object = parse(answer);
    const char *text = text_of(object, field);
    int rc = text ? keep_subject(answer, text, strlen(text), ret, err)
                  : not_a_token(answer, "isn't JSON with the text that subject_token_field_name names", err);
    secret_json_free(object);
    return rc;
}
