/*
 * Uploads that are cut off, refused, cancelled, taken over, taken up again: what is sent again, what is left
 * at the store, what is remembered.
 */
#include "s3_put_run.h"

static struct artifact large; /* five parts, the last one smaller */
static struct part_digests *large_digests;

static int group_setup(void **state)
{
    fake_group_setup(state);
    large = artifact_make(4 * PART + 1017, 2);
    large_digests = digests_of(&large);
    return 0;
}

static int group_teardown(void **state)
{
    part_digests_free(large_digests);
    artifact_free(&large);
    return fake_group_teardown(state);
}

#define FAIL_PART "{\"match\": {\"operation\": \"UploadPart\", \"part\": %d, \"count\": 0}, \"action\": %s}"

static void fail_part(int part, const char *action)
{
    char rule[512];
    snprintf(rule, sizeof rule, FAIL_PART, part, action);
    fake_rule(rule);
}

static void calm(void)
{
    fake_tell("DELETE", "/rules", NULL);
    fake_tell("DELETE", "/log", NULL);
}

/* --- resumption --- */

static const char *const kinds[] = {
    SMALL_PARTS,
    SMALL_PARTS ", \"checksum\": \"md5\"",
    SMALL_PARTS ", \"checksum\": \"none\"",
};

/* state with another value for a member; to be freed */
static char *changed(const char *state, const char *name, json_t *value)
{
    json_t *json = json_loads(state, 0, NULL);
    assert_non_null(json);
    json_object_set_new(json, name, value);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static int left_parts; /* at the store */

static int count_parts(void)
{
    json_t *state = fake_ask("GET", "/state", NULL), *upload;
    size_t i;
    int n = 0;
    json_array_foreach(state_list(state, "uploads"), i, upload) n +=
        (int)json_array_size(json_object_get(upload, "parts"));
    json_decref(state);
    return n;
}

/* One attempt in which parts 3 and 5 never arrive, and others perhaps; its resume state. others: uploads that
 * stand open beside it. */
static char *leave_parts_beside(const char *members, bool https, int others)
{
    fail_part(3, "{\"type\": \"close_request\", \"bytes\": 1000, \"reset\": true}");
    fail_part(5, "{\"type\": \"close_request\", \"bytes\": 1000}");
    struct put_run run = {.members = members, .https = https, .artifact = &large};
    run_upload(&run);
    expect_run(&run, ERROR_UNREACHABLE, true, NULL);
    expect_nothing_stored(1 + others);
    assert_non_null(run.saved);
    assert_int_equal(run.nulls, 0);
    left_parts = count_parts();
    calm();
    return run.saved;
}

static char *leave_parts(const char *members, bool https)
{
    return leave_parts_beside(members, https, 0);
}

static void only_missing_parts_are_sent_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * (sizeof kinds / sizeof *kinds); i++) {
        bool remembered = i & 1, https = i & 2;
        setup_fake();
        char *saved = leave_parts(kinds[i / 4], https);
        if (!remembered) { /* as when the worker died before it could record them */
            char *text = changed(saved, "parts", json_array());
            free(saved);
            saved = text;
        }
        struct put_run run = {
            .members = kinds[i / 4], .https = https, .artifact = &large, .resume_state = saved, .fence = 2};
        run_upload(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("CreateMultipartUpload"), 0);
        assert_int_equal(fake_count("ListParts"), 1);
        assert_int_equal(fake_count("UploadPart"), 5 - left_parts);
        free(run.saved);
        free(saved);
    }
}

/* Where ETags are no MD5 and nothing was recorded, only the listed checksum can tell. */
/* What comes of an upload that was taken up carries the fence of the attempt that began it, and is ours. */
static void a_resumed_upload_is_found_damaged(void **state)
{
    (void)state;
    char *saved = leave_parts(NULL, false);
    fake_rule("{\"match\": {\"operation\": \"HeadObject\", \"nth\": 2}, \"action\": {\"type\": \"alter\", "
              "\"headers\": {\"x-amz-checksum-crc32c\": \"AAAAAA==\"}}}");
    struct put_run run = {.artifact = &large, .resume_state = saved, .fence = 2};
    run_upload(&run);
    expect_run(&run, ERROR_CORRUPT, true, large.sha256);
    assert_int_equal(fake_count("CreateMultipartUpload"), 0);
    assert_int_equal(count_in_state("objects"), 0);
    free(run.saved);
    free(saved);
}

