/* Uploads that are cut off, refused, cancelled, taken over, taken up again: which blocks are sent again. */
#include "azure_put_run.h"

static struct artifact large; /* five blocks, the last one smaller */

static int group_setup(void **state)
{
    azure_group_setup(state);
    large = artifact_make(4 * PART + 1017, 2);
    return 0;
}

static int group_teardown(void **state)
{
    artifact_free(&large);
    return azure_group_teardown(state);
}

static void calm(void)
{
    fake_tell("DELETE", "/rules", NULL);
    fake_tell("DELETE", "/log", NULL);
}

static int count_blocks(void)
{
    json_t *state = fake_ask("GET", "/state", NULL), *upload;
    size_t i;
    int n = 0;
    json_array_foreach(state_list(state, "uploads"), i, upload) n +=
        (int)json_array_size(json_object_get(upload, "blocks"));
    json_decref(state);
    return n;
}

static const char *const kinds[] = {
    SMALL_BLOCKS,
    SMALL_BLOCKS ", \"checksum\": \"md5\"",
    SMALL_BLOCKS ", \"checksum\": \"none\"",
};

static int left; /* blocks at the store */

/* One attempt that breaks off in the middle: its fourth block never arrives; its resume state. */
static char *leave_blocks_of(const struct artifact *a, const char *members, bool https)
{
    fake_rule("{\"match\": {\"operation\": \"PutBlock\", \"nth\": 4, \"count\": 0}, \"action\": {\"type\": "
              "\"close_request\", \"bytes\": 1000, \"reset\": true}}");
    struct put_run run = {.members = members, .https = https, .artifact = a};
    run_upload(&run);
    expect_run(&run, ERROR_UNREACHABLE, true, NULL);
    assert_int_equal(count_in_state("objects"), 0);
    assert_non_null(run.saved);
    assert_int_equal(run.nulls, 0);
    left = count_blocks();
    assert_in_range(left, 2, 4);
    calm();
    return run.saved;
}

static void only_missing_blocks_are_sent_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof kinds / sizeof *kinds); i++) {
        setup_fake();
        char *saved = leave_blocks_of(&large, kinds[i / 2], i % 2);
        struct put_run run = {
            .members = kinds[i / 2], .https = i % 2, .artifact = &large, .resume_state = saved, .fence = 2};
        run_upload(&run);
        expect_stored_with(&run, i / 2 != 2);
        assert_int_equal(fake_count("GetBlockList"), 1);
        assert_int_equal(fake_count("PutBlock"), 5 - left);
        free(run.saved);
        free(saved);
    }
}

/* With digests of the staging pass, ids alone tell, and no byte is read that isn't sent. */
static void blocks_known_by_their_names(void **state)
{
    (void)state;
    object_put_set_part_size(0);
    struct artifact a = artifact_make(33 * MIB, 5);
    struct part_digests *digests = digests_of(&a);
    fake_rule("{\"match\": {\"operation\": \"PutBlock\", \"nth\": 3, \"count\": 0}, \"action\": {\"type\": "
              "\"close_request\", \"bytes\": 1000}}");
    struct put_run first = {.members = AZURE_CONTAINER, .artifact = &a, .digests = digests};
    run_upload(&first);
    expect_run(&first, ERROR_UNREACHABLE, true, NULL);
    calm();
    struct put_run run = {.members = AZURE_CONTAINER,
                          .artifact = &a,
                          .digests = digests,
                          .resume_state = first.saved,
                          .fence = 2};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("PutBlock"), 1);
    free(first.saved);
    free(run.saved);
    part_digests_free(digests);
    artifact_free(&a);
}

/* Other bytes under our prefix, as a damaged earlier attempt could leave: sent again. */
static void blocks_that_are_not_ours(void **state)
{
    (void)state;
    struct artifact other = artifact_make(large.size, 99);
    memcpy(other.sha256, large.sha256, sizeof other.sha256);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        setup_fake();
        char *saved = leave_blocks_of(&other, kinds[i], false);
        struct put_run run = {.members = kinds[i], .artifact = &large, .resume_state = saved, .fence = 2};
        run_upload(&run);
        expect_stored_with(&run, i != 2);
        assert_int_equal(fake_count("PutBlock"), 5);
        free(run.saved);
        free(saved);
    }
    artifact_free(&other);
}

/* A fresh start draws another prefix: blocks of two uploads never mix. What isn't in the list goes. */
static void a_fresh_start_has_names_of_its_own(void **state)
{
    (void)state;
    static const char *const states[] = {NULL, "", "nonsense", "{\"upload_id\": null}"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        setup_fake();
        char *saved = leave_blocks_of(&large, NULL, false);
        struct put_run run = {.artifact = &large, .resume_state = states[i], .fence = 2};
        run_upload(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("PutBlock"), 5);
        assert_string_not_equal(run.saved, saved);
        free(run.saved);
        free(saved);
    }
}

