/* Uploads that have nothing to take up: what is sent, what is confirmed, what stands there already. */
#include "s3_put_run.h"

static struct artifact small, large; /* one request; three parts, the last one smaller */
static struct part_digests *small_digests, *large_digests;

static int group_setup(void **state)
{
    fake_group_setup(state);
    small = artifact_make(70001, 1);
    large = artifact_make(2 * PART + 6017, 2);
    small_digests = digests_of(&small);
    large_digests = digests_of(&large);
    return 0;
}

static int group_teardown(void **state)
{
    part_digests_free(small_digests);
    part_digests_free(large_digests);
    artifact_free(&small);
    artifact_free(&large);
    return fake_group_teardown(state);
}

/* --- one request --- */

static const struct {
    const char *name, *storage_type, *more;
    bool https, digests, conditional;
    int heads;
    const char *sum; /* header of the digest; NULL = none */
} singles[] = {
    {"crc32c, conditional", "minio", "", false, true, true, 0, "x-amz-checksum-crc32c"},
    {"crc32c computed", "minio", "", true, false, true, 0, "x-amz-checksum-crc32c"},
    {"s3, told to", "s3", ", \"checksum\": \"crc32c\", \"conditional_write\": true", true, true, true, 0,
     "x-amz-checksum-crc32c"},
    {"s3 at an unknown endpoint", "s3", "", true, true, false, 1, "Content-MD5"},
    {"md5, HEAD first", "spaces", ", \"region\": \"us-east-1\"", true, true, false, 1, "Content-MD5"},
    {"md5 over http", "spaces", ", \"region\": \"us-east-1\"", false, false, false, 1, "Content-MD5"},
    {"no sum: confirmed by HEAD", "minio", ", \"checksum\": \"none\"", false, true, true, 1, NULL},
    {"no sum, no condition", "minio", ", \"checksum\": \"none\", \"conditional_write\": false", false, false,
     false, 2, NULL},
    {"ETag that is no MD5", "backblaze",
     ", \"region\": \"us-east-1\", \"sse\": \"customer\", \"sse_customer_key_ref\": \"env:BM_TEST_SSE_KEY\"",
     true, true, false, 2, "Content-MD5"},
};

static void one_request(void **state)
{
    (void)state;
    setenv("BM_TEST_SSE_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 1);
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
        char members[512];
        setup_fake();
        snprintf(members, sizeof members, "%s%s", BUCKET, singles[i].more);
        struct put_run run = {.storage_type = singles[i].storage_type,
                              .members = members,
                              .https = singles[i].https,
                              .artifact = &small,
                              .digests = singles[i].digests ? small_digests : NULL};
        run_upload(&run);
        if (run.err.code)
            fail_msg("%s: %s", singles[i].name, run.err.message);
        expect_stored(&run);
        assert_false(run.result.existed);
        assert_int_equal(fake_count("PutObject"), 1);
        if (fake_count("HeadObject") != singles[i].heads)
            fail_msg("%s: %d HEADs", singles[i].name, fake_count("HeadObject"));
        assert_int_equal(fake_count(NULL), 1 + singles[i].heads);
        assert_int_equal(run.saves, 0);
        assert_string_equal(sent_header("PutObject", 1, "x-amz-content-sha256"), small.sha256);
        bool conditional = strcmp(sent_header("PutObject", 1, "If-None-Match"), "*") == 0;
        assert_int_equal(conditional, singles[i].conditional);
        static const char *const sums[] = {"x-amz-checksum-crc32c", "Content-MD5"};
        for (size_t k = 0; k < 2; k++)
            assert_int_equal(*sent_header("PutObject", 1, sums[k]) != '\0',
                             singles[i].sum && strcmp(singles[i].sum, sums[k]) == 0);
        assert_string_equal(sent_header("PutObject", 1, "x-amz-meta-backup-id"), "150");
        assert_string_equal(sent_header("PutObject", 1, "x-amz-meta-row-id"), "301");
        assert_string_equal(sent_header("PutObject", 1, "x-amz-meta-fence"), "1");
    }
}