static void parts_known_by_their_checksum(void **state)
{
    (void)state;
    object_put_set_part_size(0); /* the staging pass's */
    struct artifact a = artifact_make(33 * MIB, 5);
    struct part_digests *digests = digests_of(&a);
    setenv("BM_TEST_SSE_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 1);
    static const char members[] =
        BUCKET ", \"sse\": \"customer\", \"sse_customer_key_ref\": \"env:BM_TEST_SSE_KEY\"";
    fail_part(2, "{\"type\": \"close_request\", \"bytes\": 1000}");
    struct put_run first = {.members = members, .https = true, .artifact = &a, .digests = digests};
    run_upload(&first);
    expect_run(&first, ERROR_UNREACHABLE, true, NULL);
    calm();
    char *text = changed(first.saved, "parts", json_array());
    struct put_run run = {.members = members,
                          .https = true,
                          .artifact = &a,
                          .digests = digests,
                          .resume_state = text,
                          .fence = 2};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("UploadPart"), 1);
    free(first.saved);
    free(run.saved);
    free(text);
    part_digests_free(digests);
    artifact_free(&a);
}

/* Other bytes under our upload id, as a damaged earlier attempt could leave: sent again. */
static void parts_that_are_not_ours(void **state)
{
    (void)state;
    struct artifact other = artifact_make(large.size, 99);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        setup_fake();
        fail_part(5, "{\"type\": \"close_request\", \"bytes\": 1}");
        memcpy(other.sha256, large.sha256, sizeof other.sha256);
        struct put_run first = {.members = kinds[i], .artifact = &other};
        run_upload(&first);
        expect_run(&first, ERROR_UNREACHABLE, true, NULL);
        calm();
        char *text = changed(first.saved, "parts", json_array());
        struct put_run run = {.members = kinds[i], .artifact = &large, .resume_state = text, .fence = 2};
        run_upload(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("UploadPart"), 5);
        free(first.saved);
        free(run.saved);
        free(text);
    }
    artifact_free(&other);
}

static void pages_of_parts(void **state)
{
    (void)state;
    fake_tell("POST", "/settings", "{\"page\": 1}");
    char *saved = leave_parts(SMALL_PARTS, false);
    struct put_run run = {.artifact = &large, .resume_state = saved, .fence = 2};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("ListParts"), left_parts);
    assert_in_range(left_parts, 2, 3);
    assert_int_equal(fake_count("UploadPart"), 5 - left_parts);
    free(run.saved);
    free(saved);
}

static void a_page_that_cant_be_read(void **state)
{
    (void)state;
    char *saved = leave_parts(SMALL_PARTS, false);
    fake_rule(
        "{\"match\": {\"operation\": \"ListParts\", \"count\": 0}, \"action\": {\"type\": \"truncate\"}}");
    struct put_run run = {.artifact = &large, .resume_state = saved, .fence = 2};
    run_upload(&run);
    assert_true(run.err.retryable);
    expect_nothing_stored(1);
    assert_int_equal(run.saves, 0); /* the state stands */
    free(saved);
}

/* A part of one generation is never completed with parts of another. */
static void another_upload_is_aborted_first(void **state)
{
    (void)state;
    struct artifact other = artifact_make(large.size, 99);
    static const char *const members[] = {SMALL_PARTS, SMALL_PARTS, SMALL_PARTS ", \"checksum\": \"md5\"",
                                          BUCKET ", \"multipart_threshold\": 67108864"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        setup_fake();
        char *saved = leave_parts(SMALL_PARTS, false);
        object_put_set_part_size(i == 1 ? PART - 1 : PART); /* another plan */
        struct put_run run = {
            .members = members[i], .artifact = i ? &large : &other, .resume_state = saved, .fence = 2};
        run_upload(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("AbortMultipartUpload"), 1);
        assert_int_equal(fake_count("ListParts"), 0);
        assert_in_range(fake_count("UploadPart"), i == 3 ? 0 : 4, 5);
        free(run.saved);
        free(saved);
    }
    artifact_free(&other);
}