/* Another artifact, cut otherwise, or at another place: nothing of the old upload is used. */
static void another_upload_is_not_taken_up(void **state)
{
    (void)state;
    struct artifact other = artifact_make(large.size, 77);
    char *saved = leave_blocks_of(&other, NULL, false);
    struct put_run run = {.artifact = &large, .resume_state = saved, .fence = 2};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("GetBlockList"), 0);
    assert_int_equal(fake_count("PutBlock"), 5);
    free(run.saved);
    free(saved);
    artifact_free(&other);
}

/* The week has passed, or the worker died before the first block. */
static void no_block_is_left(void **state)
{
    (void)state;
    char *saved = leave_blocks_of(&large, NULL, false);
    setup_fake();
    struct put_run run = {.artifact = &large, .resume_state = saved, .fence = 2};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("GetBlockList"), 1);
    assert_int_equal(fake_count("PutBlock"), 5);
    free(run.saved);
    free(saved);
}

#define INVALID_LIST "\"action\": {\"type\": \"respond\", \"status\": 400, \"code\": \"InvalidBlockList\"}"

/* The blocks are gone when they are to become a blob: looked at first, then begun anew, once. */
static void the_store_lost_the_blocks(void **state)
{
    (void)state;
    fake_rule("{\"match\": {\"operation\": \"PutBlockList\", \"count\": 1}, " INVALID_LIST "}");
    struct put_run run = {.artifact = &large};
    run_upload(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("PutBlock"), 10);
    assert_int_equal(fake_count("GetBlobProperties"), 3);
    assert_int_equal(run.saves, 2); /* two names */
    free(run.saved);

    setup_fake();
    fake_rule("{\"match\": {\"operation\": \"PutBlockList\", \"count\": 0}, " INVALID_LIST "}");
    struct put_run twice = {.artifact = &large};
    run_upload(&twice);
    expect_run(&twice, ERROR_NOT_FOUND, true, "forgot the upload");
    assert_int_equal(count_in_state("objects"), 0);
    assert_null(twice.saved); /* the next attempt begins anew */
}

/* The list was carried out and its answer lost; asked again, Azure knows these blocks no more. */
static void the_list_was_carried_out_after_all(void **state)
{
    (void)state;
    fake_rule("{\"match\": {\"operation\": \"PutBlockList\", \"nth\": 1}, \"action\": {\"type\": "
              "\"drop_answer\"}}");
    fake_rule("{\"match\": {\"operation\": \"PutBlockList\", \"nth\": 2, \"count\": 0}, " INVALID_LIST "}");
    struct put_run run = {.artifact = &large};
    run_upload(&run);
    expect_stored(&run);
    assert_false(run.result.existed);
    assert_int_equal(fake_count("PutBlock"), 5);
    free(run.saved);
}

static void cancelled_in_each_state(void **state)
{
    (void)state;
    static const struct {
        int in;
        bool kept; /* the state that names the upload */
    } cases[] = {
        {-1, false},
        {OBJECT_PUT_LOOK, false},
        {OBJECT_PUT_INTENT, true},
        {OBJECT_PUT_PARTS, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup_fake();
        struct put_run run = {.artifact = &large, .cancel_in = cases[i].in};
        run_upload(&run);
        expect_run(&run, ERROR_CANCELLED, true, "cancelled");
        assert_int_equal(count_in_state("objects"), 0);
        assert_int_equal(run.saved != NULL, cases[i].kept);
        calm();
        struct put_run again = {.artifact = &large, .resume_state = run.saved, .fence = 2};
        run_upload(&again);
        expect_stored(&again);
        free(again.saved);
        free(run.saved);
    }
}

/* Two attempts of one row with the same blocks: whoever is later finds the blob. */
static void a_later_attempt_has_finished_it(void **state)
{
    (void)state;
    char *saved = leave_blocks_of(&large, NULL, false);
    struct put_run later = {.artifact = &large, .resume_state = saved, .fence = 3};
    run_upload(&later);
    expect_stored(&later);
    struct put_run run = {.artifact = &large, .resume_state = saved, .fence = 2};
    run_upload(&run);
    expect_stored(&run);
    assert_true(run.result.existed);
    free(later.saved);
    free(run.saved);
    free(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_missing_blocks_are_sent_again, setup),
        cmocka_unit_test_setup(blocks_known_by_their_names, setup),
        cmocka_unit_test_setup(blocks_that_are_not_ours, setup),
        cmocka_unit_test_setup(a_fresh_start_has_names_of_its_own, setup),
        cmocka_unit_test_setup(another_upload_is_not_taken_up, setup),
        cmocka_unit_test_setup(no_block_is_left, setup),
        cmocka_unit_test_setup(the_store_lost_the_blocks, setup),
        cmocka_unit_test_setup(the_list_was_carried_out_after_all, setup),
        cmocka_unit_test_setup(cancelled_in_each_state, setup),
        cmocka_unit_test_setup(a_later_attempt_has_finished_it, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