static void empty_and_boundary_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2 * PART, 2 * PART + 1, 3 * PART, 3 * PART + 1};
    static const int parts[] = {0, 0, 0, 3, 3, 4};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct artifact a = artifact_make(sizes[i], 7);
        struct part_digests *digests = digests_of(&a);
        for (int k = 0; k < 2; k++) {
            setup_fake();
            struct put_run run = {.artifact = &a, .digests = k ? digests : NULL};
            run_upload(&run);
            expect_stored(&run);
            assert_int_equal(fake_count("UploadPart"), parts[i]);
            assert_int_equal(fake_count("PutObject"), parts[i] ? 0 : 1);
            free(run.saved);
        }
        part_digests_free(digests);
        artifact_free(&a);
    }
}

/* --- several parts --- */

static const struct {
    const char *name, *storage_type, *more;
    bool https;
    bool payload; /* parts are signed with their SHA-256 */
    const char *sum;
} multiparts[] = {
    {"crc32c", "minio", "", false, true, "x-amz-checksum-crc32c"},
    {"crc32c over TLS", "s3", ", \"checksum\": \"crc32c\"", true, false, "x-amz-checksum-crc32c"},
    {"md5", "spaces", ", \"region\": \"us-east-1\"", false, true, "Content-MD5"},
    {"md5 over TLS", "spaces", ", \"region\": \"us-east-1\"", true, false, "Content-MD5"},
    {"no sum", "minio", ", \"checksum\": \"none\"", false, true, NULL},
    {"no sum over TLS", "minio", ", \"checksum\": \"none\"", true, true, NULL},
};

static void several_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof multiparts / sizeof *multiparts; i++) {
        char members[512];
        setup_fake();
        snprintf(members, sizeof members, "%s%s", SMALL_PARTS, multiparts[i].more);
        struct put_run run = {.storage_type = multiparts[i].storage_type,
                              .members = members,
                              .https = multiparts[i].https,
                              .check_order = true,
                              .artifact = &large};
        run_upload(&run);
        if (run.err.code)
            fail_msg("%s: %s", multiparts[i].name, run.err.message);
        expect_stored(&run);
        assert_false(run.result.existed);
        assert_int_equal(fake_count("CreateMultipartUpload"), 1);
        assert_int_equal(fake_count("UploadPart"), 3);
        assert_int_equal(fake_count("CompleteMultipartUpload"), 1);
        assert_int_equal(fake_count("HeadObject"), 2);
        assert_int_equal(fake_count(NULL), 7);
        bool is_unsigned = strcmp(sent_header("UploadPart", 2, "x-amz-content-sha256"), S3_UNSIGNED) == 0;
        assert_int_equal(is_unsigned, !multiparts[i].payload);
        for (int k = 1; multiparts[i].sum && k <= 3; k++)
            if (*sent_header("UploadPart", k, multiparts[i].sum) == '\0')
                fail_msg("%s: part %d without %s", multiparts[i].name, k, multiparts[i].sum);
        bool crc = multiparts[i].sum && strcmp(multiparts[i].sum, "x-amz-checksum-crc32c") == 0;
        const char *type = sent_header("CreateMultipartUpload", 1, "x-amz-checksum-type");
        assert_string_equal(type, crc ? "FULL_OBJECT" : "");
        type = sent_header("CompleteMultipartUpload", 1, "x-amz-checksum-type");
        assert_string_equal(type, crc ? "FULL_OBJECT" : "");
        assert_string_equal(sent_header("CompleteMultipartUpload", 1, "x-amz-mp-object-size"),
                            crc ? "268161" : "");
        /* intent, upload id, then after parts; nothing at the end */
        assert_in_range(run.saves, 3, 4);
        assert_int_equal(run.nulls, 0);
        free(run.saved);
    }
}

