/* Uploads to Cloud Storage in one go: what is sent, and what comes of answers that aren't what they should
 * be. */
#include "gcs_put_run.h"

static int setup(void **state)
{
    gcs_with_key = true;
    return gcs_setup(state);
}

static const json_t *field(const json_t *object, const char *name)
{
    return json_object_get(json_object_get(object, "resource"), name);
}

/* --- one request --- */

static void a_small_object_is_one_request(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 65536, 262144};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], 3);
        struct part_digests *digests = i % 2 ? digests_of(&a) : NULL;
        struct put_run run = {.artifact = &a, .digests = digests, .https = i == 3};
        fake_reset();
        gcs_run(&run);
        expect_stored(&run);
        assert_int_equal(fake_count(NULL), 1);
        assert_int_equal(fake_count("InsertMultipart"), 1);
        assert_int_equal(run.saves, 0);
        json_t *sent = fake_ask("GET", "/state", NULL), *object = object_at_key(sent);
        const json_t *metadata = field(object, "metadata");
        assert_string_equal(json_string_value(json_object_get(metadata, "sha256")), a.sha256);
        assert_string_equal(json_string_value(json_object_get(metadata, "row-id")), "301");
        assert_string_equal(json_string_value(json_object_get(metadata, "fence")), "1");
        assert_string_equal(json_string_value(json_object_get(metadata, "backup-id")), "150");
        assert_int_equal(json_object_size(metadata), 4);
        json_decref(sent);
        json_t *entry = gcs_logged("InsertMultipart", 1);
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(entry, "query"), "ifGenerationMatch")), "0");
        json_decref(entry);
        part_digests_free(digests);
        artifact_free(&a);
    }
}

static void all_that_the_configuration_says_is_sent(void **state)
{
    (void)state;
    static const char common[] =
        "\"credentials_ref\": \"env:" GCS_SECRET
        "\", \"multipart_threshold\": 262144, \"storage_class\": \"ARCHIVE\","
        "\"kms_key_name\": \"projects/p/locations/eu/keyRings/r/cryptoKeys/k\", \"custom_time\": true,"
        "\"metadata\": {\"team\": \"shop \xc3\xa0\"}, \"temporary_hold\": true, \"user_project\": \"payer\","
        "\"retention_mode\": \"Unlocked\", \"retention_days\": 2, \"predefined_acl\": \"projectPrivate\"";
    for (int large = 0; large < 2; large++) {
        struct artifact a = artifact_make(large ? 3 * UNIT + 7 : 1000, 4);
        char members[1024];
        snprintf(members, sizeof members, "\"bucket\": \"locked\", %s", common);
        struct put_run run = {.artifact = &a, .members = members};
        fake_reset();
        gcs_run(&run);
        expect_stored(&run);
        json_t *sent = fake_ask("GET", "/state", NULL), *object = object_at_key(sent);
        assert_string_equal(json_string_value(field(object, "storageClass")), "ARCHIVE");
        assert_non_null(strstr(json_string_value(field(object, "kmsKeyName")), "cryptoKeys/k"));
        assert_non_null(field(object, "customTime"));
        assert_true(json_is_true(field(object, "temporaryHold")));
        assert_string_equal(json_string_value(json_object_get(field(object, "retention"), "mode")),
                            "Unlocked");
        assert_string_equal(json_string_value(json_object_get(field(object, "metadata"), "team")),
                            "shop \xc3\xa0");
        json_decref(sent);
        const char *first = large ? "StartResumable" : "InsertMultipart";
        assert_string_equal(sent_header(first, 1, "x-goog-user-project"), "payer");
        json_t *entry = gcs_logged(first, 1);
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(entry, "query"), "predefinedAcl")),
            "projectPrivate");
        json_decref(entry);
        free(run.saved);
        artifact_free(&a);
    }
}

