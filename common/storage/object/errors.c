#include "storage/s3/errors.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECRET_RUN 32 /* as long as the shortest of what must not be shown */
#define RETRY_AFTER_MAX_MS (INT64_C(24) * 3600 * 1000)

struct row {
    const char *code; /* ends in '*': a beginning */
    enum s3_error_class class;
    enum error_code error;
    const char *way_out;
};

static const char check_key[] = "check the access key id and its secret, and that they are for this service";
static const char make_room[] = "raise the quota or free space there";
static const char set_region[] = "set \"region\" in storage_config";

static const struct row codes[] = {
    {"RequestTimeout", S3_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL},
    {"SlowDown*", S3_ERROR_TRANSIENT, ERROR_LIMIT, NULL}, /* ...Read, ...Write: MinIO */
    {"Throttling*", S3_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"RequestThrottled*", S3_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"TooManyRequests*", S3_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"RequestLimitExceeded", S3_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"BandwidthLimitExceeded", S3_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"InternalError", S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"InternalFailure", S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"ServiceUnavailable", S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"ServerBusy", S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"Busy", S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"XMinioServerNotInitialized", S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"PriorRequestNotComplete", S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"BadDigest", S3_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"IncompleteBody", S3_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"XAmzContentSHA256Mismatch", S3_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"OperationAborted", S3_ERROR_TRANSIENT, ERROR_CONFLICT, NULL},

    {"PermanentRedirect", S3_ERROR_REGION, ERROR_INPUT, set_region},
    {"TemporaryRedirect", S3_ERROR_REGION, ERROR_INPUT, set_region},
    {"Redirect", S3_ERROR_REGION, ERROR_INPUT, set_region},
    {"AuthorizationHeaderMalformed", S3_ERROR_REGION, ERROR_INPUT, set_region},
    {"IllegalLocationConstraintException", S3_ERROR_REGION, ERROR_INPUT, set_region},
    {"RequestTimeTooSkewed", S3_ERROR_CLOCK, ERROR_DENIED, "set the clock of this host"},
    {"ExpiredToken*", S3_ERROR_TOKEN, ERROR_DENIED, "renew the session credentials"},
    {"TokenRefreshRequired", S3_ERROR_TOKEN, ERROR_DENIED, "renew the session credentials"},

    {"AccessDenied", S3_ERROR_FINAL, ERROR_DENIED, "the key needs the right to do this in this bucket"},
    {"AllAccessDisabled", S3_ERROR_FINAL, ERROR_DENIED, NULL},
    {"AccountProblem", S3_ERROR_FINAL, ERROR_DENIED, "see to the account at the provider"},
    {"NotSignedUp", S3_ERROR_FINAL, ERROR_DENIED, "see to the account at the provider"},
    {"InvalidAccessKeyId", S3_ERROR_KEYS, ERROR_DENIED, check_key},
    {"SignatureDoesNotMatch", S3_ERROR_KEYS, ERROR_DENIED, check_key},
    {"InvalidToken", S3_ERROR_KEYS, ERROR_DENIED, "check the session token"},
    {"UnauthorizedAccess", S3_ERROR_KEYS, ERROR_DENIED, check_key},
    {"KMS.*", S3_ERROR_FINAL, ERROR_DENIED, "check the KMS key and the rights to use it"},

    {"NoSuchBucket", S3_ERROR_FINAL, ERROR_NOT_FOUND, "make the bucket, or correct \"bucket\""},
    {"NoSuchKey", S3_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"NoSuchVersion", S3_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"NoSuchUpload", S3_ERROR_FINAL, ERROR_NOT_FOUND, NULL},

    {"QuotaExceeded", S3_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"BucketQuotaExceeded", S3_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"UserQuotaExceeded", S3_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"XMinioStorageFull", S3_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"XMinioAdminBucketQuotaExceeded", S3_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"InsufficientStorage*", S3_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"StorageCapExceeded", S3_ERROR_FINAL, ERROR_NO_SPACE, make_room},

    {"EntityTooLarge", S3_ERROR_FINAL, ERROR_LIMIT, NULL},
    {"EntityTooSmall", S3_ERROR_FINAL, ERROR_LIMIT, NULL},
    {"KeyTooLong*", S3_ERROR_FINAL, ERROR_UNSAFE_PATH, NULL},
    {"PreconditionFailed", S3_ERROR_FINAL, ERROR_CONFLICT, NULL},
    /* On Complete the whole upload must begin anew; the caller knows. */
    {"ConditionalRequestConflict", S3_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"InvalidPart*", S3_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"InvalidObjectState", S3_ERROR_FINAL, ERROR_CONFLICT,
     "it is archived: restore it at the provider first"},
    {"InvalidStorageClass", S3_ERROR_FINAL, ERROR_INPUT, "correct \"storage_class\""},
    {"NotImplemented", S3_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
    {"MethodNotAllowed", S3_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
};

/* What stands for an answer without a code, or with one that isn't in the table. */
static const struct {
    int status;
    struct row row;
} statuses[] = {
    {301, {NULL, S3_ERROR_REGION, ERROR_INPUT, set_region}},
    {302, {NULL, S3_ERROR_REGION, ERROR_INPUT, set_region}},
    {307, {NULL, S3_ERROR_REGION, ERROR_INPUT, set_region}},
    {308, {NULL, S3_ERROR_REGION, ERROR_INPUT, set_region}},
    {400, {NULL, S3_ERROR_FINAL, ERROR_INPUT, NULL}},
    {401, {NULL, S3_ERROR_FINAL, ERROR_DENIED, check_key}},
    {403, {NULL, S3_ERROR_FINAL, ERROR_DENIED, "the key needs the right to do this in this bucket"}},
    {404, {NULL, S3_ERROR_FINAL, ERROR_NOT_FOUND, NULL}},
    {405, {NULL, S3_ERROR_FINAL, ERROR_UNSUPPORTED, NULL}},
    {407, {NULL, S3_ERROR_FINAL, ERROR_DENIED, "the proxy wants credentials"}},
    {408, {NULL, S3_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL}},
    {409, {NULL, S3_ERROR_FINAL, ERROR_CONFLICT, NULL}},
    {412, {NULL, S3_ERROR_FINAL, ERROR_CONFLICT, NULL}},
    {413, {NULL, S3_ERROR_FINAL, ERROR_LIMIT, NULL}},
    {429, {NULL, S3_ERROR_TRANSIENT, ERROR_LIMIT, NULL}},
    {499, {NULL, S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL}},
    {501, {NULL, S3_ERROR_FINAL, ERROR_UNSUPPORTED, NULL}},
    {504, {NULL, S3_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL}},
    {505, {NULL, S3_ERROR_FINAL, ERROR_UNSUPPORTED, NULL}},
    {507, {NULL, S3_ERROR_FINAL, ERROR_NO_SPACE, make_room}},
};

static bool matches(const char *pattern, const char *code)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] == '*')
        return strncmp(pattern, code, n - 1) == 0;
    return strcmp(pattern, code) == 0;
}