/* The plan of the staging pass: its digests are used, the source is read once. */
static void parts_digested_before(void **state)
{
    (void)state;
    struct artifact a = artifact_make(33 * MIB + 5, 3);
    struct part_digests *digests = digests_of(&a);
    for (int i = 0; i < 2; i++) {
        fake_reset();
        object_put_set_part_size(0);
        struct put_run run = {.members = BUCKET, .artifact = &a, .digests = digests, .https = i == 1};
        run_upload(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("UploadPart"), 3);
        for (int k = 1; k <= 3; k++)
            assert_string_not_equal(sent_header("UploadPart", k, "x-amz-content-sha256"), S3_UNSIGNED);
        free(run.saved);
    }
    /* wrong ones are refused by the store, and nothing is left there */
    fake_reset();
    digests->parts[1].sha256[3] ^= 1;
    struct put_run run = {.members = BUCKET, .artifact = &a, .digests = digests};
    run_upload(&run);
    expect_run(&run, ERROR_CORRUPT, true, "part 2 of 3");
    expect_nothing_stored(0);
    assert_null(run.saved);
    part_digests_free(digests);
    artifact_free(&a);
}

static void no_more_parts_at_once_than_configured(void **state)
{
    (void)state;
    struct artifact a = artifact_make(9 * PART, 4);
    struct put_run run = {.members = SMALL_PARTS ", \"parallel_parts\": 2", .artifact = &a};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("UploadPart"), 9);
    json_t *activity = fake_ask("GET", "/activity", NULL);
    json_int_t peak = json_integer_value(json_object_get(json_object_get(activity, "peak"), "UploadPart"));
    assert_in_range(peak, 1, 2);
    json_decref(activity);
    free(run.saved);
    artifact_free(&a);
}

/* --- headers of the object --- */

static void encryption_lock_tags(void **state)
{
    (void)state;
    static const struct {
        const char *members, *header, *value;
        bool https;
    } cases[] = {
        {"\"storage_class\": \"STANDARD_IA\"", "x-amz-storage-class", "STANDARD_IA", false},
        {"\"sse\": \"AES256\"", "x-amz-server-side-encryption", "AES256", false},
        {"\"sse\": \"aws:kms\", \"sse_kms_key_id\": \"k1\", \"sse_bucket_key\": true, \"sse_kms_context\": "
         "{\"a\": \"b\"}",
         "x-amz-server-side-encryption-context", "eyJhIjoiYiJ9", true},
        {"\"sse\": \"aws:kms\", \"sse_kms_key_id\": \"k1\", \"sse_bucket_key\": true",
         "x-amz-server-side-encryption-bucket-key-enabled", "true", true},
        {"\"tags\": {\"team\": \"d b&=\", \"env\": \"prod\"}", "x-amz-tagging", "team=d%20b%26%3D&env=prod",
         false},
        {"\"sse\": \"customer\", \"sse_customer_key_ref\": \"env:BM_TEST_SSE_KEY\"",
         "x-amz-server-side-encryption-customer-algorithm", "AES256", true},
    };
    setenv("BM_TEST_SSE_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 1);
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        char members[512];
        bool big = i % 2;
        setup_fake();
        snprintf(members, sizeof members, "%s, %s", SMALL_PARTS, cases[i / 2].members);
        struct put_run run = {
            .members = members, .https = cases[i / 2].https, .artifact = big ? &large : &small};
        run_upload(&run);
        expect_stored(&run);
        const char *operation = big ? "CreateMultipartUpload" : "PutObject";
        assert_string_equal(sent_header(operation, 1, cases[i / 2].header), cases[i / 2].value);
        if (big && strstr(members, "customer"))
            assert_string_equal(sent_header("UploadPart", 2, cases[i / 2].header), cases[i / 2].value);
        free(run.saved);
    }
}

static void lock_and_default_retention(void **state)
{
    (void)state;
    static const char *const buckets[] = {
        "\"bucket\": \"locked\", \"object_lock_mode\": \"GOVERNANCE\", \"object_lock_days\": 3, "
        "\"object_lock_legal_hold\": true",
        "\"bucket\": \"locked\", \"object_lock_mode\": \"COMPLIANCE\", \"object_lock_days\": 3, \"checksum\": "
        "\"md5\"",
        "\"bucket\": \"retained\"", "\"bucket\": \"retained\", \"checksum\": \"md5\""};
    for (size_t i = 0; i < 2 * (sizeof buckets / sizeof *buckets); i++) {
        char members[512];
        bool big = i % 2;
        setup_fake();
        snprintf(members, sizeof members, "%s, \"multipart_threshold\": 262144, " FAKE_KEYS, buckets[i / 2]);
        struct put_run run = {.members = members, .artifact = big ? &large : &small};
        run_upload(&run);
        expect_stored(&run);
        const char *operation = big ? "CreateMultipartUpload" : "PutObject";
        bool locked = strstr(members, "lock_mode") != NULL;
        assert_int_equal(*sent_header(operation, 1, "x-amz-object-lock-retain-until-date") != '\0', locked);
        assert_string_equal(sent_header(operation, 1, "x-amz-object-lock-legal-hold"), i / 2 ? "" : "ON");
        free(run.saved);
    }
}