static void a_state_that_cant_be_read(void **state)
{
    (void)state;
    static const char *const states[] = {"{", "[]", "{\"upload_id\": 5}", "null", "\"x\""};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        setup_fake();
        free(leave_parts(SMALL_PARTS, false));
        struct put_run run = {.artifact = &large, .resume_state = states[i], .fence = 2};
        run_upload(&run);
        expect_stored(&run); /* what the state must have named is found by its key */
        free(run.saved);
    }
}

/* The worker died between the intent and the upload id. */
static void uploads_nobody_knows_the_id_of(void **state)
{
    (void)state;
    char *saved = leave_parts(SMALL_PARTS, false);
    char *intent = changed(saved, "upload_id", json_null());
    struct put_run run = {.artifact = &large, .resume_state = intent, .fence = 2};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("AbortMultipartUpload"), 1);
    assert_int_equal(fake_count("UploadPart"), 5);
    free(run.saved);

    /* equal by now: nothing is sent, the stray goes all the same */
    fake_tell("DELETE", "/log", NULL);
    struct put_run second = {.artifact = &large, .resume_state = intent, .fence = 3};
    run_upload(&second);
    expect_stored(&second);
    assert_true(second.result.existed);
    assert_int_equal(fake_count("ListMultipartUploads"), 1);
    free(second.saved);
    free(saved);
    free(intent);
}

/* Others' uploads, whose keys begin like ours, are none of ours. */
static void strays_of_exactly_this_key(void **state)
{
    (void)state;
    struct world *world = world_open(NULL, false);
    static const struct object_query uploads = {"uploads", NULL};
    const struct object_ask create = {.operation = "CreateMultipartUpload",
                                      .method = "POST",
                                      .key = KEY ".other",
                                      .query = &uploads,
                                      .n_query = 1,
                                      .body_fd = -1};
    struct call_outcome o = run_call(world, &create);
    assert_int_equal(o.err.code, 0);
    free(o.body);
    world_close(world);
    char *left = leave_parts_beside(SMALL_PARTS, false, 1);
    char *saved = changed(left, "upload_id", json_null());
    free(left);
    struct put_run run = {.artifact = &large, .resume_state = saved, .fence = 2};
    run_upload(&run);
    expect_run(&run, 0, false, NULL);
    assert_int_equal(count_in_state("uploads"), 1);
    assert_int_equal(fake_count("AbortMultipartUpload"), 1);
    free(run.saved);
    free(saved);
}

static void the_upload_is_gone(void **state)
{
    (void)state;
    for (int completed = 0; completed < 2; completed++) {
        setup_fake();
        char *saved = leave_parts(SMALL_PARTS, false);
        char *text = changed(saved, "upload_id", json_string("gone"));
        if (completed) {
            struct put_run other = {.artifact = &large};
            run_upload(&other);
            expect_run(&other, 0, false, NULL);
            free(other.saved);
            fake_tell("DELETE", "/log", NULL);
        }
        struct put_run run = {.artifact = &large, .resume_state = text, .fence = 2};
        run_upload(&run);
        expect_run(&run, 0, false, NULL);
        assert_int_equal(run.result.existed, completed);
        assert_int_equal(fake_count("UploadPart"), completed ? 0 : 5);
        free(run.saved);
        free(text);
        free(saved);
    }
}

static void the_upload_goes_while_parts_are_sent(void **state)
{
    (void)state;
    fake_rule("{\"match\": {\"operation\": \"UploadPart\", \"nth\": 3}, \"action\": {\"type\": \"respond\", "
              "\"status\": 404, \"code\": \"NoSuchUpload\"}}");
    struct put_run run = {.artifact = &large};
    run_upload(&run);
    expect_run(&run, 0, false, NULL);
    assert_int_equal(fake_count("CreateMultipartUpload"), 2);
    assert_int_equal(count_in_state("objects"), 1);
    free(run.saved);

    setup_fake();
    fake_rule("{\"match\": {\"operation\": \"UploadPart\", \"nth\": 3, \"count\": 0}, \"action\": {\"type\": "
              "\"respond\", \"status\": 404, \"code\": \"NoSuchUpload\"}}");
    struct put_run second = {.artifact = &large};
    run_upload(&second);
    expect_run(&second, ERROR_NOT_FOUND, true, "forgot");
    assert_int_equal(fake_count("CreateMultipartUpload"), 2);
    assert_null(second.saved);
}

