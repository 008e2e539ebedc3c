/* Resumable uploads: cut, refused, forgotten and finished behind our back, at every stage. */
#include "gcs_put_run.h"

static int setup(void **state)
{
    gcs_with_key = true;
    return gcs_setup(state);
}

static struct put_run run_large(const struct artifact *a, const char *members, const char *rule)
{
    struct put_run run = {.artifact = a, .members = members};
    fake_reset();
    fake_rule(rule);
    gcs_run(&run);
    return run;
}

/* --- as it should be --- */

static void one_request_carries_all(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct part_digests *digests = digests_of(&a);
    struct put_run run = {.artifact = &a, .digests = digests};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count(NULL), 3);
    assert_int_equal(fake_count("GetObject"), 1);
    assert_int_equal(fake_count("StartResumable"), 1);
    assert_int_equal(fake_count("UploadChunk"), 1);
    assert_string_equal(chunk_range(1), "bytes 0-1310726/1310727");
    assert_string_equal(sent_header("StartResumable", 1, "x-upload-content-length"), "1310727");
    assert_string_equal(sent_header("UploadChunk", 1, "authorization"), ""); /* the session is enough */
    assert_int_equal(run.saves, 1);
    free(run.saved);
    part_digests_free(digests);
    artifact_free(&a);
}

static void chunks_end_where_google_wants_them(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct put_run run = {
        .artifact = &a, .members = GCS_RESUMABLE ", \"chunk_size\": \"512KiB\"", .https = true};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("UploadChunk"), 3);
    assert_string_equal(chunk_range(1), "bytes 0-524287/1310727");
    assert_string_equal(chunk_range(2), "bytes 524288-1048575/1310727");
    assert_string_equal(chunk_range(3), "bytes 1048576-1310726/1310727");
    assert_int_equal(fake_count("QueryResumable"), 0);
    free(run.saved);
    artifact_free(&a);
}

/* --- broken off, and taken up from what is kept --- */

static void what_is_kept_is_not_sent_again(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *second; /* what the second request sends; NULL = there is none */
        int queries;
    } cases[] = {
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"close_request\", \"bytes\": 700000, "
         "\"reset\": true}}",
         "bytes 524288-1310726/1310727", 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"close_request\", \"bytes\": 700000}}",
         "bytes 524288-1310726/1310727", 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"close_request\", \"bytes\": 0}}",
         "bytes 0-1310726/1310727", 1},
        /* 503 after 256 KiB, at the end and at once */
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"keep\", \"bytes\": 262144, "
         "\"status\": 503}}",
         "bytes 262144-1310726/1310727", 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"keep\", \"bytes\": 262144, "
         "\"status\": 503, \"early\": true}}",
         "bytes 262144-1310726/1310727", 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"keep\", \"bytes\": 0, \"status\": 429, "
         "\"code\": \"rateLimitExceeded\"}}",
         "bytes 0-1310726/1310727", 1},
        /* 308: less than was sent, and nothing */
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"keep\", \"bytes\": 786432}}",
         "bytes 786432-1310726/1310727", 0},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"keep\", \"bytes\": 0}}",
         "bytes 0-1310726/1310727", 0},
        /* all has arrived, and the answer got lost, or hurt */
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"drop_answer\"}}", NULL, 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"truncate\"}}", NULL, 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"close_response\", \"bytes\": 30}}",
         NULL, 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"alter\", \"body\": \"<html>\"}}",
         NULL, 1},
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"alter\", \"status\": 502}}",
         NULL, 1},
        /* a proxy's 404 isn't Google's */
        {"{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"alter\", \"status\": 404, \"body\": "
         "\"<html>\", \"headers\": {\"X-GUploader-UploadID\": null}}}",
         NULL, 1},
    };
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct put_run run = run_large(&a, NULL, cases[i].rule);
        if (run.err.code)
            fail_msg("%s: %s", cases[i].rule, run.err.message);
        expect_stored(&run);
        assert_false(run.result.existed);
        if (strcmp(chunk_range(2), cases[i].second ? cases[i].second : "") != 0)
            fail_msg("%s: %s", cases[i].rule, chunk_range(2));
        assert_int_equal(fake_count("QueryResumable"), cases[i].queries);
        assert_int_equal(fake_count("StartResumable"), 1);
        free(run.saved);
    }
    artifact_free(&a);
}

static void the_question_itself_may_fail(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct put_run run = {.artifact = &a};
    fake_reset();
    fake_rule(
        "{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"keep\", \"bytes\": 262144, "
        "\"status\": 500}}");
    fake_rule(
        "{\"match\": {\"operation\": \"QueryResumable\", \"count\": 2}, \"action\": {\"type\": \"respond\", "
        "\"status\": 503}}");
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("QueryResumable"), 3);
    assert_string_equal(chunk_range(2), "bytes 262144-1310726/1310727");
    free(run.saved);
    artifact_free(&a);
}

