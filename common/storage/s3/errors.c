#include "storage/s3/errors.h"

#include <string.h>

static const char check_key[] = "check the access key id and its secret, and that they are for this service";
static const char make_room[] = "raise the quota or free space there";
static const char set_region[] = "set \"region\" in storage_config";

static const struct object_error_row codes[] = {
    {"RequestTimeout", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL},
    {"SlowDown*", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL}, /* ...Read, ...Write: MinIO */
    {"Throttling*", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"RequestThrottled*", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"TooManyRequests*", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"RequestLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"BandwidthLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"InternalError", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"InternalFailure", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"ServiceUnavailable", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"ServerBusy", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"Busy", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"XMinioServerNotInitialized", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"PriorRequestNotComplete", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"BadDigest", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"IncompleteBody", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"XAmzContentSHA256Mismatch", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"OperationAborted", OBJECT_ERROR_TRANSIENT, ERROR_CONFLICT, NULL},

    {"PermanentRedirect", OBJECT_ERROR_REGION, ERROR_INPUT, set_region},
    {"TemporaryRedirect", OBJECT_ERROR_REGION, ERROR_INPUT, set_region},
    {"Redirect", OBJECT_ERROR_REGION, ERROR_INPUT, set_region},
    {"AuthorizationHeaderMalformed", OBJECT_ERROR_REGION, ERROR_INPUT, set_region},
    {"IllegalLocationConstraintException", OBJECT_ERROR_REGION, ERROR_INPUT, set_region},
    {"RequestTimeTooSkewed", OBJECT_ERROR_CLOCK, ERROR_DENIED, "set the clock of this host"},
    {"ExpiredToken*", OBJECT_ERROR_TOKEN, ERROR_DENIED, "renew the session credentials"},
    {"TokenRefreshRequired", OBJECT_ERROR_TOKEN, ERROR_DENIED, "renew the session credentials"},

    {"AccessDenied", OBJECT_ERROR_FINAL, ERROR_DENIED, "the key needs the right to do this in this bucket"},
    {"AllAccessDisabled", OBJECT_ERROR_FINAL, ERROR_DENIED, NULL},
    {"AccountProblem", OBJECT_ERROR_FINAL, ERROR_DENIED, "see to the account at the provider"},
    {"NotSignedUp", OBJECT_ERROR_FINAL, ERROR_DENIED, "see to the account at the provider"},
    {"InvalidAccessKeyId", OBJECT_ERROR_KEYS, ERROR_DENIED, check_key},
    {"SignatureDoesNotMatch", OBJECT_ERROR_KEYS, ERROR_DENIED, check_key},
    {"InvalidToken", OBJECT_ERROR_KEYS, ERROR_DENIED, "check the session token"},
    {"UnauthorizedAccess", OBJECT_ERROR_KEYS, ERROR_DENIED, check_key},
    {"KMS.*", OBJECT_ERROR_FINAL, ERROR_DENIED, "check the KMS key and the rights to use it"},

    {"NoSuchBucket", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, "make the bucket, or correct \"bucket\""},
    {"NoSuchKey", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"NoSuchVersion", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"NoSuchUpload", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL},

    {"QuotaExceeded", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"BucketQuotaExceeded", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"UserQuotaExceeded", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"XMinioStorageFull", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"XMinioAdminBucketQuotaExceeded", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"InsufficientStorage*", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room},
    {"StorageCapExceeded", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room},

    {"EntityTooLarge", OBJECT_ERROR_FINAL, ERROR_LIMIT, NULL},
    {"EntityTooSmall", OBJECT_ERROR_FINAL, ERROR_LIMIT, NULL},
    {"KeyTooLong*", OBJECT_ERROR_FINAL, ERROR_UNSAFE_PATH, NULL},
    {"PreconditionFailed", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    /* On Complete the whole upload must begin anew; the caller knows. */
    {"ConditionalRequestConflict", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"InvalidPart*", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"InvalidObjectState", OBJECT_ERROR_FINAL, ERROR_CONFLICT,
     "it is archived: restore it at the provider first"},
    {"InvalidStorageClass", OBJECT_ERROR_FINAL, ERROR_INPUT, "correct \"storage_class\""},
    {"NotImplemented", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
    {"MethodNotAllowed", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
};

static const struct object_status_row statuses[] = {
    {301, {NULL, OBJECT_ERROR_REGION, ERROR_INPUT, set_region}},
    {302, {NULL, OBJECT_ERROR_REGION, ERROR_INPUT, set_region}},
    {307, {NULL, OBJECT_ERROR_REGION, ERROR_INPUT, set_region}},
    {308, {NULL, OBJECT_ERROR_REGION, ERROR_INPUT, set_region}},
    {401, {NULL, OBJECT_ERROR_FINAL, ERROR_DENIED, check_key}},
    {403, {NULL, OBJECT_ERROR_FINAL, ERROR_DENIED, "the key needs the right to do this in this bucket"}},
};

static const struct object_error_table table = {
    .codes = codes,
    .n_codes = sizeof codes / sizeof *codes,
    .statuses = statuses,
    .n_statuses = sizeof statuses / sizeof *statuses,
};

enum object_error_class s3_error_class(int status, const char *code)
{
    return object_error_find(&table, status, code).class;
}

int s3_error_classify(int status, const char *code, const char *message, struct error *err)
{
    struct object_error_row row = object_error_find(&table, status, code);
    /* Backblaze says so in an AccessDenied. */
    if (status == 403 && strcasestr(message, "cap exceeded"))
        row = (struct object_error_row){NULL, OBJECT_ERROR_FINAL, ERROR_NO_SPACE, make_room};
    return object_error_fill(&row, status, code, message, err);
}