/* --- one fault, and the upload goes on --- */

static const struct {
    const char *name, *rule;
    int parts, completes, creates;
} faults[] = {
    {"200 with an error inside",
     "{\"match\": {\"operation\": \"CompleteMultipartUpload\"}, \"action\": {\"type\": \"error_in_200\"}}", 5,
     2, 1},
    {"200 with an error inside, done all the same",
     "{\"match\": {\"operation\": \"CompleteMultipartUpload\"}, \"action\": {\"type\": \"error_in_200\", "
     "\"apply\": true}}",
     5, 2, 1},
    {"answer of Complete lost",
     "{\"match\": {\"operation\": \"CompleteMultipartUpload\"}, \"action\": {\"type\": \"drop_answer\"}}", 5,
     2, 1},
    {"answer of Complete cut short",
     "{\"match\": {\"operation\": \"CompleteMultipartUpload\"}, \"action\": {\"type\": \"truncate\"}}", 5, 2,
     1},
    {"answer of Complete is no XML",
     "{\"match\": {\"operation\": \"CompleteMultipartUpload\"}, \"action\": {\"type\": \"garbage\", "
     "\"body\": \"no XML\"}}",
     5, 2, 1},
    {"answer of Create lost",
     "{\"match\": {\"operation\": \"CreateMultipartUpload\"}, \"action\": {\"type\": \"drop_answer\"}}", 5, 1,
     2},
    {"answer of Create cut short",
     "{\"match\": {\"operation\": \"CreateMultipartUpload\"}, \"action\": {\"type\": \"truncate\"}}", 5, 1,
     2},
    {"Create answered 503",
     "{\"match\": {\"operation\": \"CreateMultipartUpload\"}, \"action\": {\"type\": \"respond\"}}", 5, 1, 2},
    {"connection cut in mid part",
     "{\"match\": {\"operation\": \"UploadPart\", \"part\": 2}, \"action\": {\"type\": \"close_request\", "
     "\"bytes\": 50000, \"reset\": true}}",
     6, 1, 1},
    {"answer of a part lost",
     "{\"match\": {\"operation\": \"UploadPart\", \"part\": 5}, \"action\": {\"type\": \"drop_answer\"}}", 6,
     1, 1},
    {"SlowDown",
     "{\"match\": {\"operation\": \"UploadPart\", \"count\": 2}, \"action\": {\"type\": \"respond\", \"code\": "
     "\"SlowDown\"}}",
     7, 1, 1},
    {"BadDigest on the way",
     "{\"match\": {\"operation\": \"UploadPart\", \"part\": 1}, \"action\": {\"type\": \"respond\", \"status\": "
     "400, \"code\": \"BadDigest\"}}",
     6, 1, 1},
    {"connection closed after each answer",
     "{\"match\": {\"operation\": [\"UploadPart\", \"CreateMultipartUpload\", \"HeadObject\"], \"count\": 0}, "
     "\"action\": {\"type\": \"close_after_answer\"}}",
     5, 1, 1},
    {"answers a few bytes at a time",
     "{\"match\": {\"operation\": [\"CompleteMultipartUpload\", \"CreateMultipartUpload\"], \"count\": 0}, "
     "\"action\": {\"type\": \"slow\", \"ms\": 0, \"bytes\": 3}}",
     5, 1, 1},
};

static void one_fault(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        setup_fake();
        fake_rule(faults[i].rule);
        struct put_run run = {.artifact = &large};
        run_upload(&run);
        if (run.err.code || run.result.existed)
            fail_msg("%s: existed %d, %s", faults[i].name, run.result.existed, run.err.message);
        expect_stored(&run);
        if (fake_count("UploadPart") < faults[i].parts ||
            fake_count("CompleteMultipartUpload") != faults[i].completes ||
            fake_count("CreateMultipartUpload") != faults[i].creates)
            fail_msg("%s: %d parts, %d completions, %d creations", faults[i].name, fake_count("UploadPart"),
                     fake_count("CompleteMultipartUpload"), fake_count("CreateMultipartUpload"));
        free(run.saved);
    }
}