static struct row row_of(int status, const char *code)
{
    for (size_t i = 0; *code && i < sizeof codes / sizeof *codes; i++)
        if (matches(codes[i].code, code))
            return codes[i];
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].row;
    if (status >= 500)
        return (struct row){NULL, S3_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL};
    if (status >= 400)
        return (struct row){NULL, S3_ERROR_FINAL, ERROR_INPUT, NULL};
    return (struct row){NULL, S3_ERROR_TRANSIENT, ERROR_PROTOCOL, NULL}; /* not an answer to what was asked */
}

enum s3_error_class s3_error_class(int status, const char *code)
{
    return row_of(status, code).class;
}

/* Some services repeat in their message what they didn't like. */
static void hide_secrets(char *text)
{
    char *out = text;
    for (const char *in = text; *in;) {
        size_t run = 0;
        while (isalnum((unsigned char)in[run]) || (in[run] && strchr("+/=_-%", in[run])))
            run++;
        if (run >= SECRET_RUN) {
            memcpy(out, "***", 3);
            out += 3;
        } else {
            run = run ? run : 1;
            memmove(out, in, run);
            out += run;
        }
        in += run;
    }
    *out = '\0';
}

int s3_error_classify(int status, const char *code, const char *message, struct error *err)
{
    struct row row = row_of(status, code);
    /* Backblaze says so in an AccessDenied. */
    if (status == 403 && strcasestr(message, "cap exceeded"))
        row = (struct row){NULL, S3_ERROR_FINAL, ERROR_NO_SPACE, make_room};

    char text[400];
    char name[64];
    snprintf(text, sizeof text, "%s", message);
    snprintf(name, sizeof name, "%s", code);
    hide_secrets(text);
    if (row.code == NULL) /* a code that we don't know may be anything */
        hide_secrets(name);
    /* People set clocks and renew tokens, and then the same call succeeds. */
    bool retryable =
        row.class == S3_ERROR_TRANSIENT || row.class == S3_ERROR_CLOCK || row.class == S3_ERROR_TOKEN;
    error_set(err, row.error, retryable, "%d%s%s%s%s%s%s", status, *name ? " " : "", name, *text ? ": " : "",
              text, row.way_out ? "; " : "", row.way_out ? row.way_out : "");
    if (err && *name)
        snprintf(err->native, sizeof err->native, "%.23s", name);
    else if (err)
        snprintf(err->native, sizeof err->native, "%d", status);
    return row.error;
}

int64_t s3_http_date_ms(const char *value)
{
    time_t seconds = curl_getdate(value, NULL);
    return seconds < 0 ? -1 : (int64_t)seconds * 1000;
}

int64_t s3_retry_after_ms(const char *value, int64_t now_ms)
{
    if (value == NULL)
        return 0;
    while (*value == ' ' || *value == '\t')
        value++;
    int64_t ms;
    if (isdigit((unsigned char)*value)) {
        char *end;
        long long seconds = strtoll(value, &end, 10); /* saturates */
        if (*end != '\0' && *end != ' ' && *end != '.')
            return 0;
        ms = seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
    } else {
        int64_t when = s3_http_date_ms(value);
        ms = when < 0 || when <= now_ms ? 0 : when - now_ms;
    }
    return ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}
