#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/s3/document.h"
#include "storage/s3/errors.h"

static void each_answer_has_its_class(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        enum object_error_class class;
        int error;
        bool retryable;
        const char *native;
    } cases[] = {
        /* codes, whatever the status */
        {400, "RequestTimeout", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, "RequestTimeout"},
        {503, "RequestTimeout", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, "RequestTimeout"},
        {503, "SlowDown", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "SlowDown"},
        {503, "SlowDownRead", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "SlowDownRead"},
        {503, "SlowDownWrite", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "SlowDownWrite"},
        {400, "ThrottlingException", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "ThrottlingException"},
        {400, "Throttling", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "Throttling"},
        {503, "RequestLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "RequestLimitExceeded"},
        {509, "BandwidthLimitExceeded", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "BandwidthLimitExceeded"},
        {500, "InternalError", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "InternalError"},
        {200, "InternalError", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "InternalError"},
        {503, "ServiceUnavailable", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "ServiceUnavailable"},
        {503, "XMinioServerNotInitialized", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true,
         "XMinioServerNotInitiali"},
        {400, "PriorRequestNotComplete", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true,
         "PriorRequestNotComplete"},
        {400, "BadDigest", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, true, "BadDigest"},
        {400, "IncompleteBody", OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, true, "IncompleteBody"},
        {409, "OperationAborted", OBJECT_ERROR_TRANSIENT, ERROR_CONFLICT, true, "OperationAborted"},
        {301, "PermanentRedirect", OBJECT_ERROR_REGION, ERROR_INPUT, false, "PermanentRedirect"},
        {400, "AuthorizationHeaderMalformed", OBJECT_ERROR_REGION, ERROR_INPUT, false, NULL},
        {400, "IllegalLocationConstraintException", OBJECT_ERROR_REGION, ERROR_INPUT, false, NULL},
        {403, "RequestTimeTooSkewed", OBJECT_ERROR_CLOCK, ERROR_DENIED, true, "RequestTimeTooSkewed"},
        {400, "ExpiredToken", OBJECT_ERROR_TOKEN, ERROR_DENIED, true, "ExpiredToken"},
        {400, "ExpiredTokenException", OBJECT_ERROR_TOKEN, ERROR_DENIED, true, "ExpiredTokenException"},
        {403, "AccessDenied", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "AccessDenied"},
        {403, "InvalidAccessKeyId", OBJECT_ERROR_KEYS, ERROR_DENIED, false, "InvalidAccessKeyId"},
        {403, "SignatureDoesNotMatch", OBJECT_ERROR_KEYS, ERROR_DENIED, false, "SignatureDoesNotMatch"},
        {400, "InvalidToken", OBJECT_ERROR_KEYS, ERROR_DENIED, false, "InvalidToken"},
        {404, "NoSuchBucket", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, "NoSuchBucket"},
        {404, "NoSuchKey", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, "NoSuchKey"},
        {404, "NoSuchUpload", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, "NoSuchUpload"},
        {400, "EntityTooLarge", OBJECT_ERROR_FINAL, ERROR_LIMIT, false, "EntityTooLarge"},
        {400, "EntityTooSmall", OBJECT_ERROR_FINAL, ERROR_LIMIT, false, "EntityTooSmall"},
        {400, "KeyTooLongError", OBJECT_ERROR_FINAL, ERROR_UNSAFE_PATH, false, "KeyTooLongError"},
        {400, "InvalidArgument", OBJECT_ERROR_FINAL, ERROR_INPUT, false, "InvalidArgument"},
        {400, "InvalidPart", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, "InvalidPart"},
        {400, "InvalidPartOrder", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, "InvalidPartOrder"},
        {400, "InvalidStorageClass", OBJECT_ERROR_FINAL, ERROR_INPUT, false, "InvalidStorageClass"},
        {405, "MethodNotAllowed", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, false, "MethodNotAllowed"},
        {412, "PreconditionFailed", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, "PreconditionFailed"},
        {409, "ConditionalRequestConflict", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, NULL},
        {501, "NotImplemented", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, false, "NotImplemented"},
        {507, "XMinioStorageFull", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, false, "XMinioStorageFull"},
        {403, "QuotaExceeded", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, false, "QuotaExceeded"},
        /* the status, where there is no code or none that we know */
        {301, "", OBJECT_ERROR_REGION, ERROR_INPUT, false, "301"},
        {307, "", OBJECT_ERROR_REGION, ERROR_INPUT, false, "307"},
        {400, "", OBJECT_ERROR_FINAL, ERROR_INPUT, false, "400"},
        {403, "", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "403"},
        {404, "", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, "404"},
        {404, "SomethingNew", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, "SomethingNew"},
        {408, "", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, "408"},
        {412, "", OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, "412"},
        {413, "", OBJECT_ERROR_FINAL, ERROR_LIMIT, false, "413"},
        {418, "", OBJECT_ERROR_FINAL, ERROR_INPUT, false, "418"},
        {429, "", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "429"},
        {499, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "499"},
        {500, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "500"},
        {501, "", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, false, "501"},
        {502, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "502"},
        {503, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "503"},
        {503, "SomethingNew", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "SomethingNew"},
        {504, "", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, "504"},
        {507, "", OBJECT_ERROR_FINAL, ERROR_NO_SPACE, false, "507"},
        {509, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "509"},
        {520, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "520"},
        {999, "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, "999"},
        {302, "", OBJECT_ERROR_REGION, ERROR_INPUT, false, "302"},
        {304, "", OBJECT_ERROR_TRANSIENT, ERROR_PROTOCOL, true, "304"},
        {100, "", OBJECT_ERROR_TRANSIENT, ERROR_PROTOCOL, true, "100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {.retry_after_ms = 5};
        int rc = s3_error_classify(cases[i].status, cases[i].code, "Sorry.", &err);
        if (s3_error_class(cases[i].status, cases[i].code) != cases[i].class || rc != cases[i].error ||
            err.code != rc || err.retryable != cases[i].retryable ||
            (cases[i].native && strcmp(err.native, cases[i].native) != 0))
            fail_msg("%d %s: %d, retryable %d, native %s: %s", cases[i].status, cases[i].code, err.code,
                     err.retryable, err.native, err.message);
        char begins[128];
        snprintf(begins, sizeof begins, "%d%s%s: Sorry.", cases[i].status, *cases[i].code ? " " : "",
                 cases[i].code);
        if (strncmp(err.message, begins, strlen(begins)) != 0)
            fail_msg("%s", err.message);
        assert_int_equal(err.retry_after_ms, 0);
    }
}

static void a_cap_that_backblaze_calls_denied(void **state)
{
    (void)state;
    struct error err = {0};
    s3_error_classify(403, "AccessDenied", "Cannot upload files, storage cap exceeded. See the Caps page.",
                      &err);
    assert_int_equal(err.code, ERROR_NO_SPACE);
    assert_false(err.retryable);
}

static void messages_show_no_secret(void **state)
{
    (void)state;
    static const char *const secrets[] = {
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024",
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8"
        "YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6"
        "fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQ"
        "wj2ICCR/oLxBA==",
    };
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        char message[700];
        struct error err = {0};
        snprintf(message, sizeof message, "we expected '%s', not what you sent", secrets[i]);
        s3_error_classify(403, "SignatureDoesNotMatch", message, &err);
        assert_null(strstr(err.message, secrets[i]));
        assert_null(strstr(err.message, "XAMPLE"));
        assert_non_null(strstr(err.message, "we expected '***'"));
        s3_error_classify(400, secrets[i], "", &err);
        assert_null(strstr(err.message, "XAMPLE"));
    }
}

static void error_documents(void **state)
{
    (void)state;
    static const char full[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The region 'a' is wrong;\n expecting &apos;b&apos;"
        "</Message><Region>eu-west-1</Region><RequestId>4442587FB7D0A2F9</RequestId><HostId>x</HostId>"
        "<StringToSign>AWS4-HMAC-SHA256</StringToSign></Error>";
    struct s3_document document;
    s3_document_read(full, strlen(full), &document);
    assert_string_equal(document.root, "Error");
    assert_string_equal(document.code, "AuthorizationHeaderMalformed");
    assert_string_equal(document.message, "The region 'a' is wrong;? expecting 'b'");
    assert_string_equal(document.request_id, "4442587FB7D0A2F9");
    assert_string_equal(document.region, "eu-west-1");

    static const char namespaced[] =
        "   \n <s:CompleteMultipartUploadResult xmlns:s=\"http://x/\"><s:ETag>1</s:ETag>"
        "</s:CompleteMultipartUploadResult>";
    s3_document_read(namespaced, strlen(namespaced), &document);
    assert_string_equal(document.root, "CompleteMultipartUploadResult");
    assert_string_equal(document.code, "");

    /* nothing but whole documents counts */
    for (size_t n = 0; n < strlen(full); n++) {
        s3_document_read(full, n, &document);
        assert_string_equal(document.root, "");
        assert_string_equal(document.code, "");
    }
    static const char *const others[] = {"<html><body>502</body>", "{\"a\": 1}", "<!DOCTYPE a><Error/>",
                                         "<Error><Code>A</Code></Error>x"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        s3_document_read(others[i], strlen(others[i]), &document);
        assert_string_equal(document.root, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_has_its_class),
        cmocka_unit_test(a_cap_that_backblaze_calls_denied),
        cmocka_unit_test(messages_show_no_secret),
        cmocka_unit_test(error_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