static char keys_file[160];

static void expire_first_key(int number)
{
    if (number != 2)
        return;
    harness_write_file(keys_file, "AKIASECOND:second-secret:second-token");
    fake_tell("POST", "/credentials", "{\"expire\": [\"AKIAFIRST\"]}");
}

/* Session credentials expire between two parts: they are fetched again, nothing begins anew. */
static void a_token_expires_in_mid_upload(void **state)
{
    (void)state;
    char members[400];
    snprintf(keys_file, sizeof keys_file, "%s", harness_path("keys"));
    harness_write_file(keys_file, "AKIAFIRST:first-secret:first-token");
    fake_tell(
        "POST", "/credentials",
        "{\"add\": [{\"access_key\": \"AKIAFIRST\", \"secret_key\": \"first-secret\", \"session_token\": "
        "\"first-token\"}, {\"access_key\": \"AKIASECOND\", \"secret_key\": \"second-secret\", "
        "\"session_token\": \"second-token\"}]}");
    snprintf(members, sizeof members,
             "\"bucket\": \"bucket\", \"credentials_ref\": \"file:%s\", \"multipart_threshold\": 262144",
             keys_file);
    struct put_run run = {.members = members, .artifact = &large, .on_save = expire_first_key};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("CreateMultipartUpload"), 1);
    assert_int_equal(fake_count("CompleteMultipartUpload"), 1);
    assert_true(fake_count("UploadPart") > 5);
    free(run.saved);
}

/* --- faults that stay --- */

static const struct {
    const char *name, *match, *action;
    int code;
    bool retryable;
    int uploads; /* left open */
} ends[] = {
    {"SlowDown with a long wait", "\"operation\": \"UploadPart\", \"part\": 2, \"count\": 0",
     "\"type\": \"respond\", \"code\": \"SlowDown\", \"headers\": {\"Retry-After\": \"3600\"}", ERROR_LIMIT,
     true, 1},
    {"503 for ever", "\"operation\": \"UploadPart\", \"count\": 0", "\"type\": \"respond\"",
     ERROR_UNREACHABLE, true, 1},
    {"no right to send parts", "\"operation\": \"UploadPart\", \"part\": 2, \"count\": 0",
     "\"type\": \"respond\", \"status\": 403, \"code\": \"AccessDenied\"", ERROR_DENIED, false, 0},
    {"full", "\"operation\": \"UploadPart\", \"part\": 4, \"count\": 0",
     "\"type\": \"respond\", \"status\": 507, \"code\": \"XMinioStorageFull\"", ERROR_NO_SPACE, false, 0},
    {"token expired", "\"operation\": \"UploadPart\", \"part\": 3, \"count\": 0",
     "\"type\": \"respond\", \"status\": 400, \"code\": \"ExpiredToken\"", ERROR_DENIED, true, 1},
    {"part without ETag", "\"operation\": \"UploadPart\", \"part\": 3, \"count\": 0",
     "\"type\": \"alter\", \"headers\": {\"ETag\": null}", ERROR_PROTOCOL, true, 1},
    {"part's body hurt again and again", "\"operation\": \"UploadPart\", \"part\": 3, \"count\": 0",
     "\"type\": \"respond\", \"status\": 400, \"code\": \"BadDigest\"", ERROR_CORRUPT, true, 0},
    {"no right to begin", "\"operation\": \"CreateMultipartUpload\", \"count\": 0",
     "\"type\": \"respond\", \"status\": 403, \"code\": \"AccessDenied\"", ERROR_DENIED, false, 0},
    {"Create never answers well", "\"operation\": \"CreateMultipartUpload\", \"count\": 0",
     "\"type\": \"garbage\"", ERROR_PROTOCOL, true, 0},
    {"no right to complete", "\"operation\": \"CompleteMultipartUpload\", \"count\": 0",
     "\"type\": \"respond\", \"status\": 403, \"code\": \"AccessDenied\"", ERROR_DENIED, false, 0},
    {"Complete fails inside 200 for ever", "\"operation\": \"CompleteMultipartUpload\", \"count\": 0",
     "\"type\": \"error_in_200\"", ERROR_UNREACHABLE, true, 1},
    {"a part is missing", "\"operation\": \"CompleteMultipartUpload\", \"count\": 0",
     "\"type\": \"respond\", \"status\": 400, \"code\": \"InvalidPart\"", ERROR_CONFLICT, true, 0},
    {"the whole's checksum differs", "\"operation\": \"CompleteMultipartUpload\", \"count\": 0",
     "\"type\": \"respond\", \"status\": 400, \"code\": \"BadDigest\"", ERROR_CORRUPT, true, 0},
    {"parts too small", "\"operation\": \"CompleteMultipartUpload\", \"count\": 0",
     "\"type\": \"respond\", \"status\": 400, \"code\": \"EntityTooSmall\"", ERROR_LIMIT, false, 0},
    {"HEAD denied", "\"operation\": \"HeadObject\", \"nth\": 2, \"count\": 0",
     "\"type\": \"respond\", \"status\": 403", ERROR_DENIED, false, 0},
    {"HEAD fails", "\"operation\": \"HeadObject\", \"count\": 0", "\"type\": \"respond\", \"status\": 500",
     ERROR_UNREACHABLE, true, 0},
    {"no such bucket", "\"operation\": \"CreateMultipartUpload\", \"count\": 0",
     "\"type\": \"respond\", \"status\": 404, \"code\": \"NoSuchBucket\"", ERROR_NOT_FOUND, false, 0},
};

