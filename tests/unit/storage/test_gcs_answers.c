/* What is read of the store's answers: errors, resources, listings, sessions, the resume state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"
#include "storage/gcs/document.h"
#include "storage/gcs/errors.h"
#include "storage/gcs/list_page.h"
#include "storage/gcs/resource.h"
#include "storage/gcs/resume.h"
#include "storage/gcs/upload_url.h"

static void documents(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool found;
        const char *code, *message;
    } cases[] = {
        {"{\"error\": {\"code\": 403, \"message\": \"b@p does not have access\", \"errors\": [{\"domain\": "
         "\"global\", \"reason\": \"forbidden\", \"message\": \"other\"}]}}",
         true, "forbidden", "b@p does not have access"},
        {"{\"error\": {\"code\": 429, \"message\": \"slow\", \"status\": \"RESOURCE_EXHAUSTED\"}}", true,
         "RESOURCE_EXHAUSTED", "slow"},
        {"{\"error\": {\"errors\": [{\"domain\": \"global\", \"message\": \"x is invalid\"}]}}", true, "",
         "x is invalid"},
        {"{\"error\": {\"message\": \"Retry Test: Caused a 503\"}}", true, "", "Retry Test: Caused a 503"},
        {"{\"error\": \"invalid_token\", \"error_description\": \"expired\"}", true, "invalid_token",
         "expired"},
        /* one in another */
        {"{\"code\": 404, \"message\": \"{\\\"error\\\": {\\\"errors\\\": [{\\\"reason\\\": \\\"notFound\\\", "
         "\\\"message\\\": \\\"b/o does not exist.\\\"}]}}\"}",
         true, "notFound", "b/o does not exist."},
        {"{\"code\": \"503\", \"message\": {\"error\": {\"message\": \"Caused a 503\"}}}", true, "",
         "Caused a 503"},
        {"{\"code\": 500, \"message\": \"Traceback\"}", true, "", "Traceback"},
        {"<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchBucket</Code><Message>The specified bucket "
         "does not exist.</Message></Error>",
         true, "NoSuchBucket", "The specified bucket does not exist."},
        {"{\"error\": {\"message\": \"a\\nb\\u0001\"}}", true, "", "a?b?"},
        /* none */
        {"", false, "", ""},
        {"Not Found", false, "", ""},
        {"<html><body><h1>502 Bad Gateway</h1></body></html>", false, "", ""},
        {"<!doctype html><html></html>", false, "", ""},
        {"{\"kind\": \"storage#object\"}", false, "", ""},
        {"{\"error\": {\"message\": \"cut", false, "", ""},
        {"[]", false, "", ""},
        {"null", false, "", ""},
        {"{\"error\": null}", false, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gcs_document document;
        gcs_document_read(cases[i].body, strlen(cases[i].body), &document);
        if (document.found != cases[i].found || strcmp(document.code, cases[i].code) != 0 ||
            strcmp(document.message, cases[i].message) != 0)
            fail_msg("%s: %d '%s' '%s'", cases[i].body, document.found, document.code, document.message);
    }
}