/* --- something stands there --- */

static const char *const types[] = {SMALL_PARTS, SMALL_PARTS ", \"conditional_write\": false",
                                    SMALL_PARTS ", \"checksum\": \"none\"",
                                    SMALL_PARTS ", \"read_back\": true"};
#define N_TYPES (sizeof types / sizeof *types)

static void an_equal_object_of_ours(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_TYPES; i++) {
        const struct artifact *a = i % 2 ? &large : &small;
        setup_fake();
        struct put_run first = {.members = types[i / 2], .artifact = a};
        run_upload(&first);
        expect_stored(&first);
        fake_tell("DELETE", "/log", NULL);
        struct put_run run = {.members = types[i / 2], .artifact = a, .fence = 2};
        run_upload(&run);
        expect_stored(&run);
        assert_true(run.result.existed);
        assert_int_equal(fake_count("CreateMultipartUpload"), 0);
        assert_int_equal(fake_count("GetObject") > 0, i / 2 == 3);
        free(first.saved);
        free(run.saved);
    }
}

static void an_equal_object_of_others_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_TYPES; i++) {
        const struct artifact *a = i % 2 ? &large : &small;
        setup_fake();
        put_by_others(a->data, a->size);
        struct put_run run = {.members = types[i / 2], .artifact = a};
        run_upload(&run);
        expect_run(&run, 0, false, NULL);
        assert_true(run.result.existed);
        assert_int_equal(run.bytes_done, a->size);
        assert_int_equal(fake_count("CreateMultipartUpload"), 0);
        assert_in_range(fake_count("GetObject"), 1, 2);
        free(run.saved);
    }
}

static void another_object_is_left_alone(void **state)
{
    (void)state;
    struct artifact other_small = artifact_make(small.size, 8), other_large = artifact_make(large.size, 9);
    for (size_t i = 0; i < 8 * N_TYPES; i++) {
        const struct artifact *a = i & 1 ? &large : &small;
        const struct artifact *other = i & 2 ? &other_large : &other_small;
        bool by_us = i & 4;
        setup_fake();
        if (by_us) {
            struct put_run first = {.members = SMALL_PARTS, .artifact = other};
            run_upload(&first);
            expect_stored(&first);
            free(first.saved);
        } else {
            put_by_others(other->data, other->size);
        }
        fake_tell("DELETE", "/log", NULL);
        struct put_run run = {.members = types[i / 8], .artifact = a, .fence = 2};
        run_upload(&run);
        expect_run(&run, ERROR_CONFLICT, false, a->sha256);
        expect_run(&run, ERROR_CONFLICT, false, KEY);
        if (by_us || a->size == other->size)
            expect_run(&run, ERROR_CONFLICT, false, other->sha256);
        assert_int_equal(fake_count("CreateMultipartUpload"), 0);
        assert_int_equal(fake_count("DeleteObject"), 0);
        json_t *server = fake_ask("GET", "/state", NULL);
        assert_string_equal(json_string_value(json_object_get(object_at_key(server), "sha256")),
                            other->sha256);
        json_decref(server);
        free(run.saved);
    }
    artifact_free(&other_small);
    artifact_free(&other_large);
}

static const struct artifact *appears;

static void put_appearing(int number)
{
    if (number == 2)
        put_by_others(appears->data, appears->size);
}