static void faults_that_stay(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        for (int saving = 0; saving < 2; saving++) {
            char rule[512];
            setup_fake();
            snprintf(rule, sizeof rule, "{\"match\": {%s}, \"action\": {%s}}", ends[i].match, ends[i].action);
            fake_rule(rule);
            struct put_run run = {.artifact = &large, .without_save = !saving};
            run_upload(&run);
            if (run.err.code != ends[i].code || run.err.retryable != ends[i].retryable)
                fail_msg("%s: got %d, retryable %d: %s", ends[i].name, run.err.code, run.err.retryable,
                         run.err.message);
            /* who can't resume leaves nothing open */
            int uploads = count_in_state("uploads");
            if (uploads != (saving ? ends[i].uploads : 0))
                fail_msg("%s: %d uploads left open", ends[i].name, uploads);
            bool begun = strstr(ends[i].match, "HeadObject") == NULL || strstr(ends[i].match, "nth");
            bool kept = ends[i].retryable && (ends[i].uploads || strstr(ends[i].match, "Create"));
            if (saving && begun && (run.saved != NULL) != kept)
                fail_msg("%s: the state: %s", ends[i].name, run.saved ? run.saved : "none");
            if (i == 0)
                assert_int_equal(run.err.retry_after_ms, 3600000);
            free(run.saved);
        }
    }
}

/* What could be sent is kept, and recorded, when one part fails. */
static void the_other_parts_run_to_their_end(void **state)
{
    (void)state;
    fail_part(1, "{\"type\": \"respond\"}");
    struct put_run run = {.members = SMALL_PARTS ", \"parallel_parts\": 5", .artifact = &large};
    run_upload(&run);
    expect_run(&run, ERROR_UNREACHABLE, true, "part 1 of 5");
    json_t *json = json_loads(run.saved, 0, NULL);
    int recorded = (int)json_array_size(json_object_get(json, "parts"));
    json_decref(json);
    calm();
    struct put_run second = {.artifact = &large, .resume_state = run.saved, .fence = 2};
    run_upload(&second);
    expect_stored(&second);
    assert_int_equal(fake_count("UploadPart"), 5 - recorded);
    free(run.saved);
    free(second.saved);
}

