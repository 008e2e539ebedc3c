#include "storage/gcs/errors.h"

#include <stdbool.h>
#include <string.h>

static const char grant[] =
    "the credentials need a role in this bucket that allows it, such as roles/storage.objectAdmin";
static const char sign_in[] = "check the credentials: the store takes none of the tokens they give";
static const char billing[] = "see to the billing account of the bucket's project";
static const char payer[] = "the requester pays here: set \"user_project\" in storage_config to a project of "
                            "yours that is billed, where the credentials may use services";
static const char kms[] =
    "check \"kms_key_name\", that the key is enabled and in the bucket's location, and that "
    "the project's Cloud Storage service agent may encrypt and decrypt with it";
static const char customer_key[] =
    "check \"encryption_key_ref\": each object is read with the key it was written "
    "with, and with none if it was written with none";
static const char held[] = "it is held: release the hold on the object first";
static const char retained[] = "it is under retention until then";

static const struct object_error_row codes[] = {
    {"rateLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"userRateLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"usageLimits.rateLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"quotaExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, "raise the project's quota"},
    {"RESOURCE_EXHAUSTED", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"backendError", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"internalError", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"gatewayTimeout", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL},
    {"uploadBrokenConnection", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},

    {"authError", OBJECT_ERROR_KEYS, ERROR_DENIED, sign_in},
    {"UNAUTHENTICATED", OBJECT_ERROR_KEYS, ERROR_DENIED, sign_in},
    {"invalid_token", OBJECT_ERROR_KEYS, ERROR_DENIED, sign_in},
    {"ExpiredToken", OBJECT_ERROR_KEYS, ERROR_DENIED, sign_in},
    {"AuthenticationRequired", OBJECT_ERROR_KEYS, ERROR_DENIED, sign_in},
    {"AuthenticationRequiredRequesterPays", OBJECT_ERROR_KEYS, ERROR_DENIED, payer},

    {"forbidden", OBJECT_ERROR_FINAL, ERROR_DENIED, grant},
    {"insufficientPermissions", OBJECT_ERROR_FINAL, ERROR_DENIED, grant},
    {"PERMISSION_DENIED", OBJECT_ERROR_FINAL, ERROR_DENIED, grant},
    {"AccessDenied", OBJECT_ERROR_FINAL, ERROR_DENIED, grant},
    {"accountDisabled", OBJECT_ERROR_FINAL, ERROR_DENIED, billing},
    {"userProjectMissing", OBJECT_ERROR_FINAL, ERROR_DENIED, payer},
    {"UserProjectMissing", OBJECT_ERROR_FINAL, ERROR_DENIED, payer},
    {"userProject*", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "check \"user_project\": the project must exist, be billed, and let the credentials use services"},
    {"accessNotConfigured", OBJECT_ERROR_FINAL, ERROR_DENIED, "enable the Cloud Storage API in the project"},
    {"usageLimits.accessNotConfigured", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "enable the Cloud Storage API in the project"},
    {"countryBlocked", OBJECT_ERROR_FINAL, ERROR_DENIED, NULL},
    {"lockedDomainExpired", OBJECT_ERROR_FINAL, ERROR_DENIED, NULL},
    {"sslRequired", OBJECT_ERROR_FINAL, ERROR_INPUT, "write https:// in \"endpoint\""},
    {"orgPolicyConstraintFailed", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "a policy of the organisation forbids it"},
    {"objectUnderActiveHold", OBJECT_ERROR_FINAL, ERROR_DENIED, held},
    {"ObjectUnderActiveHold", OBJECT_ERROR_FINAL, ERROR_DENIED, held},
    {"retentionPolicyNotMet", OBJECT_ERROR_FINAL, ERROR_DENIED, retained},
    {"RetentionPolicyNotMet", OBJECT_ERROR_FINAL, ERROR_DENIED, retained},

    {"cloudKms*", OBJECT_ERROR_FINAL, ERROR_DENIED, kms},
    {"customerEncryption*", OBJECT_ERROR_FINAL, ERROR_INPUT, customer_key},
    {"resourceIsEncryptedWithCustomerEncryptionKey", OBJECT_ERROR_FINAL, ERROR_INPUT, customer_key},
    {"resourceNotEncryptedWithCustomerEncryptionKey", OBJECT_ERROR_FINAL, ERROR_INPUT, customer_key},

    {"NoSuchBucket", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, "make the bucket, or correct \"bucket\""},
    {"notFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"NoSuchKey", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"gone", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"conditionNotMet", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"conflict", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"uploadTooLarge", OBJECT_ERROR_FINAL, ERROR_LIMIT, NULL},
    {"methodNotAllowed", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
};

static const struct object_status_row statuses[] = {
    {401, {NULL, OBJECT_ERROR_KEYS, ERROR_DENIED, sign_in}},
    {403, {NULL, OBJECT_ERROR_FINAL, ERROR_DENIED, grant}},
    {410, {NULL, OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL}},
};

static const struct object_error_table table = {
    .codes = codes,
    .n_codes = sizeof codes / sizeof *codes,
    .statuses = statuses,
    .n_statuses = sizeof statuses / sizeof *statuses,
};

/* What no reason tells: the bytes came other than the checksum that was promised (they may arrive whole next
 * time), a bucket that isn't there, and which of the two reasons for a 403 it is. */
static const struct {
    int status;
    const char *words;
    struct object_error_row row;
} sayings[] = {
    {400, "crc32c", {"invalid", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL}},
    {412, "crc32c", {"conditionNotMet", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL}},
    {400, "md5 hash", {"invalid", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL}},
    {404,
     "bucket does not exist",
     {"notFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, "make the bucket, or correct \"bucket\""}},
    {403, "retention policy", {"forbidden", OBJECT_ERROR_FINAL, ERROR_DENIED, retained}},
    {403, "active hold", {"forbidden", OBJECT_ERROR_FINAL, ERROR_DENIED, held}},
    {403, "billing account", {"forbidden", OBJECT_ERROR_FINAL, ERROR_DENIED, billing}},
};

static struct object_error_row find(int status, const char *code, const char *message)
{
    for (size_t i = 0; i < sizeof sayings / sizeof *sayings; i++)
        if (sayings[i].status == status && strcasestr(message, sayings[i].words))
            return sayings[i].row;
    return object_error_find(&table, status, code);
}

enum object_error_class gcs_error_class(int status, const char *code, const char *message)
{
    return find(status, code, message).class;
}

int gcs_error_classify(int status, const char *code, const char *message, struct error *err)
{
    struct object_error_row row = find(status, code, message);
    return object_error_fill(&row, status, code, message, err);
}