/* Each break has brought a unit: it goes on as long as something moves. */
static void many_breaks_with_progress(void **state)
{
    (void)state;
    struct artifact a = artifact_make(12 * UNIT + 7, 4);
    struct put_run run = run_large(
        &a, NULL,
        "{\"match\": {\"operation\": \"UploadChunk\", \"count\": 12}, \"action\": {\"type\": \"keep\", \"bytes\": 262144, "
        "\"status\": 503}}");
    expect_stored(&run);
    assert_int_equal(fake_count("UploadChunk"), 13);
    free(run.saved);
    artifact_free(&a);
}

/* ... and not for ever when nothing does: the session is kept for the next attempt. */
static void breaks_without_progress_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        int code;
    } cases[] = {
        {"{\"match\": {\"operation\": \"UploadChunk\", \"count\": 0}, \"action\": {\"type\": \"keep\", \"bytes\": 0, "
         "\"status\": 503}}",
         ERROR_UNREACHABLE},
        {"{\"match\": {\"operation\": \"UploadChunk\", \"count\": 0}, \"action\": {\"type\": \"keep\", \"bytes\": 0}}",
         ERROR_PROTOCOL},
    };
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct put_run run = run_large(&a, NULL, cases[i].rule);
        expect_run(&run, cases[i].code, true, "bucket 'bucket'");
        assert_true(fake_count("UploadChunk") <= 6);
        expect_nothing_stored(1);
        assert_non_null(run.saved);
        free(run.saved);
    }
    artifact_free(&a);
}

static void a_long_wait_is_the_rows(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct put_run run = run_large(
        &a, NULL,
        "{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"respond\", \"status\": 429, \"headers\": "
        "{\"Retry-After\": \"600\"}}}");
    expect_run(&run, ERROR_LIMIT, true, "429");
    assert_int_equal(run.err.retry_after_ms, 600000);
    expect_nothing_stored(1);
    free(run.saved);
    artifact_free(&a);
}

/* --- what makes no sense --- */

static void more_than_was_sent_is_not_believed(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"alter\", \"headers\": {\"Range\": "
        "\"bytes=0-1048575\"}}}",
        "{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"alter\", \"headers\": {\"Range\": "
        "\"bytes=5-524287\"}}}",
        "{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"alter\", \"headers\": {\"Range\": "
        "\"all\"}}}",
    };
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct put_run run = run_large(&a, GCS_RESUMABLE ", \"chunk_size\": \"512KiB\"", rules[i]);
        expect_run(&run, ERROR_PROTOCOL, true, "the store");
        expect_nothing_stored(0); /* given up, and cancelled */
        assert_int_equal(fake_count("CancelResumable"), 1);
        assert_null(run.saved);
        free(run.saved);
    }
    artifact_free(&a);
}

static void a_session_at_another_place(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "{\"match\": {\"operation\": \"StartResumable\", \"count\": 0}, \"action\": {\"type\": \"alter\", \"headers\": "
        "{\"Location\": \"http://127.0.0.1:1\"}}}",
        "{\"match\": {\"operation\": \"StartResumable\", \"count\": 0}, \"action\": {\"type\": \"alter\", \"headers\": "
        "{\"Location\": \"\"}}}",
        "{\"match\": {\"operation\": \"StartResumable\", \"count\": 0}, \"action\": {\"type\": \"alter\", \"headers\": "
        "{\"Location\": null}}}",
    };
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct put_run run = run_large(&a, NULL, rules[i]);
        expect_run(&run, ERROR_PROTOCOL, true, "objects.insert in bucket 'bucket'");
        assert_int_equal(fake_count("UploadChunk"), 0);
        free(run.saved);
    }
    artifact_free(&a);
}

/* --- forgotten, refused --- */

static void a_session_that_is_gone_is_begun_anew_once(void **state)
{
    (void)state;
    static const int statuses[] = {404, 410};
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    for (size_t i = 0; i < 2; i++) {
        char rule[300];
        snprintf(
            rule, sizeof rule,
            "{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"respond\", \"status\": %d, "
            "\"body\": \"Not Found\"}}",
            statuses[i]);
        struct put_run run = run_large(&a, NULL, rule);
        expect_run(&run, 0, false, NULL);
        assert_int_equal(fake_count("StartResumable"), 2);
        assert_int_equal(fake_count("GetObject"), 2); /* it may have been finished */
        free(run.saved);

        snprintf(
            rule, sizeof rule,
            "{\"match\": {\"operation\": \"UploadChunk\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
            "\"status\": %d, \"body\": \"Not Found\"}}",
            statuses[i]);
        run = run_large(&a, NULL, rule);
        expect_run(&run, ERROR_NOT_FOUND, true, "forgot the upload");
        assert_int_equal(fake_count("StartResumable"), 2);
        assert_null(run.saved);
    }
    artifact_free(&a);
}

