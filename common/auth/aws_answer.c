#include "auth/aws_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_keys.h"
#include "base/timestamp.h"
#include "base/utf8.h"
#include "base/xml.h"

enum { ANSWER_MAX = 256 * 1024, CODE_SIZE = 64 };

void aws_answer_deinit(struct aws_answer *answer)
{
    aws_credentials_memory_free(answer->memory);
    answer->memory = NULL;
}

/* ---- codes ---- */

/* Letters, digits, '.', '_' and '-' only, so that it can stand in any message. */
static void copy_code(const char *text, char ret[CODE_SIZE])
{
    size_t n = 0;
    for (; *text && n < CODE_SIZE - 1; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || strchr("._-", *text);
        ret[n++] = plain ? *text : '?';
    }
    ret[n] = '\0';
}

bool aws_answer_is_throttling(int status, const char *code)
{
    static const char *const codes[] = {
        "RequestLimitExceeded",  "BandwidthLimitExceeded", "SlowDown",        "PriorRequestNotComplete",
        "TransactionInProgress", "RequestThrottled",       "InternalFailure", "InternalError",
        "InternalServiceError",  "ServiceUnavailable",     "RequestTimeout",  "RequestTimeoutException",
        "IDPCommunicationError"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(code, codes[i]) == 0)
            return true;
    }
    return strncmp(code, "Throttl", strlen("Throttl")) == 0 ||
           strcmp(code, "TooManyRequestsException") == 0 || status == 408 || status == 429 || status >= 500;
}

void aws_answer_error_type(const char *body, size_t size, char ret_code[64])
{
    ret_code[0] = '\0';
    json_t *object = size <= ANSWER_MAX ? json_loadb(body, size, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(object, "__type"));
    if (type) {
        const char *hash = strrchr(type, '#');
        copy_code(hash ? hash + 1 : type, ret_code);
    }
    json_decref(object);
}

static int expired_format(const struct aws_answer *answer, struct error *err)
{
    return error_set(err, ERROR_PROTOCOL, true, "%s: credentials without a time of expiry", answer->source);
}

static int keep(struct aws_answer *answer, struct aws_credentials *found, const char *expiration,
                struct error *err)
{
    found->source = answer->source;
    found->expires_at_ms = expiration ? timestamp_parse(expiration) : -1;
    if (found->expires_at_ms <= 0)
        return expired_format(answer, err);
    int rc = aws_keys_copy(answer->source, found, &answer->credentials, &answer->memory, err);
    return rc == ERROR_INPUT ? error_set(err, ERROR_PROTOCOL, true,
                                         "%s: the answer holds no usable credentials", answer->source)
                             : rc;
}

/* ---- JSON ---- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int read_object(struct aws_answer *answer, const json_t *object, struct error *err)
{
    const char *code = text_of(object, "Code");
    char clean[CODE_SIZE];
    copy_code(code ? code : "", clean);
    if (code && strcmp(code, "Success") != 0)
        return error_set(err, ERROR_DENIED, true, "%s: no credentials: %s", answer->source, clean);
    struct aws_credentials found = {text_of(object, "AccessKeyId"), text_of(object, "SecretAccessKey"),
                                    text_of(object, "Token"), 0, NULL};
    return keep(answer, &found, text_of(object, "Expiration"), err);
}

int aws_answer_read_json(struct aws_answer *answer, const char *body, size_t size, struct error *err)
{
    json_t *object = size <= ANSWER_MAX ? json_loadb(body, size, 0, NULL) : NULL;
    int rc = json_is_object(object)
                 ? read_object(answer, object, err)
                 : error_set(err, ERROR_PROTOCOL, true, "%s: the answer isn't a JSON object", answer->source);
    json_decref(object);
    return rc;
}

/* ---- XML ---- */

enum { ID, SECRET, TOKEN, EXPIRATION, CODE, MESSAGE, FIELDS };

struct sts_reading {
    char *fields[FIELDS];
};

static bool ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n > m && path[n - m - 1] == '/' && strcmp(path + n - m, end) == 0;
}

static void field_free(char *field)
{
    if (field)
        explicit_bzero(field, strlen(field));
    free(field);
}

static int on_text(void *data, const char *path, const char *text, size_t size, struct error *err)
{
    static const char *const ends[FIELDS] = {"Credentials/AccessKeyId",
                                             "Credentials/SecretAccessKey",
                                             "Credentials/SessionToken",
                                             "Credentials/Expiration",
                                             "Error/Code",
                                             "Error/Message"};
    struct sts_reading *r = data;
    for (int i = 0; i < FIELDS; i++) {
        if (!ends_in(path, ends[i]))
            continue;
        char *copy = strndup(text, size);
        if (copy == NULL)
            return error_set(err, ERROR_SYSTEM, true, "out of memory");
        field_free(r->fields[i]);
        r->fields[i] = copy;
    }
    return 0;
}

static int refused_by_sts(const struct aws_answer *answer, int status, const struct sts_reading *r,
                          struct error *err)
{
    char code[CODE_SIZE], message[301] = "";
    copy_code(r->fields[CODE] ? r->fields[CODE] : "", code);
    bool passing = aws_answer_is_throttling(status, code);
    bool token = strcmp(code, "ExpiredTokenException") == 0 || strcmp(code, "InvalidIdentityToken") == 0 ||
                 strcmp(code, "ExpiredToken") == 0;
    if (strcmp(code, "AccessDenied") == 0 &&
        r->fields[MESSAGE]) { /* who may not do what; others may repeat input */
        snprintf(message, sizeof message, ": %.290s", r->fields[MESSAGE]);
        utf8_clean(message);
    }
    int rc = error_set(err, passing ? ERROR_UNREACHABLE : ERROR_DENIED, passing || token, "%s: HTTP %d %s%s",
                       answer->source, status, code[0] ? code : "without an error code", message);
    if (err)
        snprintf(err->native, sizeof err->native, "%.23s", code);
    return rc;
}

int aws_answer_read_sts(struct aws_answer *answer, int status, const char *body, size_t size,
                        struct error *err)
{
    static const struct xml_events events = {.on_text = on_text};
    struct sts_reading r = {0};
    int rc = xml_parse(body, size, ANSWER_MAX, &events, &r, err);
    if (status != 200 && rc != ERROR_SYSTEM)
        rc = refused_by_sts(answer, status, &r, err); /* a proxy's page is an answer too */
    else if (rc)
        error_context(err, "%s", answer->source);
    else {
        struct aws_credentials found = {r.fields[ID], r.fields[SECRET], r.fields[TOKEN], 0, NULL};
        rc = keep(answer, &found, r.fields[EXPIRATION], err);
    }
    for (int i = 0; i < FIELDS; i++)
        field_free(r.fields[i]);
    return rc;
}