static void a_key_of_ones_own_goes_with_each_request(void **state)
{
    (void)state;
    setenv("BM_TEST_GCS_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 1);
    static const char members[] =
        GCS_RESUMABLE ", \"encryption_key_ref\": \"env:BM_TEST_GCS_KEY\", \"read_back\": true";
    for (int large = 0; large < 2; large++) {
        struct artifact a = artifact_make(large ? 3 * UNIT + 7 : 1000, 4);
        struct put_run run = {.artifact = &a, .members = members, .https = true};
        fake_reset();
        gcs_run(&run);
        expect_stored(&run);
        assert_string_not_equal(
            sent_header(large ? "UploadChunk" : "InsertMultipart", 1, "x-goog-encryption-key-sha256"), "");
        assert_int_equal(fake_count("ReadObject"), 1);
        free(run.saved);
        artifact_free(&a);
    }
    unsetenv("BM_TEST_GCS_KEY");
}

/* --- answers to it --- */

static void what_may_pass_is_tried_again(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"respond\", \"status\": 503, "
        "\"code\": \"backendError\"}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"respond\", \"status\": 429, "
        "\"code\": \"rateLimitExceeded\", \"headers\": {\"Retry-After\": \"0\"}}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"respond\", \"status\": 408}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"respond\", \"status\": 502, "
        "\"body\": \"<html>502</html>\"}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"close_request\", \"bytes\": 70000, "
        "\"reset\": true}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"drop_answer\"}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"close_response\", \"bytes\": 20}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"truncate\"}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"garbage\", \"body\": "
        "\"no JSON\"}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"respond\", \"status\": 200, "
        "\"body\": \"<html>welcome</html>\"}}",
        "{\"match\": {\"operation\": \"InsertMultipart\"}, \"action\": {\"type\": \"alter\", \"status\": 404, "
        "\"body\": \"<html>no such site</html>\", \"headers\": {\"X-GUploader-UploadID\": null}}}",
        "{\"match\": {\"operation\": \"InsertMultipart\", \"count\": 2}, \"action\": {\"type\": \"respond\", "
        "\"status\": 500}}",
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct artifact a = artifact_make(200000, 3);
        struct put_run run = {.artifact = &a};
        fake_reset();
        fake_rule(rules[i]);
        gcs_run(&run);
        if (run.err.code)
            fail_msg("%s: %s", rules[i], run.err.message);
        expect_stored(&run);
        assert_false(run.result.existed);
        artifact_free(&a);
    }
}

static void what_does_not_pass_ends_it(void **state)
{
    (void)state;
    static const struct {
        const char *members, *rule;
        int code;
        bool retryable;
        const char *says;
        int inserts;
    } cases[] = {
        {NULL,
         "{\"match\": {\"operation\": \"InsertMultipart\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
         "\"status\": 403, \"code\": \"forbidden\", \"message\": \"a@p does not have storage.objects.create "
         "access\"}}",
         ERROR_DENIED, false, "storage.objects.create access; the credentials need a role in this bucket", 1},
        {NULL,
         "{\"match\": {\"operation\": \"InsertMultipart\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
         "\"status\": 503}}",
         ERROR_UNREACHABLE, true, "objects.insert in bucket 'bucket': 503", 3},
        {NULL,
         "{\"match\": {\"operation\": \"InsertMultipart\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
         "\"status\": 429, \"headers\": {\"Retry-After\": \"120\"}}}",
         ERROR_LIMIT, true, "429", 1},
        {NULL,
         "{\"match\": {\"operation\": \"InsertMultipart\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
         "\"status\": 400, \"code\": \"userProjectMissing\"}}",
         ERROR_DENIED, false, "set \"user_project\"", 1},
        {NULL,
         "{\"match\": {\"operation\": \"InsertMultipart\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
         "\"status\": 200, \"body\": \"<html>log in</html>\"}}",
         ERROR_PROTOCOL, true, "as if a proxy answered", 3},
        {"\"bucket\": \"nowhere\", \"credentials_ref\": \"env:" GCS_SECRET "\"", NULL, ERROR_NOT_FOUND, false,
         "make the bucket, or correct \"bucket\"", 1},
        {GCS_BUCKET ", \"storage_class\": \"COLDER\"", NULL, ERROR_INPUT, false, "storageClass COLDER", 1},
        {"\"bucket\": \"bucket\"", NULL, ERROR_DENIED, false, "check the credentials", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct artifact a = artifact_make(1000, 3);
        struct put_run run = {.artifact = &a, .members = cases[i].members};
        fake_reset();
        fake_rule(cases[i].rule);
        gcs_run(&run);
        expect_run(&run, cases[i].code, cases[i].retryable, cases[i].says);
        assert_int_equal(fake_count("InsertMultipart"), cases[i].inserts);
        if (cases[i].code == ERROR_LIMIT)
            assert_int_equal(run.err.retry_after_ms, 120000);
        artifact_free(&a);
    }
}

/* Digests of the staging pass that aren't of these bytes: the store itself refuses them. */
static void damaged_bytes_are_refused_by_the_store(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        struct artifact a = artifact_make(large ? 3 * UNIT + 7 : 1000, 4);
        struct part_digests *digests = digests_of(&a);
        digests->parts[0].crc32c ^= 1;
        struct put_run run = {.artifact = &a, .digests = digests};
        fake_reset();
        gcs_run(&run);
        expect_run(&run, ERROR_CORRUPT, true, a.sha256);
        expect_nothing_stored(0);
        part_digests_free(digests);
        free(run.saved);
        artifact_free(&a);
    }
}