static void an_abort_that_fails_is_not_forgotten(void **state)
{
    (void)state;
    fail_part(2, "{\"type\": \"respond\", \"status\": 403, \"code\": \"AccessDenied\"}");
    fake_rule("{\"match\": {\"operation\": \"AbortMultipartUpload\", \"count\": 0}, \"action\": {\"type\": "
              "\"respond\", \"status\": 403, \"code\": \"AccessDenied\"}}");
    struct put_run run = {.artifact = &large};
    run_upload(&run);
    expect_run(&run, ERROR_DENIED, false, "part 2");
    assert_non_null(run.saved); /* the sweep, or a retry, finds the upload there */
    free(run.saved);
}

/* --- the row is someone else's --- */

static void a_stale_attempt_touches_nothing(void **state)
{
    (void)state;
    for (int save = 1; save <= 4; save++) {
        setup_fake();
        struct put_run run = {.artifact = &large, .stale_save = save};
        run_upload(&run);
        if (save == 4 && run.err.code == 0) /* the parts were quicker than the saves */
            continue;
        expect_run(&run, ERROR_CANCELLED, true, "later attempt");
        assert_int_equal(fake_count("AbortMultipartUpload"), 0);
        assert_int_equal(fake_count("DeleteObject"), 0);
        assert_int_equal(fake_count("CompleteMultipartUpload"), 0);
        assert_int_equal(run.saves, save);
        assert_int_equal(count_in_state("uploads"), save > 1);
        assert_int_equal(fake_count("UploadPart") > 0, save > 2);
        free(run.saved);
    }
}

/* --- cancel --- */

static const struct {
    enum object_put_state state;
    const char *members, *hold; /* this operation is held, so that the state is met at work */
    const char *resume;         /* NULL, "old": a state of the same upload, "other": of another artifact */
    int uploads;
} cancels[] = {
    {OBJECT_PUT_OPEN, SMALL_PARTS, NULL, NULL, 0},
    {OBJECT_PUT_LOOK, SMALL_PARTS, "HeadObject", NULL, 0},
    {OBJECT_PUT_INTENT, SMALL_PARTS, NULL, NULL, 0},
    {OBJECT_PUT_CREATE, SMALL_PARTS, "CreateMultipartUpload", NULL, 0},
    {OBJECT_PUT_RECORD, SMALL_PARTS, NULL, NULL, 1},
    {OBJECT_PUT_PARTS, SMALL_PARTS, "UploadPart", NULL, 1},
    {OBJECT_PUT_COMPLETE, SMALL_PARTS, "CompleteMultipartUpload", NULL, 1},
    {OBJECT_PUT_LIST, SMALL_PARTS, "ListParts", "old", 1},
    {OBJECT_PUT_ABORT, SMALL_PARTS, "AbortMultipartUpload", "other", 1},
    {OBJECT_PUT_SUMS, BUCKET ", \"checksum\": \"md5\", \"multipart_threshold\": 67108864", NULL, NULL, 0},
    {OBJECT_PUT_SINGLE, BUCKET ", \"multipart_threshold\": 67108864", "PutObject", NULL, 0},
};

static void cancelled_in_each_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cancels / sizeof *cancels; i++) {
        char rule[256];
        setup_fake();
        char *saved = cancels[i].resume ? leave_parts(SMALL_PARTS, false) : NULL;
        struct artifact other = artifact_make(4 * PART + 5, 77);
        const struct artifact *a =
            cancels[i].resume && strcmp(cancels[i].resume, "other") == 0 ? &other : &large;
        snprintf(
            rule, sizeof rule,
            "{\"match\": {\"operation\": \"%s\", \"count\": 0}, \"action\": {\"type\": \"hold\", \"at\": "
            "\"head\"}}",
            cancels[i].hold ? cancels[i].hold : "");
        if (cancels[i].hold)
            fake_rule(rule);
        struct put_run run = {.members = cancels[i].members,
                              .artifact = a,
                              .resume_state = saved,
                              .fence = 2,
                              .cancel_in = cancels[i].state == OBJECT_PUT_OPEN ? -1 : (int)cancels[i].state};
        run_upload(&run);
        if (run.err.code != ERROR_CANCELLED || !run.err.retryable)
            fail_msg("cancel in state %d: %d, %s", cancels[i].state, run.err.code, run.err.message);
        fake_tell("POST", "/release", "{\"name\": \"hold\"}");
        assert_int_equal(run.nulls, 0);

        /* the next attempt takes up what was left, and nothing stays open */
        calm();
        const char *state_now = run.saved ? run.saved : saved;
        struct put_run next = {
            .members = cancels[i].members, .artifact = a, .resume_state = state_now, .fence = 3};
        run_upload(&next);
        expect_run(&next, 0, false, NULL);
        assert_int_equal(count_in_state("uploads"), 0);
        assert_int_equal(count_in_state("objects"), 1);
        free(run.saved);
        free(next.saved);
        free(saved);
        artifact_free(&other);
    }
}

