#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage/azure/document.h"
#include "storage/azure/errors.h"

static void each_answer_has_its_class(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        enum object_error_class class;
        int error;
        bool retryable;
        const char *way_out; /* in the message; NULL = none */
    } cases[] = {
        {503, "ServerBusy", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, NULL},
        {500, "OperationTimedOut", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, NULL},
        {500, "InternalError", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, NULL},
        {409, "ContainerBeingDeleted", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "30 seconds"},
        {400, "Md5Mismatch", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, true, NULL},
        {400, "Crc64Mismatch", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, true, NULL},
        {408, "", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, NULL},
        {429, "", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, NULL},
        {500, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, NULL},
        {502, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, NULL},
        {503, "SomethingNew", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, NULL},
        {504, "", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, NULL},
        {403, "AuthenticationFailed", OBJECT_ERROR_KEYS, ERROR_DENIED, false, "the clock"},
        {401, "InvalidAuthenticationInfo", OBJECT_ERROR_TOKEN, ERROR_DENIED, true, "renew"},
        {401, "", OBJECT_ERROR_TOKEN, ERROR_DENIED, true, "key"},
        {403, "AuthorizationFailure", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "firewall"},
        {403, "AuthorizationPermissionMismatch", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "role"},
        {403, "KeyBasedAuthenticationNotPermitted", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "identity"},
        {403, "", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "role"},
        {404, "ContainerNotFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, "make the container"},
        {404, "BlobNotFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, NULL},
        {404, "ResourceNotFound", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, "\"account\""},
        {409, "BlobAlreadyExists", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, NULL},
        {412, "ConditionNotMet", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, NULL},
        {400, "InvalidBlockList", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, NULL},
        {400, "InvalidBlobOrBlock", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, "a week"},
        {409, "BlobImmutableDueToPolicy", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "has ended"},
        {409, "BlobArchived", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, "rehydrate"},
        {409, "BlockCountExceedsLimit", OBJECT_ERROR_FINAL, ERROR_LIMIT, false, "a week"},
        {413, "RequestBodyTooLarge", OBJECT_ERROR_FINAL, ERROR_LIMIT, false, "part_size"},
        {411, "MissingContentLengthHeader", OBJECT_ERROR_FINAL, ERROR_INPUT, false, NULL},
        {400, "InvalidHeaderValue", OBJECT_ERROR_FINAL, ERROR_INPUT, false, "api_version"},
        {409, "BlobUsesCustomerSpecifiedEncryption", OBJECT_ERROR_FINAL, ERROR_DENIED, false,
         "customer_key_ref"},
        {500, "FeatureNotSupported", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, false, "--loose"},
        {412, "LeaseIdMissing", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, "lease"},
        {302, "", OBJECT_ERROR_TRANSIENT, ERROR_PROTOCOL, true, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct object_error_row row = object_error_find(&azure_errors, cases[i].status, cases[i].code);
        int rc = object_error_fill(&row, cases[i].status, cases[i].code, "What Azure says.", &err);
        if (row.class != cases[i].class || rc != cases[i].error || err.retryable != cases[i].retryable ||
            (cases[i].way_out && strstr(err.message, cases[i].way_out) == NULL) ||
            strstr(err.message, cases[i].code) == NULL || strstr(err.message, "What Azure says.") == NULL)
            fail_msg("%d %s: class %d, %s", cases[i].status, cases[i].code, row.class, err.message);
    }
}

static void what_tells_that_something_stands_there(void **state)
{
    (void)state;
    assert_true(azure_error_is_standing(409, "BlobAlreadyExists"));
    assert_true(azure_error_is_standing(412, "ConditionNotMet"));
    assert_true(azure_error_is_standing(412, "LeaseIdMissing"));
    assert_true(azure_error_is_standing(409, "BlobImmutableDueToPolicy"));
    assert_true(azure_error_is_standing(403, "UnauthorizedBlobOverwrite"));
    assert_false(azure_error_is_standing(409, "ContainerBeingDeleted"));
    assert_false(azure_error_is_standing(403, "AuthorizationFailure"));
    assert_false(azure_error_is_standing(400, "InvalidBlockList"));
    assert_false(azure_error_is_standing(409, ""));
}

static void documents(void **state)
{
    (void)state;
    static const char error[] =
        "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthenticationFailed</Code>"
        "<Message>Server failed to authenticate the request.\nRequestId:1\nTime:2</Message>"
        "<AuthenticationErrorDetail>The MAC signature 'abc'</AuthenticationErrorDetail></Error>";
    struct azure_document document;
    azure_document_read(error, sizeof error - 1, &document);
    assert_string_equal(document.root, "Error");
    assert_string_equal(document.code, "AuthenticationFailed");
    assert_string_equal(document.message, "Server failed to authenticate the request.");
    for (size_t size = 0; size < sizeof error - 1; size++) {
        azure_document_read(error, size, &document);
        assert_string_equal(document.root, "");
        assert_string_equal(document.code, "");
    }
    azure_document_read("<BlockList/>", 12, &document);
    assert_string_equal(document.root, "BlockList");
    azure_document_read("<html><Code>x</Code></html>", 27, &document);
    assert_string_equal(document.code, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_its_class),
        cmocka_unit_test(what_tells_that_something_stands_there),
        cmocka_unit_test(documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