/* Answers to these operations tell another checksum, or size, than the object has. */
static void lie(const struct artifact *a, const char *operations, const char *what)
{
    char crc32c[GCS_CRC32C_SIZE], rule[600];
    gcs_crc32c_write(part_crc32c(0, a->data, a->size), crc32c);
    snprintf(
        rule, sizeof rule,
        "{\"match\": {\"operation\": [%s], \"count\": 0}, \"action\": {\"type\": \"alter\", \"replace\": "
        "{\"%s\": \"%s\"}}}",
        operations, strcmp(what, "size") == 0 ? "\\\"size\\\": \\\"" : crc32c,
        strcmp(what, "size") == 0 ? "\\\"size\\\": \\\"9" : "AAAAAA==");
    fake_rule(rule);
}

#define WRITES "\"InsertMultipart\", \"UploadChunk\""

/* The store says that it has other bytes than were sent, and says so again. */
static void a_wrong_object_of_ours_is_deleted(void **state)
{
    (void)state;
    static const char *const lies[] = {"size", "crc32c"};
    for (int i = 0; i < 4; i++) {
        struct artifact a = artifact_make(i / 2 ? 3 * UNIT + 7 : 1000, 4);
        struct put_run run = {.artifact = &a,
                              .members = "\"bucket\": \"versioned\", \"credentials_ref\": \"env:" GCS_SECRET
                                         "\", \"multipart_threshold\": 262144"};
        fake_reset();
        lie(&a, WRITES ", \"GetObject\"", lies[i % 2]);
        gcs_run(&run);
        expect_run(&run, ERROR_CORRUPT, true, "it is removed");
        expect_run(&run, ERROR_CORRUPT, true, a.sha256);
        expect_nothing_stored(0);
        assert_int_equal(count_in_state("older_versions"), 0); /* this very generation, for good */
        assert_int_equal(fake_count("DeleteObject"), 1);
        free(run.saved);
        artifact_free(&a);
    }
}

/* ... and then says that they are as they should be; or doesn't tell at first. */
static void an_answer_that_proves_nothing_is_confirmed(void **state)
{
    (void)state;
    static const char *const lies[] = {"size", "crc32c", NULL};
    for (int i = 0; i < 6; i++) {
        struct artifact a = artifact_make(i / 3 ? 3 * UNIT + 7 : 1000, 4);
        struct put_run run = {.artifact = &a};
        fake_reset();
        if (lies[i % 3])
            lie(&a, WRITES, lies[i % 3]);
        else
            fake_rule("{\"match\": {\"operation\": [\"InsertMultipart\", \"UploadChunk\"], \"count\": 0}, "
                      "\"action\": {\"type\": \"alter\", \"replace\": {\"crc32c\": \"other\"}}}");
        gcs_run(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("GetObject"), i / 3 ? 2 : 1);
        free(run.saved);
        artifact_free(&a);
    }
}

/* --- credentials --- */

