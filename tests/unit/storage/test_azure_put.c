/* Uploads that have nothing to take up: what is sent, what is confirmed, what stands there already. */
#include "azure_put_run.h"

static struct artifact small, large,
    staged; /* one request; three blocks; of a size that staging cuts in three */
static struct part_digests *small_digests, *staged_digests, *staged_with_md5;

static struct part_digests *digests_with_md5(const struct artifact *a)
{
    struct part_digester *digester = part_digester_new();
    assert_true(part_digester_want_md5(digester));
    part_digester_update(digester, a->data, a->size);
    struct part_digests *digests = part_digester_finish(digester);
    part_digester_free(digester);
    assert_true(digests && digests->has_md5);
    return digests;
}

static int group_setup(void **state)
{
    azure_group_setup(state);
    small = artifact_make(70001, 1);
    large = artifact_make(2 * PART + 6017, 2);
    staged = artifact_make(33 * MIB, 3);
    small_digests = digests_of(&small);
    staged_digests = digests_of(&staged);
    staged_with_md5 = digests_with_md5(&staged);
    return 0;
}

static int group_teardown(void **state)
{
    part_digests_free(small_digests);
    part_digests_free(staged_digests);
    part_digests_free(staged_with_md5);
    artifact_free(&small);
    artifact_free(&large);
    artifact_free(&staged);
    return azure_group_teardown(state);
}

/* --- one request --- */

static void one_request(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        bool https, digests, md5;
    } cases[] = {
        {"", false, true, true},
        {"", true, false, true},
        {", \"checksum\": \"crc64\"", false, true, true},
        {", \"checksum\": \"md5\"", false, false, true},
        {", \"checksum\": \"none\"", false, true, false},
        {", \"checksum\": \"none\"", false, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char members[512], md5[32];
        setup_fake();
        snprintf(members, sizeof members, "%s%s", SMALL_BLOCKS, cases[i].more);
        struct put_run run = {.members = members,
                              .https = cases[i].https,
                              .artifact = &small,
                              .digests = cases[i].digests ? small_digests : NULL};
        run_upload(&run);
        expect_stored(&run); /* the service makes the MD5 itself where none is sent */
        assert_false(run.result.existed);
        assert_int_equal(fake_count("PutBlob"), 1);
        assert_int_equal(fake_count("GetBlobProperties"), 1); /* confirmed */
        assert_int_equal(fake_count(NULL), 2);
        assert_int_equal(run.saves, 0);
        base64_md5_of(&small, md5);
        assert_string_equal(sent_header("PutBlob", 1, "Content-MD5"), cases[i].md5 ? md5 : "");
        assert_string_equal(sent_header("PutBlob", 1, "If-None-Match"), "*");
        assert_string_equal(sent_header("PutBlob", 1, "x-ms-version"), "2021-12-02");
        assert_string_equal(sent_header("PutBlob", 1, "x-ms-meta-fence"), "1");
    }
}

static void sizes_around_the_bounds(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2 * PART, 2 * PART + 1, 3 * PART, 3 * PART + 1};
    static const int blocks[] = {0, 0, 0, 3, 3, 4};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], 7);
        setup_fake();
        struct put_run run = {.artifact = &a};
        run_upload(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("PutBlock"), blocks[i]);
        assert_int_equal(fake_count("PutBlob"), blocks[i] ? 0 : 1);
        free(run.saved);
        artifact_free(&a);
    }
}

/* --- several blocks --- */