/* It wasn't there when the upload began: Complete is refused. */
static void an_object_appears_meanwhile(void **state)
{
    (void)state;
    struct artifact other = artifact_make(large.size, 9);
    for (int equal = 0; equal < 2; equal++) {
        setup_fake();
        appears = equal ? &large : &other;
        struct put_run run = {.artifact = &large, .on_save = put_appearing};
        run_upload(&run);
        if (equal) {
            expect_run(&run, 0, false, NULL);
            assert_true(run.result.existed);
        } else {
            expect_run(&run, ERROR_CONFLICT, false, other.sha256);
            assert_null(run.saved);
        }
        assert_int_equal(fake_count("CompleteMultipartUpload"), 1);
        assert_int_equal(count_in_state("uploads"), 0);
        assert_int_equal(count_in_state("objects"), 1);
        free(run.saved);
    }
    artifact_free(&other);
}

/* 412, but nothing stands there; 409, as S3 says while another write of the key is under way. */
static void refused_without_a_reason(void **state)
{
    (void)state;
    static const char *const answers[] = {"\"status\": 412, \"code\": \"PreconditionFailed\"",
                                          "\"status\": 409, \"code\": \"ConditionalRequestConflict\""};
    for (int i = 0; i < 8; i++) {
        char rule[512];
        bool big = i & 1, for_ever = i & 2;
        setup_fake();
        snprintf(rule, sizeof rule,
                 "{\"match\": {\"operation\": [\"PutObject\", \"CompleteMultipartUpload\"], \"count\": %d}, "
                 "\"action\": {\"type\": \"respond\", %s}}",
                 for_ever ? 0 : 1, answers[i / 4]);
        fake_rule(rule);
        struct put_run run = {.artifact = big ? &large : &small};
        run_upload(&run);
        if (big || for_ever) {
            expect_run(&run, ERROR_CONFLICT, true, "nothing does");
            expect_nothing_stored(0);
            assert_null(run.saved);
        } else {
            expect_stored(&run);
        }
        free(run.saved);
    }
}

/* --- what the store has is not what was sent --- */

static void confirmation_differs(void **state)
{
    (void)state;
    static const struct {
        const char *headers; /* of the confirming HEAD's answer */
        bool ours;
        int code;
    } cases[] = {
        {"\"x-amz-meta-sha256\": \"0000000000000000000000000000000000000000000000000000000000000000\"", true,
         ERROR_CORRUPT},
        {"\"x-amz-meta-sha256\": \"0000000000000000000000000000000000000000000000000000000000000000\", "
         "\"x-amz-meta-fence\": \"7\"",
         false, ERROR_CONFLICT},
        {"\"x-amz-checksum-crc32c\": \"AAAAAA==\"", true, ERROR_CORRUPT},
        {"\"x-amz-checksum-crc32c\": \"AAAAAA==\", \"x-amz-meta-row-id\": \"300\"", false, ERROR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char rule[512];
        setup_fake();
        snprintf(rule, sizeof rule,
                 "{\"match\": {\"operation\": \"HeadObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
                 "\"headers\": {%s}}}",
                 cases[i].headers);
        fake_rule(rule);
        struct put_run run = {.artifact = &large};
        run_upload(&run);
        expect_run(&run, cases[i].code, cases[i].ours, large.sha256);
        assert_int_equal(count_in_state("objects"), cases[i].ours ? 0 : 1);
        assert_int_equal(fake_count("DeleteObject"), cases[i].ours);
        assert_int_equal(count_in_state("uploads"), 0);
        assert_null(run.saved); /* the next attempt begins anew */
    }
}

static void composite_checksums(void **state)
{
    (void)state;
    for (int right = 0; right < 2; right++) {
        char rule[512], base64[S3_PUT_BASE64_SIZE];
        unsigned char crcs[12];
        for (size_t i = 0; i < 3; i++) {
            size_t size = i < 2 ? PART : large.size - 2 * PART;
            uint32_t crc = part_crc32c(0, large.data + i * PART, size);
            for (size_t k = 0; k < 4; k++)
                crcs[4 * i + k] = (unsigned char)(crc >> (24 - 8 * k));
        }
        s3_put_base64_crc32c(part_crc32c(0, crcs, sizeof crcs), base64);
        setup_fake();
        snprintf(rule, sizeof rule,
                 "{\"match\": {\"operation\": \"HeadObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
                 "\"headers\": {\"x-amz-checksum-crc32c\": \"%s-3\"}}}",
                 right ? base64 : "AAAAAA==");
        fake_rule(rule);
        struct put_run run = {.artifact = &large};
        run_upload(&run);
        expect_run(&run, right ? 0 : ERROR_CORRUPT, true, NULL);
        free(run.saved);
    }
}

static void the_metadata_is_gone(void **state)
{
    (void)state;
    fake_rule("{\"match\": {\"operation\": \"HeadObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
              "\"headers\": {\"x-amz-meta-sha256\": null}}}");
    struct put_run run = {.artifact = &large};
    run_upload(&run);
    expect_stored(&run);
    assert_in_range(fake_count("GetObject"), 1, 2);
    assert_false(run.result.existed);
    free(run.saved);
}

static void read_back_finds_other_bytes(void **state)
{
    (void)state;
    for (int big = 0; big < 2; big++) {
        setup_fake();
        fake_rule("{\"match\": {\"operation\": \"GetObject\"}, \"action\": {\"type\": \"alter\", \"body\": "
                  "\"other\", \"headers\": {\"Content-Length\": \"5\", \"Content-Range\": null}}}");
        struct put_run run = {.members = SMALL_PARTS ", \"read_back\": true",
                              .artifact = big ? &large : &small};
        run_upload(&run);
        assert_true(run.err.code != 0);
        if (run.err.code == ERROR_CORRUPT && run.err.retryable)
            assert_int_equal(count_in_state("uploads"), 0);
        free(run.saved);
    }
}

/* The store took it, and then it isn't there. */
static void it_vanished(void **state)
{
    (void)state;
    fake_rule("{\"match\": {\"operation\": \"HeadObject\", \"nth\": 2}, \"action\": {\"type\": \"respond\", "
              "\"status\": 404}}");
    struct put_run run = {.artifact = &large};
    run_upload(&run);
    expect_run(&run, ERROR_CORRUPT, true, "isn't there");
    assert_null(run.saved);
}

/* --- the source --- */

static void another_digest_than_promised(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        setup_fake();
        struct artifact a = i & 1 ? large : small;
        a.sha256[0] = a.sha256[0] == '0' ? '1' : '0';
        struct put_run run = {.artifact = &a, .https = i & 2};
        run_upload(&run);
        expect_run(&run, ERROR_CORRUPT, true, a.sha256);
        expect_nothing_stored(0);
        assert_null(run.saved);
    }
}