static void a_token_that_ends_is_fetched_anew_once(void **state)
{
    (void)state;
    struct artifact a = artifact_make(1000, 3);
    struct world *world = gcs_world_open(NULL, false);
    fake_tell("POST", "/credentials",
              "{\"add\": [{\"token\": \"second\", \"scopes\": "
              "[\"https://www.googleapis.com/auth/devstorage.full_control\"]}]}");
    struct outcome o = run_stat_in(world, KEY);
    assert_int_equal(o.err.code, 0);
    fake_tell("POST", "/credentials", "{\"expire\": [\"fake-token\"]}");
    o = run_stat_in(world, KEY); /* the secret is still that token: nothing is gained by asking again */
    expect_error(&o, ERROR_DENIED, false, "401 authError");
    assert_int_equal(fake_count("GetObject"), 2);
    gcs_use_token("second");
    o = run_stat_in(world, KEY);
    assert_int_equal(o.err.code, 0);
    world_close(world);
    artifact_free(&a);
}

/* They stand in the configuration itself, which was encrypted. */
static void sealed_credentials(void **state)
{
    (void)state;
    struct artifact a = artifact_make(1000, 3);
    struct put_run run = {
        .artifact = &a,
        .members =
            "\"bucket\": \"bucket\", \"service_account_json\": \"{\\n\\\"access_token\\\": \\\"fake-token\\\"}\""};
    unsetenv(GCS_SECRET);
    gcs_run(&run);
    expect_stored(&run);
    fake_reset();
    run = (struct put_run){
        .artifact = &a,
        .members =
            "\"bucket\": \"bucket\", \"service_account_json\": \"{\\\"type\\\": \\\"service_account\\\", "
            "\\\"private_key\\\": \\\"hidden\\\"}\""};
    gcs_run(&run);
    expect_run(&run, ERROR_INPUT, false, "the sealed credentials");
    assert_null(strstr(run.err.message, "hidden"));
    artifact_free(&a);
}

static void a_key_that_may_only_write(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        struct artifact a = artifact_make(large ? 3 * UNIT + 7 : 1000, 4);
        struct put_run run = {.artifact = &a};
        fake_reset();
        fake_rule(
            "{\"match\": {\"operation\": [\"GetObject\", \"ReadObject\", \"ListObjects\", \"DeleteObject\"], "
            "\"count\": 0}, \"action\": {\"type\": \"respond\", \"status\": 403, \"code\": \"forbidden\"}}");
        gcs_run(&run);
        expect_stored(&run);
        free(run.saved);
        artifact_free(&a);
    }
}

static void an_emulator_gets_no_credentials(void **state)
{
    (void)state;
    struct artifact a = artifact_make(3 * UNIT, 3);
    char host[64];
    fake_tell("POST", "/settings", "{\"anonymous\": true}");
    snprintf(host, sizeof host, "localhost:%d", fake.http);
    setenv("STORAGE_EMULATOR_HOST", host, 1);
    struct put_run run = {.artifact = &a};
    gcs_with_key = false;
    run_upload_in(&run, world_open_as("gcs", "{\"bucket\": \"bucket\", \"multipart_threshold\": 262144}"));
    unsetenv("STORAGE_EMULATOR_HOST");
    expect_stored(&run);
    json_t *entry = gcs_logged("StartResumable", 1);
    assert_null(json_object_get(entry, "token"));
    json_decref(entry);
    free(run.saved);
    artifact_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_small_object_is_one_request, setup),
        cmocka_unit_test_setup(all_that_the_configuration_says_is_sent, setup),
        cmocka_unit_test_setup(a_key_of_ones_own_goes_with_each_request, setup),
        cmocka_unit_test_setup(what_may_pass_is_tried_again, setup),
        cmocka_unit_test_setup(what_does_not_pass_ends_it, setup),
        cmocka_unit_test_setup(damaged_bytes_are_refused_by_the_store, setup),
        cmocka_unit_test_setup(a_wrong_object_of_ours_is_deleted, setup),
        cmocka_unit_test_setup(an_answer_that_proves_nothing_is_confirmed, setup),
        cmocka_unit_test_setup(a_token_that_ends_is_fetched_anew_once, setup),
        cmocka_unit_test_setup(sealed_credentials, setup),
        cmocka_unit_test_setup(a_key_that_may_only_write, setup),
        cmocka_unit_test_setup(an_emulator_gets_no_credentials, setup),
    };
    return cmocka_run_group_tests(tests, gcs_group_setup, gcs_group_teardown);
}