static void several_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *more, *sum; /* header of a block's digest; "" = none */
        bool https, md5;
    } cases[] = {
        {"", "x-ms-content-crc64", false, true},
        {", \"checksum\": \"crc64\"", "x-ms-content-crc64", true, true},
        {", \"checksum\": \"md5\"", "Content-MD5", false, true},
        {", \"checksum\": \"none\"", "", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char members[512];
        setup_fake();
        snprintf(members, sizeof members, "%s%s", SMALL_BLOCKS, cases[i].more);
        struct put_run run = {.members = members, .https = cases[i].https, .artifact = &large};
        run_upload(&run);
        expect_stored_with(&run, cases[i].md5);
        assert_int_equal(fake_count("PutBlock"), 3);
        assert_int_equal(fake_count("PutBlockList"), 1);
        assert_int_equal(fake_count("GetBlobProperties"), 2); /* before, and confirmed */
        assert_int_equal(run.saves, 1);
        assert_non_null(strstr(run.saved, "\"uncommitted\":\""));
        static const char *const sums[] = {"x-ms-content-crc64", "Content-MD5"};
        for (size_t k = 0; k < 2; k++)
            assert_int_equal(*sent_header("PutBlock", 2, sums[k]) != '\0',
                             strcmp(cases[i].sum, sums[k]) == 0);
        assert_string_equal(sent_header("PutBlockList", 1, "If-None-Match"), "*");
        free(run.saved);
    }
}

/* The name of the upload is recorded before its first block is sent. */
static void blocks_wait_for_the_record(void **state);

static int blocks_at_first_save;

static void on_first_save(int number)
{
    if (number == 1)
        blocks_at_first_save = fake_count("PutBlock");
}

static void blocks_wait_for_the_record(void **state)
{
    (void)state;
    struct put_run run = {.artifact = &large, .on_save = on_first_save};
    blocks_at_first_save = -1;
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(blocks_at_first_save, 0);
    free(run.saved);

    setup_fake();
    struct put_run stale = {.artifact = &large, .stale_save = 1};
    run_upload(&stale);
    expect_run(&stale, ERROR_CANCELLED, true, "later attempt");
    assert_int_equal(fake_count("PutBlock"), 0);
    free(stale.saved);
}

/* With what the staging pass has left nothing is hashed again, but MD5 where that was not wanted then. */
static void digests_of_the_staging_pass(void **state)
{
    (void)state;
    struct part_digests *const digests[] = {staged_digests, staged_with_md5};
    for (size_t i = 0; i < 4; i++) {
        setup_fake();
        object_put_set_part_size(0); /* the staging pass's */
        struct put_run run = {.members = i / 2 ? AZURE_CONTAINER ", \"checksum\": \"md5\"" : AZURE_CONTAINER,
                              .artifact = &staged,
                              .digests = digests[i % 2]};
        run_upload(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("PutBlock"), 3);
        char crc64[32];
        uint64_t bytes = htole64(staged_digests->parts[0].crc64);
        EVP_EncodeBlock((unsigned char *)crc64, (const unsigned char *)&bytes, sizeof bytes);
        bool found = false;
        for (int k = 1; k <= 3; k++)
            found = found || strcmp(sent_header("PutBlock", k, "x-ms-content-crc64"), crc64) == 0;
        assert_int_equal(found, i < 2);
        free(run.saved);
    }
}

/* The source isn't what was staged: the service sees it by the sums of the staging pass, or we do. */
static void a_source_that_has_changed(void **state)
{
    (void)state;
    static const char *const kinds[] = {"", ", \"checksum\": \"md5\"", ", \"checksum\": \"none\""};
    struct artifact other = artifact_make(staged.size, 99), little = artifact_make(small.size, 98);
    memcpy(other.sha256, staged.sha256, sizeof other.sha256);
    memcpy(little.sha256, small.sha256, sizeof little.sha256);
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof *kinds; i++) {
        char members[512];
        setup_fake();
        object_put_set_part_size(0);
        snprintf(members, sizeof members, "%s%s", AZURE_CONTAINER, kinds[i / 2]);
        struct put_run run = {.members = members,
                              .artifact = i % 2 ? &little : &other,
                              .digests = i % 2 ? small_digests : staged_with_md5};
        run_upload(&run);
        expect_run(&run, ERROR_CORRUPT, true, NULL);
        assert_int_equal(count_in_state("objects"), 0);
        assert_int_equal(fake_count("PutBlockList"), 0);
        free(run.saved);
    }
    artifact_free(&other);
    artifact_free(&little);
}

/* --- what is said of the blob --- */

