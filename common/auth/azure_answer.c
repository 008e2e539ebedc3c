#include "auth/azure_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/secret.h"

enum { CODE_SIZE = 41, TOKEN_MAX = 32 * 1024 };
enum { DAY_S = 24 * 60 * 60, LIFETIME_MAX_S = 366 * DAY_S };

/* What Entra ID says by number (AADSTS...), and what can be done about it. */
static const struct reason {
    int number;
    bool retryable;
    const char *advice;
} reasons[] = {
    {50034, false, "no such user in this tenant"},
    {70021, true, "no federated credential of this client fits the token's issuer, subject and audience"},
    {90002, false, "no such tenant: check tenant_id and AZURE_AUTHORITY_HOST"},
    {700016, false, "no such client in this tenant: check client_id and tenant_id"},
    {700024, true, "the federated token isn't valid now: is this machine's clock right?"},
    {700213, true, "no federated credential of this client fits the token's subject"},
    {7000215, false, "a wrong client secret: write its value, not its id"},
    {7000222, false, "the client secret has expired: make a new one"},
    {7000229, false, "this client has no service principal in this tenant"},
};

/* ---- tokens ---- */

/* Digits only, or a number; -1: neither, or out of any bound. */
static int64_t seconds_of(const json_t *value)
{
    if (json_is_integer(value))
        return json_integer_value(value) > 0 ? json_integer_value(value) : -1;
    const char *text = json_string_value(value);
    if (text == NULL || text[0] == '\0' || strlen(text) > 12 || text[strspn(text, "0123456789")] != '\0')
        return -1;
    return strtoll(text, NULL, 10);
}

/* 0: says nothing that is a time. */
static int64_t expiry_of(const json_t *object, int64_t now_ms)
{
    int64_t in_s = seconds_of(json_object_get(object, "expires_in"));
    int64_t on_s = seconds_of(json_object_get(object, "expires_on"));
    if (in_s > 0 && in_s <= LIFETIME_MAX_S)
        return now_ms + in_s * 1000;
    if (on_s > 0 && on_s <= now_ms / 1000 + LIFETIME_MAX_S)
        return on_s * 1000;
    return 0;
}

static bool is_token(const char *text)
{
    if (text == NULL || text[0] == '\0' || strlen(text) > TOKEN_MAX)
        return false;
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
            return false;
    }
    return true;
}

static int read_object(const char *what, const json_t *object, int64_t now_ms, struct azure_token *ret,
                       struct error *err)
{
    const char *text = json_string_value(json_object_get(object, "access_token"));
    const char *type = json_string_value(json_object_get(object, "token_type"));
    struct azure_token token = {.expires_at_ms = expiry_of(object, now_ms)};
    if (!is_token(text))
        return error_set(err, ERROR_PROTOCOL, true, "%.150s: the answer holds no access token", what);
    if (type && strcasecmp(type, "Bearer") != 0)
        return error_set(err, ERROR_PROTOCOL, true, "%.150s: a token of another type than Bearer", what);
    if (token.expires_at_ms == 0)
        return error_set(err, ERROR_PROTOCOL, true,
                         "%.150s: the answer doesn't say until when its token is valid", what);
    token.text = strdup(text);
    if (token.text == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    *ret = token;
    return 0;
}

int azure_answer_read(const char *what, const char *body, size_t size, int64_t now_ms,
                      struct azure_token *ret, struct error *err)
{
    json_t *object = json_loadb(body, size, 0, NULL);
    int rc = json_is_object(object)
                 ? read_object(what, object, now_ms, ret, err)
                 : error_set(err, ERROR_PROTOCOL, true, "%.150s: the answer isn't a JSON object", what);
    secret_json_free(object);
    return rc;
}

/* ---- refusals ---- */

/* A word of letters and '_', as codes are; "" for anything else, which may be what nobody should read. */
static void copy_code(const char *text, char ret[CODE_SIZE])
{
    ret[0] = '\0';
    if (text && strlen(text) < CODE_SIZE &&
        text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")] == '\0')
        snprintf(ret, CODE_SIZE, "%s", text);
}

/* The number behind "AADSTS"; 0: there is none. */
static int number_of(const char *description)
{
    const char *at = description ? strstr(description, "AADSTS") : NULL;
    int number = 0;
    if (at == NULL)
        return 0;
    for (at += strlen("AADSTS"); *at >= '0' && *at <= '9' && number < 100000000; at++)
        number = number * 10 + (*at - '0');
    return number;
}

static bool is_passing(int status, const char *code, bool managed)
{
    return status == 408 || status == 429 || status >= 500 || (managed && (status == 404 || status == 410)) ||
           strcmp(code, "temporarily_unavailable") == 0 || strcmp(code, "server_error") == 0;
}

static int refused_by_number(const char *what, int status, const char *code, int number, struct error *err)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].number == number)
            return error_set(err, ERROR_DENIED, reasons[i].retryable, "%.150s: HTTP %d %s, AADSTS%d: %s",
                             what, status, code, number, reasons[i].advice);
    }
    return error_set(err, ERROR_DENIED, false, "%.150s: HTTP %d %s, AADSTS%d", what, status, code, number);
}

static int refused(const char *what, int status, const char *code, int number, bool managed,
                   struct error *err)
{
    const char *shown = code[0] ? code : "without an error code";
    if (is_passing(status, code, managed))
        return error_set(err, ERROR_UNREACHABLE, true, "%.150s: HTTP %d %s", what, status, shown);
    if (number > 0)
        return refused_by_number(what, status, shown, number, err);
    if (managed && status == 400)
        return error_set(err, ERROR_DENIED, false,
                         "%.150s: HTTP 400 %s: no such identity here; where there are several, client_id or "
                         "AZURE_CLIENT_ID says which",
                         what, shown);
    return error_set(err, ERROR_DENIED, false, "%.150s: HTTP %d %s", what, status, shown);
}

int azure_answer_refused(const char *what, int status, const char *body, size_t size, bool managed,
                         struct error *err)
{
    char code[CODE_SIZE];
    json_t *object = json_loadb(body, size, 0, NULL);
    copy_code(json_string_value(json_object_get(object, "error")), code);
    int number = number_of(json_string_value(json_object_get(object, "error_description")));
    secret_json_free(object);
    int rc = refused(what, status, code, number, managed, err);
    if (err && code[0])
        snprintf(err->native, sizeof err->native, "%.23s", code);
    else if (err)
        snprintf(err->native, sizeof err->native, "%d", status);
    return rc;
}

int64_t azure_answer_retry_after_ms(const char *value)
{
    if (value == NULL || value[0] == '\0' || strlen(value) > 6 || value[strspn(value, "0123456789")] != '\0')
        return 0;
    int64_t s = strtoll(value, NULL, 10);
    return (s < DAY_S ? s : DAY_S) * 1000;
}
