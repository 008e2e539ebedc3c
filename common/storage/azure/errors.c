#include "storage/azure/errors.h"

#include <string.h>

static const char check_key[] = "check the account's name and its key, and the clock of this host";
static const char need_role[] =
    "the identity needs a role such as Storage Blob Data Contributor, the SAS the rights to read, write, "
    "create, list and delete";
static const char immutable[] = "it can go when its immutability policy has ended";
static const char firewall[] = "let this host through the account's firewall";

static const struct object_error_row codes[] = {
    {"ServerBusy", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"OperationTimedOut", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL},
    {"InternalError", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"TooManyRequests", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"AccountIOPSLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"IngressLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"EgressLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL},
    {"ContainerBeingDeleted", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE,
     "it takes some 30 seconds, then the container can be made anew"},
    {"ContainerBeingCreated", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"AccountBeingCreated", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"AccountMigrationInProgress", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL},
    {"Md5Mismatch", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"Crc64Mismatch", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},
    {"IncompleteBody", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, NULL},

    /* the clock is looked at first: judge, in protocol.c */
    {"AuthenticationFailed", OBJECT_ERROR_KEYS, ERROR_DENIED, check_key},
    {"InvalidAuthenticationInfo", OBJECT_ERROR_TOKEN, ERROR_DENIED, "renew the credentials"},
    {"ExpiredAuthenticationToken*", OBJECT_ERROR_TOKEN, ERROR_DENIED, "renew the credentials"},
    {"NoAuthenticationInformation", OBJECT_ERROR_FINAL, ERROR_DENIED, need_role},
    {"KeyBasedAuthenticationNotPermitted", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "the account takes no shared keys: use an identity (leave credentials_ref out)"},
    {"AuthorizationFailure", OBJECT_ERROR_FINAL, ERROR_DENIED, firewall},
    {"AuthorizationSourceIPMismatch", OBJECT_ERROR_FINAL, ERROR_DENIED, "the SAS is for other addresses"},
    {"AuthorizationProtocolMismatch", OBJECT_ERROR_FINAL, ERROR_DENIED, "the SAS wants https"},
    {"Authorization*", OBJECT_ERROR_FINAL, ERROR_DENIED, need_role},
    {"InsufficientAccountPermissions", OBJECT_ERROR_FINAL, ERROR_DENIED, need_role},
    {"UnauthorizedBlobOverwrite", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"AccountIsDisabled", OBJECT_ERROR_FINAL, ERROR_DENIED, "see to the account at Azure"},
    {"InvalidAuthenticationType", OBJECT_ERROR_FINAL, ERROR_DENIED, NULL},
    {"PublicAccessNotPermitted", OBJECT_ERROR_FINAL, ERROR_DENIED, need_role},

    {"ContainerNotFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND,
     "make the container, or correct \"container\""},
    {"ContainerDisabled", OBJECT_ERROR_FINAL, ERROR_DENIED, "see to the container at Azure"},
    {"BlobNotFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL},
    {"ResourceNotFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, "correct \"account\" or \"endpoint\""},

    {"BlobAlreadyExists", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"ConditionNotMet", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"TargetConditionNotMet", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"InvalidBlobType", OBJECT_ERROR_FINAL, ERROR_CONFLICT, "a blob of another kind stands there"},
    {"InvalidBlockList", OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL},
    {"InvalidBlobOrBlock", OBJECT_ERROR_FINAL, ERROR_CONFLICT,
     "blocks of another program's unfinished upload are at this name; they go a week after the last of them"},
    {"InvalidBlockId", OBJECT_ERROR_FINAL, ERROR_CONFLICT,
     "blocks of another program's unfinished upload are at this name; they go a week after the last of them"},
    {"BlobImmutableDueToPolicy", OBJECT_ERROR_FINAL, ERROR_DENIED, immutable},
    {"BlobImmutableDueToLegalHold", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "it can go when its legal hold is cleared"},
    {"BlobArchived", OBJECT_ERROR_FINAL, ERROR_CONFLICT,
     "it is in the tier Archive: rehydrate it (set its tier to Hot or Cool) and wait some hours"},
    {"BlobBeingRehydrated", OBJECT_ERROR_FINAL, ERROR_CONFLICT, "it is on its way out of the tier Archive"},
    {"SnapshotsPresent", OBJECT_ERROR_FINAL, ERROR_CONFLICT, "delete its snapshots"},
    {"Lease*", OBJECT_ERROR_FINAL, ERROR_CONFLICT, "somebody holds a lease on it: break the lease"},

    {"RequestBodyTooLarge", OBJECT_ERROR_FINAL, ERROR_LIMIT, "make \"part_size\" smaller"},
    {"RequestEntityTooLarge", OBJECT_ERROR_FINAL, ERROR_LIMIT, "make \"part_size\" smaller"},
    {"BlockCountExceedsLimit", OBJECT_ERROR_FINAL, ERROR_LIMIT,
     "too many blocks that were never committed are at this name; they go a week after the last of them"},
    {"BlockListTooLong", OBJECT_ERROR_FINAL, ERROR_LIMIT, "make \"part_size\" larger"},
    {"OutOfRangeInput", OBJECT_ERROR_FINAL, ERROR_INPUT, NULL},
    {"InvalidResourceName", OBJECT_ERROR_FINAL, ERROR_UNSAFE_PATH, NULL},
    {"AccountQuotaExceeded", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, "raise the account's limit"},
    {"CustomerProvidedKey*", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "check \"customer_key_ref\": it must be the key that the blob was written with"},
    {"BlobUsesCustomerSpecifiedEncryption", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "the blob has a key of its own: set \"customer_key_ref\""},
    {"BlobDoesNotUseCustomerSpecifiedEncryption", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "the blob has no key of its own: it was written without \"customer_key_ref\""},
    {"BlobCustomerSpecifiedEncryptionMismatch", OBJECT_ERROR_FINAL, ERROR_DENIED,
     "check \"customer_key_ref\": it must be the key that the blob was written with"},
    {"EncryptionScope*", OBJECT_ERROR_FINAL, ERROR_INPUT, "check \"encryption_scope\""},
    {"FeatureNotSupported", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED,
     "an emulator that is strict: start it with --loose, or set \"checksum\" to \"md5\""},
    {"FeatureNotYetSupportedForHierarchicalNamespaceAccounts", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
    {"UnsupportedHeader", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
    {"APINotImplemented", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
    {"UnsupportedHttpVerb", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL},
    {"InvalidHeaderValue", OBJECT_ERROR_FINAL, ERROR_INPUT,
     "if it is about x-ms-version, set \"api_version\" to one that the service knows"},
};

static const struct object_status_row statuses[] = {
    {401, {NULL, OBJECT_ERROR_TOKEN, ERROR_DENIED, check_key}},
    {403, {NULL, OBJECT_ERROR_FINAL, ERROR_DENIED, need_role}},
};

const struct object_error_table azure_errors = {
    .codes = codes,
    .n_codes = sizeof codes / sizeof *codes,
    .statuses = statuses,
    .n_statuses = sizeof statuses / sizeof *statuses,
};

bool azure_error_is_standing(int status, const char *code)
{
    static const char *const standing[] = {
        "BlobAlreadyExists", "BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold",
        "BlobArchived",      "InvalidBlobType",          "UnauthorizedBlobOverwrite",
        "SnapshotsPresent",
    };
    if (status == 412)
        return true;
    for (size_t i = 0; i < sizeof standing / sizeof *standing; i++)
        if ((status == 409 || status == 403) && strcmp(code, standing[i]) == 0)
            return true;
    return false;
}