static void each_error_has_its_class(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code, *message;
        enum object_error_class class;
        int error;
        bool retryable;
        const char *says;
    } cases[] = {
        {429, "rateLimitExceeded", "", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, "429 rateLimitExceeded"},
        {403, "userRateLimitExceeded", "", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, NULL},
        {429, "", "", OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, true, NULL},
        {503, "backendError", "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, NULL},
        {500, "internalError", "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, NULL},
        {504, "gatewayTimeout", "", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, NULL},
        {408, "", "", OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, true, NULL},
        {502, "", "", OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, true, NULL},
        {401, "required", "Login Required", OBJECT_ERROR_KEYS, ERROR_DENIED, false, "check the credentials"},
        {401, "authError", "Invalid Credentials", OBJECT_ERROR_KEYS, ERROR_DENIED, false, NULL},
        {401, "", "", OBJECT_ERROR_KEYS, ERROR_DENIED, false, NULL},
        {403, "forbidden", "a@p does not have storage.objects.create access", OBJECT_ERROR_FINAL,
         ERROR_DENIED, false, "storage.objects.create access; the credentials need a role"},
        {403, "forbidden", "The billing account for the owning project is disabled", OBJECT_ERROR_FINAL,
         ERROR_DENIED, false, "see to the billing account"},
        {403, "accountDisabled", "", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "billing"},
        {400, "userProjectMissing", "", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "set \"user_project\""},
        {403, "retentionPolicyNotMet", "", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "retention"},
        {403, "forbidden",
         "Object 'b/o' is subject to bucket's retention policy and cannot be deleted until x",
         OBJECT_ERROR_FINAL, ERROR_DENIED, false, "it is under retention until then"},
        {403, "objectUnderActiveHold", "", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "release the hold"},
        {403, "forbidden", "Object 'b/o' is under active Temporary hold", OBJECT_ERROR_FINAL, ERROR_DENIED,
         false, NULL},
        {400, "cloudKmsDisabledKey", "", OBJECT_ERROR_FINAL, ERROR_DENIED, false, "kms_key_name"},
        {400, "customerEncryptionKeyIsIncorrect", "", OBJECT_ERROR_FINAL, ERROR_INPUT, false,
         "encryption_key_ref"},
        {404, "notFound", "The specified bucket does not exist.", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false,
         "make the bucket"},
        {404, "notFound", "No such object: b/o", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false,
         "No such object"},
        {410, "", "", OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, false, NULL},
        {412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.",
         OBJECT_ERROR_FINAL, ERROR_CONFLICT, false, NULL},
        {400, "invalid", "Provided CRC32C \"AAAAAA==\" doesn't match calculated CRC32C \"4waSgw==\".",
         OBJECT_ERROR_TRANSIENT, ERROR_CORRUPT, true, "doesn't match"},
        {412, "", "crc32c validation failed. Expected = 1 vs Actual = 2.", OBJECT_ERROR_TRANSIENT,
         ERROR_CORRUPT, true, NULL},
        {400, "invalid", "Invalid storage class", OBJECT_ERROR_FINAL, ERROR_INPUT, false, NULL},
        {413, "uploadTooLarge", "", OBJECT_ERROR_FINAL, ERROR_LIMIT, false, NULL},
        {501, "", "", OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, false, NULL},
        {302, "", "", OBJECT_ERROR_TRANSIENT, ERROR_PROTOCOL, true, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        int rc = gcs_error_classify(cases[i].status, cases[i].code, cases[i].message, &err);
        if (rc != cases[i].error || err.code != rc || err.retryable != cases[i].retryable ||
            gcs_error_class(cases[i].status, cases[i].code, cases[i].message) != cases[i].class ||
            (cases[i].says && strstr(err.message, cases[i].says) == NULL))
            fail_msg("%d %s: %d, retryable %d: %s", cases[i].status, cases[i].code, rc, err.retryable,
                     err.message);
    }
}

#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void resources(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"kind\": \"storage#object\", \"name\": \"a\", \"generation\": \"1762070400000001\", \"size\": "
        "\"9223372036854775807\", \"crc32c\": \"4waSgw==\", \"metadata\": {\"sha256\": \"" SHA256
        "\", \"row-id\": \"301\", \"fence\": \"2\", \"other\": \"x\"}}";
    struct gcs_resource resource;
    assert_true(gcs_resource_read(whole, strlen(whole), &resource));
    assert_string_equal(resource.generation, "1762070400000001");
    assert_int_equal(resource.size, INT64_MAX);
    assert_true(resource.has_crc32c);
    assert_int_equal(resource.crc32c, 0xe3069283);
    assert_string_equal(resource.sha256, SHA256);
    assert_string_equal(resource.row_id, "301");
    assert_string_equal(resource.fence, "2");
    for (size_t n = 0; n < strlen(whole); n++) /* cut off anywhere */
        assert_false(gcs_resource_read(whole, n, &resource));

    static const char others[] = "{\"size\": 5, \"crc32c\": \"4waSgw=\", \"generation\": \"-1\", "
                                 "\"metadata\": {\"sha256\": \"E3B0\", \"row-id\": 7}}";
    assert_true(gcs_resource_read(others, strlen(others), &resource));
    assert_int_equal(resource.size, 5);
    assert_false(resource.has_crc32c);
    assert_string_equal(resource.generation, "");
    assert_string_equal(resource.sha256, "");
    assert_string_equal(resource.row_id, "");

    static const char *const none[] = {
        "",
        "[]",
        "{}",
        "{\"size\": \"-1\"}",
        "{\"size\": \"9223372036854775808\"}",
        "{\"size\": \"12345678901234567890\"}",
        "{\"size\": \" 1\"}",
        "{\"size\": -1}",
        "{\"size\": 1.5}",
        "{\"kind\": \"storage#bucket\", \"size\": \"1\"}",
        "<html>200</html>",
    };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(gcs_resource_read(none[i], strlen(none[i]), &resource));
}

static void crc32c_as_the_store_writes_it(void **state)
{
    (void)state;
    char text[GCS_CRC32C_SIZE];
    uint32_t crc = 1;
    gcs_crc32c_write(0xe3069283, text);
    assert_string_equal(text, "4waSgw==");
    assert_true(gcs_crc32c_read("4waSgw==", &crc));
    assert_int_equal(crc, 0xe3069283);
    static const char *const bad[] = {"",         "4waSgw=",  "4waSgw",   "4waSgwAA",
                                      "4waS!w==", "========", "4waSgw==="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(gcs_crc32c_read(bad[i], &crc));
}

struct listing {
    char text[512];
    int n, stop_after;
};

static bool on_entry(void *data, const struct storage_entry *entry)
{
    struct listing *l = data;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s %llu %lld|", entry->key, (unsigned long long)entry->size,
             (long long)entry->time_ms);
    return ++l->n != l->stop_after;
}

static void pages_of_listings(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int stop_after;
        int rc;
        const char *text, *next;
    } cases[] = {
        {"{\"kind\": \"storage#objects\"}", 0, 0, "", NULL},
        {"{\"kind\": \"storage#objects\", \"items\": [{\"name\": \"db/a\", \"size\": \"7\", \"updated\": "
         "\"2025-11-02T08:00:00.123Z\"}, {\"name\": \"db/b\", \"size\": \"0\"}], \"nextPageToken\": \"CgA\"}",
         0, 0, "db/a 7 1762070400123|db/b 0 0|", "CgA"},
        {"{\"kind\": \"storage#objects\", \"items\": [{\"name\": \"db/a\", \"size\": 7}, {\"name\": \"db/b\", "
         "\"size\": 1}]}",
         1, 0, "db/a 7 0|", NULL},
        {"{\"kind\": \"storage#objects\", \"items\": [{\"name\": \"other\", \"size\": 7}, {\"name\": "
         "\"db/a\\u0000b\", \"size\": 1}, {\"name\": \"db/\\u00e0\", \"size\": 2}], \"nextPageToken\": \"\"}",
         0, 0, "db/\xc3\xa0 2 0|", NULL},
        {"{\"kind\": \"storage#buckets\"}", 0, ERROR_PROTOCOL, "", NULL},
        {"{\"kind\": \"storage#objects\", \"items\": [{\"name\": \"db/a\"}]}", 0, ERROR_PROTOCOL, "", NULL},
        {"{\"kind\": \"storage#objects\", \"items\": {}}", 0, ERROR_PROTOCOL, "", NULL},
        {"{\"kind\": \"storage#objects\", \"nextPageToken\": \"CgA\", \"items\": [3]}", 0, ERROR_PROTOCOL, "",
         NULL},
        {"{\"kind\": \"storage#objects\", \"items\": [", 0, ERROR_PROTOCOL, "", NULL},
        {"", 0, ERROR_PROTOCOL, "", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listing l = {.stop_after = cases[i].stop_after};
        struct object_list_page page = {0};
        struct error err = {0};
        int rc = gcs_list_page_read(cases[i].body, strlen(cases[i].body), "db/", on_entry, &l, &page, &err);
        if (rc != cases[i].rc || strcmp(l.text, cases[i].text) != 0)
            fail_msg("%s: %d, %s", cases[i].body, rc, l.text);
        assert_int_equal(page.truncated, cases[i].next != NULL);
        assert_int_equal(page.stopped, rc == 0 && l.n > 0 && l.n == l.stop_after);
        if (cases[i].next)
            assert_string_equal(page.next, cases[i].next);
        object_list_page_deinit(&page);
    }
}

static struct gcs_config config_at(const char *endpoint, bool google)
{
    struct gcs_config config = {.https = strncmp(endpoint, "https", 5) == 0, .google = google};
    snprintf(config.endpoint, sizeof config.endpoint, "%s", endpoint);
    return config;
}

static void data_goes_to_the_endpoint_only(void **state)
{
    (void)state;
#define PATH "/upload/storage/v1/b/b/o?uploadType=resumable&upload_id=ABC"
    static const char googles[] = "https://storage.googleapis.com";
    static const char emulator[] = "http://127.0.0.1:9023";
    static const struct {
        const char *endpoint;
        const char *location, *url; /* NULL = refused */
    } cases[] = {
        {googles, "https://storage.googleapis.com" PATH, "https://storage.googleapis.com" PATH},
        {googles, "https://storage.googleapis.com:443" PATH, "https://storage.googleapis.com:443" PATH},
        {googles, "https://www.googleapis.com" PATH, "https://www.googleapis.com" PATH},
        {googles, PATH, "https://storage.googleapis.com" PATH},
        {googles, "https://evil.example" PATH, NULL},
        {googles, "http://storage.googleapis.com" PATH, NULL},
        {googles, "https://storage.googleapis.com.evil.example" PATH, NULL},
        {googles, "https://evilgoogleapis.com" PATH, NULL},
        {googles, "https://storage.googleapis.com@evil.example" PATH, NULL},
        {googles, "https://user@storage.googleapis.com" PATH, NULL},
        {googles, "https://storage.googleapis.com", NULL},
        {googles, "https://storage.googleapis.com?upload_id=1", NULL},
        {googles, "", NULL},
        {googles, "upload", NULL},
        {googles, "/a b", NULL},
        {googles, "/a\r\nX: y", NULL},
        {googles, "/a#b", NULL},
        {emulator, "http://127.0.0.1:9023" PATH, "http://127.0.0.1:9023" PATH},
        {emulator, "http://0.0.0.0:4443" PATH, "http://127.0.0.1:9023" PATH},
        {emulator, "https://storage.googleapis.com" PATH, "http://127.0.0.1:9023" PATH},
        {emulator, PATH, "http://127.0.0.1:9023" PATH},
        {emulator, "http://elsewhere", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gcs_config config = config_at(cases[i].endpoint, cases[i].endpoint == googles);
        struct error err = {0};
        char *url = NULL;
        int rc = gcs_session_url(&config, cases[i].location, &url, &err);
        if (cases[i].url == NULL) {
            assert_int_equal(rc, ERROR_PROTOCOL);
            assert_true(err.retryable);
            assert_null(url);
            assert_null(strstr(err.message, "ABC"));
            assert_null(strstr(err.message, "evil"));
        } else if (rc || strcmp(url, cases[i].url) != 0) {
            fail_msg("%s: %s", cases[i].location, url ? url : err.message);
        }
        secret_free(url);
    }
    char longest[GCS_SESSION_MAX + 3];
    struct gcs_config config = config_at(googles, true);
    char *url = NULL;
    memset(longest, '/', sizeof longest);
    longest[GCS_SESSION_MAX + 1] = '\0';
    assert_int_equal(gcs_session_url(&config, longest, &url, NULL), ERROR_PROTOCOL);
    longest[GCS_SESSION_MAX] = '\0';
    assert_int_equal(gcs_session_url(&config, longest, &url, NULL), 0);
    secret_free(url);
}

static void kept_bytes(void **state)
{
    (void)state;
    uint64_t kept = 9;
    assert_true(gcs_kept_bytes(NULL, &kept));
    assert_int_equal(kept, 0);
    assert_true(gcs_kept_bytes("bytes=0-0", &kept));
    assert_int_equal(kept, 1);
    assert_true(gcs_kept_bytes("bytes=0-524287", &kept));
    assert_int_equal(kept, 524288);
    assert_true(gcs_kept_bytes("bytes=0-999999999999999999", &kept));
    static const char *const bad[] = {"",           "bytes=1-2",     "bytes=0-",
                                      "bytes=0--1", "0-5",           "bytes 0-5",
                                      "bytes=0-5x", "bytes=0-5,7-9", "bytes=0-1000000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(gcs_kept_bytes(bad[i], &kept));
}

static void resume_states(void **state)
{
    (void)state;
    const struct gcs_resume now = {.session = "0123456789abcdef:AAAA",
                                   .endpoint = "https://storage.googleapis.com",
                                   .bucket = "b",
                                   .key = "k/\xc3\xa0",
                                   .sha256 = SHA256,
                                   .size = INT64_MAX,
                                   .fence = 7};
    char *text = gcs_resume_text(&now);
    struct gcs_resume read = {0};
    struct error err = {0};
    assert_int_equal(gcs_resume_parse(text, &read, &err), 0);
    free(text);
    assert_string_equal(read.session, now.session);
    assert_int_equal(read.fence, 7);
    assert_true(gcs_resume_same(&now, &read));
    const struct gcs_resume others[] = {
        {.endpoint = "http://x", .bucket = "b", .key = now.key, .sha256 = SHA256, .size = INT64_MAX},
        {.endpoint = now.endpoint, .bucket = "c", .key = now.key, .sha256 = SHA256, .size = INT64_MAX},
        {.endpoint = now.endpoint, .bucket = "b", .key = "k", .sha256 = SHA256, .size = INT64_MAX},
        {.endpoint = now.endpoint, .bucket = "b", .key = now.key, .sha256 = "", .size = INT64_MAX},
        {.endpoint = now.endpoint, .bucket = "b", .key = now.key, .sha256 = SHA256, .size = 5},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(gcs_resume_same(&others[i], &read));
        assert_int_equal(gcs_resume_same_bucket(&others[i], &read), i > 1);
    }
    gcs_resume_deinit(&read);

    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "x",
        "{\"session\": 5, \"endpoint\": \"\", \"bucket\": \"\", \"key\": \"\", "
        "\"sha256\": \"\", \"size\": 1, \"fence\": 1}",
        "{\"session\": null, \"endpoint\": \"\", \"bucket\": \"\", \"key\": \"\", "
        "\"sha256\": \"\", \"size\": -1, \"fence\": 1}",
        "{\"upload_id\": \"s3's\", \"bucket\": \"b\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gcs_resume_parse(bad[i], &read, &err), ERROR_INPUT);
    assert_int_equal(
        gcs_resume_parse("{\"session\": null, \"endpoint\": \"e\", \"bucket\": \"b\", \"key\": \"k\", "
                         "\"sha256\": \"\", \"size\": 1, \"fence\": 1}",
                         &read, &err),
        0);
    assert_null(read.session);
    gcs_resume_deinit(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),         cmocka_unit_test(each_error_has_its_class),
        cmocka_unit_test(resources),         cmocka_unit_test(crc32c_as_the_store_writes_it),
        cmocka_unit_test(pages_of_listings), cmocka_unit_test(data_goes_to_the_endpoint_only),
        cmocka_unit_test(kept_bytes),        cmocka_unit_test(resume_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