static void what_the_configuration_asks_for(void **state)
{
    (void)state;
    static const char how[] =
        "\"container\": \"immutable\", " AZURE_WITH_KEY
        ", \"multipart_threshold\": 262144, \"tier\": \"Cool\", \"tags\": {\"a b\": \"c+d=e\", \"f\": \"\"}, "
        "\"immutability_days\": 2, \"immutability_mode\": \"unlocked\", \"legal_hold\": true";
    const struct artifact *const artifacts[] = {&small, &large};
    static const char *const writes[] = {"PutBlob", "PutBlockList"};
    for (size_t i = 0; i < 2; i++) {
        setup_fake();
        struct put_run run = {.members = how, .artifact = artifacts[i]};
        run_upload(&run);
        expect_stored(&run);
        assert_string_equal(sent_header(writes[i], 1, "x-ms-access-tier"), "Cool");
        assert_string_equal(sent_header(writes[i], 1, "x-ms-tags"), "a%20b=c%2Bd%3De&f=");
        assert_string_equal(sent_header(writes[i], 1, "x-ms-immutability-policy-mode"), "Unlocked");
        assert_non_null(strstr(sent_header(writes[i], 1, "x-ms-immutability-policy-until-date"), " GMT"));
        assert_string_equal(sent_header(writes[i], 1, "x-ms-legal-hold"), "true");
        json_t *state_now = fake_ask("GET", "/state", NULL);
        const json_t *object = object_at_key(state_now);
        assert_string_equal(json_string_value(json_object_get(object, "tier")), "Cool");
        assert_string_equal(json_string_value(json_object_get(json_object_get(object, "tags"), "a b")),
                            "c+d=e");
        json_decref(state_now);
        free(run.saved);
    }
}