static void requests_that_cant_begin(void **state)
{
    (void)state;
    struct artifact a = small;
    a.size++;
    struct put_run run = {.artifact = &a};
    run_upload(&run);
    assert_int_equal(run.done, 0);
    expect_run(&run, ERROR_CORRUPT, true, "shorter");

    a = small;
    a.sha256[5] = 'x';
    struct put_run second = {.artifact = &a};
    run_upload(&second);
    assert_int_equal(second.done, 0);
    expect_run(&second, ERROR_INPUT, false, "SHA-256");
    assert_int_equal(fake_count(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_request, setup),
        cmocka_unit_test_setup(empty_and_boundary_sizes, setup),
        cmocka_unit_test_setup(several_parts, setup),
        cmocka_unit_test_setup(parts_digested_before, setup),
        cmocka_unit_test_setup(no_more_parts_at_once_than_configured, setup),
        cmocka_unit_test_setup(encryption_lock_tags, setup),
        cmocka_unit_test_setup(lock_and_default_retention, setup),
        cmocka_unit_test_setup(an_equal_object_of_ours, setup),
        cmocka_unit_test_setup(an_equal_object_of_others_is_read, setup),
        cmocka_unit_test_setup(another_object_is_left_alone, setup),
        cmocka_unit_test_setup(an_object_appears_meanwhile, setup),
        cmocka_unit_test_setup(refused_without_a_reason, setup),
        cmocka_unit_test_setup(confirmation_differs, setup),
        cmocka_unit_test_setup(composite_checksums, setup),
        cmocka_unit_test_setup(the_metadata_is_gone, setup),
        cmocka_unit_test_setup(read_back_finds_other_bytes, setup),
        cmocka_unit_test_setup(it_vanished, setup),
        cmocka_unit_test_setup(another_digest_than_promised, setup),
        cmocka_unit_test_setup(requests_that_cant_begin, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