/* Confirming and reading back: the object stands there, the next attempt finds it. */
static void cancelled_after_completion(void **state)
{
    (void)state;
    static const struct {
        enum object_put_state state;
        const char *hold, *members;
    } cases[] = {{OBJECT_PUT_CONFIRM, "HeadObject", SMALL_PARTS},
                 {OBJECT_PUT_READ, "GetObject", SMALL_PARTS ", \"read_back\": true"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char rule[256];
        setup_fake();
        snprintf(rule, sizeof rule,
                 "{\"match\": {\"operation\": \"%s\", \"nth\": %d}, \"action\": {\"type\": \"hold\"}}",
                 cases[i].hold, i ? 1 : 2);
        fake_rule(rule);
        struct put_run run = {
            .members = cases[i].members, .artifact = &large, .cancel_in = (int)cases[i].state};
        run_upload(&run);
        expect_run(&run, ERROR_CANCELLED, true, NULL);
        fake_tell("POST", "/release", "{\"name\": \"hold\"}");
        calm();
        struct put_run next = {
            .members = cases[i].members, .artifact = &large, .resume_state = run.saved, .fence = 2};
        run_upload(&next);
        expect_stored(&next);
        assert_true(next.result.existed);
        assert_int_equal(fake_count("UploadPart"), 0);
        free(run.saved);
        free(next.saved);
    }
}

/* Without saves nobody could find it again. */
static void cancelled_without_saves_leaves_nothing_open(void **state)
{
    (void)state;
    fake_rule("{\"match\": {\"operation\": \"UploadPart\", \"count\": 0}, \"action\": {\"type\": \"hold\"}}");
    struct put_run run = {.artifact = &large, .without_save = true, .cancel_in = OBJECT_PUT_PARTS};
    run_upload(&run);
    expect_run(&run, ERROR_CANCELLED, true, NULL);
    fake_tell("POST", "/release", "{\"name\": \"hold\"}");
    expect_nothing_stored(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_missing_parts_are_sent_again, setup),
        cmocka_unit_test_setup(a_resumed_upload_is_found_damaged, setup),
        cmocka_unit_test_setup(parts_known_by_their_checksum, setup),
        cmocka_unit_test_setup(parts_that_are_not_ours, setup),
        cmocka_unit_test_setup(pages_of_parts, setup),
        cmocka_unit_test_setup(a_page_that_cant_be_read, setup),
        cmocka_unit_test_setup(another_upload_is_aborted_first, setup),
        cmocka_unit_test_setup(a_state_that_cant_be_read, setup),
        cmocka_unit_test_setup(uploads_nobody_knows_the_id_of, setup),
        cmocka_unit_test_setup(strays_of_exactly_this_key, setup),
        cmocka_unit_test_setup(the_upload_is_gone, setup),
        cmocka_unit_test_setup(the_upload_goes_while_parts_are_sent, setup),
        cmocka_unit_test_setup(one_fault, setup),
        cmocka_unit_test_setup(a_token_expires_in_mid_upload, setup),
        cmocka_unit_test_setup(faults_that_stay, setup),
        cmocka_unit_test_setup(the_other_parts_run_to_their_end, setup),
        cmocka_unit_test_setup(an_abort_that_fails_is_not_forgotten, setup),
        cmocka_unit_test_setup(a_stale_attempt_touches_nothing, setup),
        cmocka_unit_test_setup(cancelled_in_each_state, setup),
        cmocka_unit_test_setup(cancelled_after_completion, setup),
        cmocka_unit_test_setup(cancelled_without_saves_leaves_nothing_open, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