/* The answer got lost, and the session with it: the object is there. */
static void gone_because_it_is_finished(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct put_run run = {.artifact = &a};
    fake_reset();
    fake_rule("{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"drop_answer\"}}");
    fake_rule(
        "{\"match\": {\"operation\": \"QueryResumable\"}, \"action\": {\"type\": \"respond\", \"status\": 410, "
        "\"code\": \"gone\"}}");
    gcs_run(&run);
    expect_stored(&run);
    assert_false(run.result.existed);
    assert_int_equal(fake_count("StartResumable"), 1);
    free(run.saved);
    artifact_free(&a);
}

static const void *others;
static size_t n_others;

static void by_others(int number)
{
    (void)number;
    struct world *world = gcs_world_open(NULL, false);
    gcs_fake_put(world, KEY, others, n_others);
    world_close(world);
}

static void another_writes_meanwhile(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct put_run run = {.artifact = &a, .on_save = by_others};
    others = "other";
    n_others = 5;
    gcs_run(&run);
    expect_run(&run, ERROR_CONFLICT, false, "holds another object already and was left alone");
    assert_int_equal(count_in_state("objects"), 1);
    assert_int_equal(count_in_state("uploads"), 0);
    assert_null(run.saved);

    fake_reset(); /* the very same bytes: it is done, whoever did it */
    run = (struct put_run){.artifact = &a, .on_save = by_others};
    others = a.data;
    n_others = a.size;
    gcs_run(&run);
    expect_run(&run, 0, false, NULL);
    assert_true(run.result.existed);
    assert_int_equal(count_in_state("uploads"), 0);
    free(run.saved);
    artifact_free(&a);
}

/* --- cancelled --- */

static void cancelled_anywhere(void **state)
{
    (void)state;
    static const enum object_put_state states[] = {OBJECT_PUT_LOOK, OBJECT_PUT_SUMS, OBJECT_PUT_CREATE,
                                                   OBJECT_PUT_RECORD, OBJECT_PUT_TRANSFER};
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        for (int saves = 0; saves < 2; saves++) {
            struct put_run run = {.artifact = &a, .cancel_in = (int)states[i], .without_save = !saves};
            fake_reset();
            if (states[i] == OBJECT_PUT_TRANSFER)
                fake_rule(
                    "{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"stall\", \"at\": "
                    "\"body\", \"bytes\": 600000}}");
            if (states[i] == OBJECT_PUT_CREATE)
                fake_rule(
                    "{\"match\": {\"operation\": \"StartResumable\"}, \"action\": {\"type\": \"stall\", \"at\": "
                    "\"head\"}}");
            if (states[i] == OBJECT_PUT_RECORD && !saves)
                continue;
            gcs_run(&run);
            expect_run(&run, ERROR_CANCELLED, true, "cancelled");
            bool kept = saves && states[i] >= OBJECT_PUT_RECORD;
            expect_nothing_stored(kept ? 1 : 0);
            assert_int_equal(run.saved != NULL, kept);
            free(run.saved);
        }
    }
    artifact_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_request_carries_all, setup),
        cmocka_unit_test_setup(chunks_end_where_google_wants_them, setup),
        cmocka_unit_test_setup(what_is_kept_is_not_sent_again, setup),
        cmocka_unit_test_setup(the_question_itself_may_fail, setup),
        cmocka_unit_test_setup(many_breaks_with_progress, setup),
        cmocka_unit_test_setup(breaks_without_progress_are_bounded, setup),
        cmocka_unit_test_setup(a_long_wait_is_the_rows, setup),
        cmocka_unit_test_setup(more_than_was_sent_is_not_believed, setup),
        cmocka_unit_test_setup(a_session_at_another_place, setup),
        cmocka_unit_test_setup(a_session_that_is_gone_is_begun_anew_once, setup),
        cmocka_unit_test_setup(gone_because_it_is_finished, setup),
        cmocka_unit_test_setup(another_writes_meanwhile, setup),
        cmocka_unit_test_setup(cancelled_anywhere, setup),
    };
    return cmocka_run_group_tests(tests, gcs_group_setup, gcs_group_teardown);
}