static void keys_of_customers(void **state)
{
    (void)state;
    const struct artifact *const artifacts[] = {&small, &large};
    setenv("BM_TEST_BLOB_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 1);
    for (size_t i = 0; i < 2; i++) {
        setup_fake();
        struct put_run run = {.members = SMALL_BLOCKS
                              ", \"read_back\": true, \"customer_key_ref\": \"env:BM_TEST_BLOB_KEY\"",
                              .https = true,
                              .artifact = artifacts[i]};
        run_upload(&run);
        expect_stored(&run);
        free(run.saved);
    }
}

/* --- what stands there --- */

static void an_equal_blob_stands_there(void **state)
{
    (void)state;
    static const int statuses[] = {409, 412};
    const struct artifact *const artifacts[] = {&small, &large};
    for (size_t i = 0; i < 4; i++) {
        char settings[64];
        setup_fake();
        snprintf(settings, sizeof settings, "{\"exists_status\": %d}", statuses[i / 2]);
        fake_tell("POST", "/settings", settings);
        struct put_run first = {.artifact = artifacts[i % 2]};
        run_upload(&first);
        expect_stored(&first);
        struct put_run run = {.artifact = artifacts[i % 2], .fence = 2};
        run_upload(&run);
        expect_stored(&run);
        assert_true(run.result.existed);
        free(first.saved);
        free(run.saved);
    }
}

static void another_blob_stands_there(void **state)
{
    (void)state;
    static const int statuses[] = {409, 412};
    const struct artifact *const artifacts[] = {&small, &large};
    for (size_t i = 0; i < 4; i++) {
        char settings[64];
        setup_fake();
        snprintf(settings, sizeof settings, "{\"exists_status\": %d}", statuses[i / 2]);
        fake_tell("POST", "/settings", settings);
        put_by_others("hello", 5);
        struct put_run run = {.artifact = artifacts[i % 2]};
        run_upload(&run);
        expect_run(&run, ERROR_CONFLICT, false, "container 'container' holds another object already");
        assert_int_equal(fake_count("PutBlock"), 0); /* seen before anything is sent */
        json_t *state_now = fake_ask("GET", "/state", NULL);
        assert_int_equal(json_integer_value(json_object_get(object_at_key(state_now), "size")), 5);
        json_decref(state_now);
    }
}

/* Of equal size, without our metadata: told by its bytes. */
static void a_blob_of_equal_size_is_read(void **state)
{
    (void)state;
    put_by_others(small.data, small.size);
    struct put_run run = {.artifact = &small};
    run_upload(&run);
    expect_run(&run, 0, false, NULL);
    assert_true(run.result.existed);

    struct artifact other = artifact_make(small.size, 9);
    struct put_run second = {.artifact = &other};
    run_upload(&second);
    expect_run(&second, ERROR_CONFLICT, false, other.sha256);
    artifact_free(&other);
}

/* Another writer is quicker: between our look and our list. */
static void somebody_else_is_quicker(void **state)
{
    (void)state;
    for (int equal = 0; equal < 2; equal++) {
        setup_fake();
        fake_rule("{\"id\": \"late\", \"match\": {\"operation\": \"PutBlockList\"}, \"action\": {\"type\": "
                  "\"respond\", \"status\": 409, \"code\": \"BlobAlreadyExists\"}}");
        struct put_run run = {.artifact = &large};
        if (equal) { /* the answer to our own write got lost, and the call tried again */
            fake_tell("DELETE", "/rules", NULL);
            fake_rule(
                "{\"match\": {\"operation\": \"PutBlockList\"}, \"action\": {\"type\": \"drop_answer\"}}");
        }
        run_upload(&run);
        if (equal) {
            expect_stored(&run);
            assert_false(run.result.existed); /* it is of this very attempt */
        } else {
            expect_run(&run, ERROR_CONFLICT, true, "nothing does");
        }
        free(run.saved);
    }
}

/* --- what is confirmed --- */

static void what_the_store_says_afterwards_must_fit(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        int code;
        const char *says;
        int objects;
    } cases[] = {
        {"{\"match\": {\"operation\": \"GetBlobProperties\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
         "\"headers\": {\"Content-MD5\": \"AAAAAAAAAAAAAAAAAAAAAA==\"}}}",
         ERROR_CORRUPT, "is not what was sent", 0},
        {"{\"match\": {\"operation\": \"GetBlobProperties\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
         "\"headers\": {\"Content-MD5\": null}}}",
         ERROR_PROTOCOL, "doesn't tell the MD5", 1},
        {"{\"match\": {\"operation\": \"GetBlobProperties\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
         "\"headers\": {\"Content-Length\": \"7\"}}}",
         ERROR_CORRUPT, "is not what was sent", 0},
        {"{\"match\": {\"operation\": \"GetBlobProperties\", \"nth\": 2}, \"action\": {\"type\": \"respond\", "
         "\"status\": 404, \"code\": \"BlobNotFound\"}}",
         ERROR_CORRUPT, "it isn't there", 1},
        {"{\"match\": {\"operation\": \"GetBlobProperties\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
         "\"headers\": {\"x-ms-meta-sha256\": null}}}",
         0, NULL, 1}, /* then its bytes tell */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup_fake();
        fake_rule(cases[i].rule);
        struct put_run run = {.artifact = &large};
        run_upload(&run);
        expect_run(&run, cases[i].code, true, cases[i].says);
        assert_int_equal(count_in_state("objects"), cases[i].objects);
        free(run.saved);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_request, setup),
        cmocka_unit_test_setup(sizes_around_the_bounds, setup),
        cmocka_unit_test_setup(several_blocks, setup),
        cmocka_unit_test_setup(blocks_wait_for_the_record, setup),
        cmocka_unit_test_setup(digests_of_the_staging_pass, setup),
        cmocka_unit_test_setup(a_source_that_has_changed, setup),
        cmocka_unit_test_setup(what_the_configuration_asks_for, setup),
        cmocka_unit_test_setup(keys_of_customers, setup),
        cmocka_unit_test_setup(an_equal_blob_stands_there, setup),
        cmocka_unit_test_setup(another_blob_stands_there, setup),
        cmocka_unit_test_setup(a_blob_of_equal_size_is_read, setup),
        cmocka_unit_test_setup(somebody_else_is_quicker, setup),
        cmocka_unit_test_setup(what_the_store_says_afterwards_must_fit, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
