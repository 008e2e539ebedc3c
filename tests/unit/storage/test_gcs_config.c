#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/gcs/config.h"

static int load(const char *text, const char *credentials_ref, json_t **ret_json, struct gcs_config *ret,
                struct error *err)
{
    json_error_t at;
    *ret_json = text ? json_loads(text, 0, &at) : NULL;
    if (text && *ret_json == NULL)
        fail_msg("%s: %s", at.text, text);
    const struct storage_location location = {
        .storage_type = "gcs", .config = *ret_json, .credentials_ref = credentials_ref};
    return gcs_config_load(&location, ret, err);
}

static int setup(void **state)
{
    (void)state;
    unsetenv("STORAGE_EMULATOR_HOST");
    unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
    return 0;
}

#define BUCKET "\"bucket\": \"my-backups\""

static void endpoints_and_what_they_are_given(void **state)
{
    (void)state;
    static const struct {
        const char *text, *emulator, *key_file, *credentials_ref;
        const char *endpoint;
        bool https, google;
        enum gcs_auth auth;
    } cases[] = {
        {"{" BUCKET "}", NULL, NULL, NULL, "https://storage.googleapis.com", true, true,
         GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"https://storage-backups.p.googleapis.com/\"}", NULL, NULL, NULL,
         "https://storage-backups.p.googleapis.com", true, true, GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"https://gcs.example:4443\"}", NULL, NULL, NULL,
         "https://gcs.example:4443", true, false, GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"https://notgoogleapis.com\"}", NULL, NULL, NULL,
         "https://notgoogleapis.com", true, false, GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"http://storage.googleapis.com\"}", NULL, NULL, NULL,
         "http://storage.googleapis.com", false, false, GCS_AUTH_NONE},
        /* in clear: only what somebody named */
        {"{" BUCKET ", \"endpoint\": \"http://127.0.0.1:9023\"}", NULL, NULL, NULL, "http://127.0.0.1:9023",
         false, false, GCS_AUTH_NONE},
        {"{" BUCKET ", \"endpoint\": \"http://127.0.0.1:9023\"}", NULL, "/key.json", NULL,
         "http://127.0.0.1:9023", false, false, GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"http://127.0.0.1:9023\"}", NULL, NULL, "file:/key.json",
         "http://127.0.0.1:9023", false, false, GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"http://h\", \"service_account_json\": \"\\n{\\n}\"}", NULL, NULL, NULL,
         "http://h", false, false, GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"http://[::1]:9023\", \"credentials_ref\": \"env:KEY\"}", NULL, NULL,
         NULL, "http://[::1]:9023", false, false, GCS_AUTH_CREDENTIALS},
        /* the emulator's variable, where nothing else is said */
        {"{" BUCKET "}", "127.0.0.1:9023", "/key.json", NULL, "http://127.0.0.1:9023", false, false,
         GCS_AUTH_NONE},
        {"{" BUCKET "}", "http://localhost:9023/", NULL, "", "http://localhost:9023", false, false,
         GCS_AUTH_NONE},
        {"{" BUCKET "}", "https://localhost:9023", NULL, NULL, "https://localhost:9023", true, false,
         GCS_AUTH_NONE},
        {"{" BUCKET "}", "localhost:9023", NULL, "file:/key.json", "http://localhost:9023", false, false,
         GCS_AUTH_CREDENTIALS},
        {"{" BUCKET ", \"endpoint\": \"https://storage.googleapis.com\"}", "localhost:9023", NULL, NULL,
         "https://storage.googleapis.com", true, true, GCS_AUTH_CREDENTIALS},
        {"{" BUCKET "}", "", NULL, NULL, "https://storage.googleapis.com", true, true, GCS_AUTH_CREDENTIALS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct gcs_config config;
        struct error err = {0};
        setup(NULL);
        if (cases[i].emulator)
            setenv("STORAGE_EMULATOR_HOST", cases[i].emulator, 1);
        if (cases[i].key_file)
            setenv("GOOGLE_APPLICATION_CREDENTIALS", cases[i].key_file, 1);
        if (load(cases[i].text, cases[i].credentials_ref, &json, &config, &err))
            fail_msg("%zu: %s", i, err.message);
        assert_string_equal(config.endpoint, cases[i].endpoint);
        if (config.https != cases[i].https || config.google != cases[i].google ||
            config.auth != cases[i].auth)
            fail_msg("%zu: https %d, google %d, auth %d", i, config.https, config.google, config.auth);
        json_decref(json);
    }
    setup(NULL);
}

static void defaults(void **state)
{
    (void)state;
    json_t *json;
    struct gcs_config config;
    struct error err;
    assert_int_equal(
        load("{" BUCKET ", \"prefix\": \"a/b\", \"storage_class\": null}", NULL, &json, &config, &err), 0);
    assert_string_equal(config.bucket, "my-backups");
    assert_null(config.storage_class);
    assert_null(config.metadata);
    assert_int_equal(config.multipart_threshold, 16 << 20);
    assert_int_equal(config.chunk_size, 0);
    assert_int_equal(config.max_requests, 32);
    assert_false(config.read_back || config.custom_time || config.temporary_hold || config.event_based_hold);
    json_decref(json);
}

static void everything_said(void **state)
{
    (void)state;
    json_t *json;
    struct gcs_config config;
    struct error err = {0};
    static const char text[] =
        "{" BUCKET ", \"storage_class\": \"NEARLINE\", \"ca_file\": \"/ca.pem\", \"user_project\": \"p-1\","
        "\"kms_key_name\": \"projects/p/locations/eu/keyRings/r/cryptoKeys/k\", \"credentials_ref\": \"env:K\","
        "\"metadata\": {\"team\": \"shop\"}, \"custom_time\": true, \"predefined_acl\": \"projectPrivate\","
        "\"temporary_hold\": true, \"event_based_hold\": true, \"retention_mode\": \"Locked\","
        "\"retention_days\": 30, \"read_back\": true, \"chunk_size\": \"64MiB\","
        "\"multipart_threshold\": 1048576, \"max_requests\": 7}";
    if (load(text, NULL, &json, &config, &err))
        fail_msg("%s", err.message);
    assert_string_equal(config.storage_class, "NEARLINE");
    assert_string_equal(config.ca_file, "/ca.pem");
    assert_string_equal(config.user_project, "p-1");
    assert_string_equal(config.kms_key_name, "projects/p/locations/eu/keyRings/r/cryptoKeys/k");
    assert_string_equal(config.credentials_ref, "env:K");
    assert_string_equal(json_string_value(json_object_get(config.metadata, "team")), "shop");
    assert_string_equal(config.predefined_acl, "projectPrivate");
    assert_string_equal(config.retention_mode, "Locked");
    assert_int_equal(config.retention_days, 30);
    assert_true(config.read_back && config.custom_time && config.temporary_hold && config.event_based_hold);
    assert_int_equal(config.chunk_size, 64 << 20);
    assert_int_equal(config.multipart_threshold, 1 << 20);
    assert_int_equal(config.max_requests, 7);
    json_decref(json);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {NULL, "\"bucket\" is missing"},
        {"{}", "\"bucket\" is missing"},
        {"{\"bucket\": \"\"}", "\"bucket\" must be"},
        {"{\"bucket\": \"ab\"}", "\"bucket\" must be"},
        {"{\"bucket\": \"Backups\"}", "\"bucket\" must be"},
        {"{\"bucket\": \"a..b\"}", "\"bucket\" must be"},
        {"{\"bucket\": \"-ab\"}", "\"bucket\" must be"},
        {"{\"bucket\": \"ab.\"}", "\"bucket\" must be"},
        {"{\"bucket\": \"a/b\"}", "\"bucket\" must be"},
        {"{\"bucket\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
         "\"bucket\" must be"},
        {"{" BUCKET ", \"Region\": \"eu\"}",
         "\"Region\" is unknown here; known: bucket, prefix, endpoint, ca_file, user_project, credentials_ref, "
         "storage_class, kms_key_name, encryption_key_ref, metadata, custom_time, predefined_acl, "
         "temporary_hold, event_based_hold, retention_mode, retention_days, chunk_size, "
         "multipart_threshold, max_requests, read_back"},
        {"{" BUCKET ", \"endpoint\": \"storage.googleapis.com\"}", "\"endpoint\" must be"},
        {"{" BUCKET ", \"endpoint\": \"https://h/storage/v1\"}", "\"endpoint\" must be"},
        {"{" BUCKET ", \"endpoint\": \"https://u:p@h\"}", "\"endpoint\" must be"},
        {"{" BUCKET ", \"prefix\": \"a/../b\"}", "\"prefix\" must be"},
        {"{" BUCKET ", \"storage_class\": \"nearline\"}", "\"NEARLINE\""},
        {"{" BUCKET ", \"service_account_json\": \"secret\"}", "\"service_account_json\" must be"},
        {"{" BUCKET ", \"service_account_json\": {\"a\": 1}}", "\"service_account_json\" must be"},
        {"{" BUCKET ", \"service_account_json\": \"{}\", \"credentials_ref\": \"env:X\"}", "keep one"},
        {"{" BUCKET ", \"kms_key_name\": \"k\"}", "\"projects/PROJECT/"},
        {"{" BUCKET ", \"user_project\": \"a b\"}", "\"user_project\" must be"},
        {"{" BUCKET ", \"custom_time\": \"now\"}", "\"custom_time\" must be true or false"},
        {"{" BUCKET ", \"metadata\": {\"a\": 1}}", "\"metadata\" must be"},
        {"{" BUCKET ", \"metadata\": {\"fence\": \"1\"}}", "each object has its own"},
        {"{" BUCKET ", \"predefined_acl\": \"public\"}", "\"projectPrivate\""},
        {"{" BUCKET ", \"retention_mode\": \"Locked\"}", "go together"},
        {"{" BUCKET ", \"retention_days\": 3}", "go together"},
        {"{" BUCKET ", \"retention_mode\": \"COMPLIANCE\", \"retention_days\": 3}",
         "\"Unlocked\" or \"Locked\""},
        {"{" BUCKET ", \"chunk_size\": 300000}", "a multiple of 256 KiB"},
        {"{" BUCKET ", \"chunk_size\": 0}", "\"chunk_size\" must be"},
        {"{" BUCKET ", \"multipart_threshold\": \"6GiB\"}", "\"multipart_threshold\" must be"},
        {"{" BUCKET ", \"max_requests\": 0}", "\"max_requests\" must be"},
        {"{" BUCKET ", \"encryption_key_ref\": \"env:K\", \"endpoint\": \"http://h\"}", "must be https"},
        {"{" BUCKET ", \"encryption_key_ref\": \"env:K\","
         "\"kms_key_name\": \"projects/p/locations/eu/keyRings/r/cryptoKeys/k\"}",
         "keep one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct gcs_config config;
        struct error err = {0};
        assert_int_equal(load(cases[i].text, NULL, &json, &config, &err), ERROR_INPUT);
        if (err.retryable || strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text ? cases[i].text : "NULL", err.message);
        json_decref(json);
    }
}

static void a_wrong_emulator_is_told(void **state)
{
    (void)state;
    static const char *const values[] = {"http://", "127.0.0.1:9023/storage/v1", "a b", "ftp://h"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        json_t *json;
        struct gcs_config config;
        struct error err = {0};
        setenv("STORAGE_EMULATOR_HOST", values[i], 1);
        assert_int_equal(load("{" BUCKET "}", NULL, &json, &config, &err), ERROR_INPUT);
        assert_non_null(strstr(err.message, "STORAGE_EMULATOR_HOST"));
        json_decref(json);
    }
    setup(NULL);
}

static void keys(void **state)
{
    (void)state;
    char longest[1026];
    memset(longest, 'k', sizeof longest);
    longest[1024] = '\0';
    const char *const good[] = {"a",        "a//b", "a/",  "/a",   ".well-known/a", "a*?[b]'\"$(x);",
                                "\xc3\xa0", "#",    "...", longest};
    struct error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(gcs_config_check_key(good[i], &err), 0);
    longest[1024] = 'k';
    longest[1025] = '\0';
    const char *const bad[] = {
        "",     ".",    "..",   "../x", "a/../b", "a/..", "./a",
        "a\nb", "a\rb", "a\tb", "\xff", longest,  NULL,   ".well-known/acme-challenge/x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct error){0};
        assert_int_equal(gcs_config_check_key(bad[i], &err), ERROR_UNSAFE_PATH);
        assert_non_null(strstr(err.message, "path"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(endpoints_and_what_they_are_given, setup),
        cmocka_unit_test_setup(defaults, setup),
        cmocka_unit_test_setup(everything_said, setup),
        cmocka_unit_test_setup(what_is_refused, setup),
        cmocka_unit_test_setup(a_wrong_emulator_is_told, setup),
        cmocka_unit_test_setup(keys, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
