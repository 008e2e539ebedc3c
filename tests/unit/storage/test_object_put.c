/*
 * What an upload does with a protocol whose uploads have a name before they begin, and with one that sends a
 * stream. S3's tests drive the rest of it: uploads that a request begins, parts that are recorded.
 */
#include "object_put_run.h"

static struct artifact five;   /* parts, the last one smaller */
static struct artifact staged; /* two parts of the default plan */
static struct part_digests *staged_digests;

static int group_setup(void **state)
{
    (void)state;
    harness_make_root();
    five = artifact_make(4 * PART + 100, 1);
    staged = artifact_make(((size_t)16 << 20) + 5, 2);
    struct part_digester *digester = part_digester_new();
    part_digester_update(digester, staged.data, staged.size);
    staged_digests = part_digester_finish(digester);
    part_digester_free(digester);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    part_digests_free(staged_digests);
    artifact_free(&five);
    artifact_free(&staged);
    free(store.data);
    harness_remove_tree(harness_root);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    free(store.data);
    memset(&store, 0, sizeof store);
    object_put_set_part_size(PART);
    return 0;
}

/* --- blocks --- */

/* The name is recorded before anything is sent, and only once: no part changes the state. */
static void a_named_upload(void **state)
{
    (void)state;
    store.part_sums = RANGE_MD5 | RANGE_CRC32C;
    store.whole_md5 = true;
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppcL", 0, false);
    assert_false(run.result.existed);
    expect_arrived(&five);
    assert_string_equal(run.saved, "prefix-1");
    unsigned char md5[RANGE_MD5_BYTES];
    EVP_Digest(five.data, five.size, md5, NULL, EVP_md5(), NULL);
    assert_true(store.has_md5);
    assert_memory_equal(store.md5, md5, sizeof md5);
    assert_true(store.has_crc32c);
    assert_int_equal(store.crc32c, part_crc32c(0, five.data, five.size));
}

static void a_proven_completion_is_not_looked_at(void **state)
{
    (void)state;
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_PROVEN});
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppc", 0, false);
    expect_arrived(&five);
}

/* Names of blocks may hold their CRC32C: those are hashed and passed over, without a record of any. */
static void blocks_told_by_their_crc32c(void **state)
{
    (void)state;
    store.listed_by_crc32c = true;
    store.have[0] = store.have[1] = store.have[3] = true;
    store.part_sums = RANGE_MD5;
    store.whole_md5 = true;
    struct run run = {.artifact = &five, .resume_state = "prefix-9", .fence = 2};
    upload(&blocks, &run);
    expect(&run, "LlppcL", 0, false);
    expect_arrived(&five);
    unsigned char md5[RANGE_MD5_BYTES];
    EVP_Digest(five.data, five.size, md5, NULL, EVP_md5(), NULL);
    assert_memory_equal(store.md5, md5, sizeof md5); /* of those too that were there */

    setup(NULL); /* nothing is told: sent again */
    store.have[0] = store.have[1] = true;
    struct run untold = {.artifact = &five, .resume_state = "prefix-9"};
    upload(&blocks, &untold);
    expect(&untold, "LlpppppcL", 0, false);
}

static void a_block_of_other_bytes_is_sent_again(void **state)
{
    (void)state;
    struct artifact other = artifact_make(five.size, 9);
    store.listed_by_crc32c = true;
    store.part_sums = RANGE_CRC32C;
    struct run run = {.artifact = &five, .resume_state = "prefix-9"};
    store.have[1] = true; /* have[0]: upload() fills the store's bytes only then */
    store.have[0] = true;
    struct artifact mixed = five;
    mixed.data = other.data; /* what the store holds */
    run.artifact = &mixed;
    upload(&blocks, &run);
    expect(&run, "LlpppppcL", 0, false);
    expect_arrived(&five);
    artifact_free(&other);
}

/* The list of blocks is refused: perhaps it was taken before, else all is sent anew under another name. */
static void a_refused_list_of_blocks(void **state)
{
    (void)state;
    script((struct answer_rule){.hook = COMPLETE, .nth = 1, .outcome = OBJECT_PUT_LOST});
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppcLNSpppppcL", 0, false);
    assert_string_equal(run.saved, "prefix-2");

    setup(NULL);
    script((struct answer_rule){
        .hook = COMPLETE, .nth = 1, .outcome = OBJECT_PUT_LOST, .done_all_the_same = true});
    struct run taken = {.artifact = &five};
    upload(&blocks, &taken);
    expect(&taken, "LNSpppppcL", 0, false);
    assert_false(taken.result.existed); /* it is this attempt's */

    setup(NULL);
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_LOST});
    struct run twice = {.artifact = &five};
    upload(&blocks, &twice);
    expect(&twice, "LNSpppppcLNSpppppcLF", ERROR_NOT_FOUND, true);
    assert_non_null(strstr(twice.err.message, "in box 'box'"));
}

static void a_block_for_an_upload_that_is_gone(void **state)
{
    (void)state;
    store.parallel = 1;
    script((struct answer_rule){.hook = PART_SENT, .nth = 2, .outcome = OBJECT_PUT_LOST});
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSppLNSpppppcL", 0, false);
    expect_arrived(&five);
}

static void something_stands_there(void **state)
{
    (void)state;
    store.exists = true;
    store.size = 3;
    struct run before = {.artifact = &five};
    upload(&blocks, &before);
    expect(&before, "L", ERROR_CONFLICT, false);
    assert_true(store.exists);
    assert_non_null(strstr(before.err.message, "in box 'box'"));

    setup(NULL); /* equal, and without a word of ours: its bytes tell */
    store.exists = store.have[0] = true;
    store.size = five.size;
    struct run unknown = {.artifact = &five};
    upload(&blocks, &unknown);
    expect(&unknown, "LR", 0, false);
    assert_true(unknown.result.existed);

    setup(NULL); /* refused, for an earlier answer got lost */
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_REFUSED, .done_all_the_same = true});
    struct run meantime = {.artifact = &five};
    upload(&blocks, &meantime);
    expect(&meantime, "LNSpppppcL", 0, false);
    assert_false(meantime.result.existed);

    setup(NULL); /* refused, and nothing there: forgotten, the next attempt begins anew */
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_REFUSED});
    struct run nothing = {.artifact = &five};
    upload(&blocks, &nothing);
    expect(&nothing, "LNSpppppcLF", ERROR_CONFLICT, true);
}

/* Nothing can be aborted: what may pass keeps the state, what is final forgets it. */
static void failures_keep_or_forget(void **state)
{
    (void)state;
    static const struct {
        struct answer_rule rule;
        const char *trace;
        int code;
    } cases[] = {
        {{COMPLETE, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "LNSpppppc", ERROR_UNREACHABLE},
        {{COMPLETE, 0, OBJECT_PUT_SPOILED, ERROR_CORRUPT, false}, "LNSpppppcF", ERROR_CORRUPT},
        {{LOOK, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "L", ERROR_UNREACHABLE},
        {{PART_SENT, 1, OBJECT_PUT_FAILED, ERROR_CORRUPT, false}, "LNSpF", ERROR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        store.parallel = 1;
        script(cases[i].rule);
        struct run run = {.artifact = &five};
        upload(&blocks, &run);
        expect(&run, cases[i].trace, cases[i].code, true);
    }
}

static void a_damaged_object_of_ours_is_removed(void **state)
{
    (void)state;
    store.differs = true;
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppcLDF", ERROR_CORRUPT, true);
    assert_false(store.exists);
}

/* --- the source is not what was staged --- */

static void parts_against_the_staging_pass(void **state)
{
    (void)state;
    object_put_set_part_size(0);
    store.part_sums = RANGE_MD5 | RANGE_CRC32C;
    store.parallel = 1;
    struct run run = {.artifact = &staged, .digests = staged_digests};
    upload(&blocks, &run);
    expect(&run, "LNSppcL", 0, false);

    setup(NULL);
    object_put_set_part_size(0);
    store.part_sums = RANGE_MD5 | RANGE_CRC32C;
    store.parallel = 1;
    staged_digests->parts[1].crc32c ^= 1;
    struct run changed = {.artifact = &staged, .digests = staged_digests};
    upload(&blocks, &changed);
    staged_digests->parts[1].crc32c ^= 1;
    expect(&changed, "LNSpF", ERROR_CORRUPT, true);
    assert_non_null(strstr(changed.err.message, "part 2 of 2"));

    setup(NULL); /* without its digests: the whole */
    store.parallel = 1;
    struct run whole = {.artifact = &five, .sha256 = staged.sha256};
    upload(&blocks, &whole);
    expect(&whole, "LNSpppppF", ERROR_CORRUPT, true);
}

static void the_whole_before_it_is_sent(void **state)
{
    (void)state;
    store.single = true;
    store.first_wanted = RANGE_SHA256 | RANGE_MD5 | RANGE_CRC32C;
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "1L", 0, false);
    assert_true(store.has_md5 && store.has_crc32c);
    assert_int_equal(store.crc32c, part_crc32c(0, five.data, five.size));

    setup(NULL);
    store.single = true;
    store.first_wanted = RANGE_SHA256;
    struct run changed = {.artifact = &five, .sha256 = staged.sha256};
    upload(&blocks, &changed);
    expect(&changed, "", ERROR_CORRUPT, true);

    for (int i = 0; i < 2; i++) { /* less to compute where the staging pass has left digests */
        setup(NULL);
        store.single = true;
        store.first_wanted = RANGE_CRC32C | RANGE_MD5;
        staged_digests->parts[1].crc32c ^= (uint32_t)i;
        staged_digests->has_md5 = true;
        memset(staged_digests->md5, 7, sizeof staged_digests->md5);
        struct run against = {.artifact = &staged, .digests = staged_digests};
        upload(&blocks, &against);
        staged_digests->parts[1].crc32c ^= (uint32_t)i;
        staged_digests->has_md5 = false;
        expect(&against, i ? "" : "1L", i ? ERROR_CORRUPT : 0, true);
        if (i == 0)
            assert_memory_equal(store.md5, staged_digests->md5, sizeof store.md5);
    }
}

/* --- a stream --- */

static void a_stream(void **state)
{
    (void)state;
    store.first_wanted = RANGE_SHA256 | RANGE_CRC32C;
    script((struct answer_rule){.hook = TRANSFER, .nth = 1, .outcome = OBJECT_PUT_AGAIN});
    script((struct answer_rule){.hook = TRANSFER, .nth = 2, .outcome = OBJECT_PUT_AGAIN});
    script((struct answer_rule){.hook = TRANSFER, .nth = 3, .outcome = OBJECT_PUT_PROVEN});
    store.pauses = 2;
    struct run run = {.artifact = &five};
    upload(&stream, &run);
    expect(&run, "LCS..ttt", 0, false);
    assert_true(store.has_crc32c);
    assert_int_equal(store.crc32c, part_crc32c(0, five.data, five.size));
    assert_string_equal(run.saved, "session-1");
    assert_string_equal(store.aborted, "");
}

static void a_stream_taken_up(void **state)
{
    (void)state;
    struct run run = {.artifact = &five, .resume_state = "session-9", .fence = 5};
    upload(&stream, &run);
    expect(&run, "LltL", 0, false);
    assert_string_equal(store.fence, "1"); /* of the attempt that began it */
    assert_false(run.result.existed);

    setup(NULL); /* all of it was there */
    store.listed_is_complete = true;
    struct run complete_already = {.artifact = &five, .resume_state = "session-9"};
    upload(&stream, &complete_already);
    expect(&complete_already, "LlL", 0, false);

    setup(NULL); /* forgotten: anew, once */
    script((struct answer_rule){.hook = LIST, .outcome = OBJECT_PUT_LOST});
    struct run lost = {.artifact = &five, .resume_state = "session-9"};
    upload(&stream, &lost);
    expect(&lost, "LlLCStL", 0, false);

    setup(NULL);
    script((struct answer_rule){.hook = TRANSFER, .outcome = OBJECT_PUT_LOST});
    struct run again = {.artifact = &five};
    upload(&stream, &again);
    expect(&again, "LCStLCStLF", ERROR_NOT_FOUND, true);
}

static void a_stream_that_fails(void **state)
{
    (void)state;
    static const struct {
        struct answer_rule rule;
        const char *trace;
        int code;
        const char *aborted;
    } cases[] = {
        {{CREATE, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "LC", ERROR_UNREACHABLE, ""},
        {{CREATE, 0, OBJECT_PUT_REFUSED, 0, false}, "LCL", ERROR_CONFLICT, ""},
        {{TRANSFER, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "LCSt", ERROR_UNREACHABLE, ""},
        {{TRANSFER, 0, OBJECT_PUT_SPOILED, ERROR_CORRUPT, false}, "LCStAF", ERROR_CORRUPT, "session-1"},
        {{TRANSFER, 0, OBJECT_PUT_REFUSED, 0, false}, "LCStLAF", ERROR_CONFLICT, "session-1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        script(cases[i].rule);
        struct run run = {.artifact = &five};
        upload(&stream, &run);
        expect(&run, cases[i].trace, cases[i].code, true);
        assert_string_equal(store.aborted, cases[i].aborted);
    }
}

/* A cancel keeps what there is; it ends a pause at once. */
static void a_stream_that_is_cancelled(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *trace;
    } cases[] = {{LOOK, "L"}, {CREATE, "LC"}, {TRANSFER, "LCSt"}, {'.', "LCS."}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        store.cancel_at = cases[i].at;
        store.pauses = cases[i].at == '.' ? 5 : 0;
        script((struct answer_rule){.hook = TRANSFER, .outcome = OBJECT_PUT_AGAIN});
        struct run run = {.artifact = &five};
        upload(&stream, &run);
        expect(&run, cases[i].trace, ERROR_CANCELLED, true);
        assert_string_equal(store.aborted, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_named_upload, setup),
        cmocka_unit_test_setup(a_proven_completion_is_not_looked_at, setup),
        cmocka_unit_test_setup(blocks_told_by_their_crc32c, setup),
        cmocka_unit_test_setup(a_block_of_other_bytes_is_sent_again, setup),
        cmocka_unit_test_setup(a_refused_list_of_blocks, setup),
        cmocka_unit_test_setup(a_block_for_an_upload_that_is_gone, setup),
        cmocka_unit_test_setup(something_stands_there, setup),
        cmocka_unit_test_setup(failures_keep_or_forget, setup),
        cmocka_unit_test_setup(a_damaged_object_of_ours_is_removed, setup),
        cmocka_unit_test_setup(parts_against_the_staging_pass, setup),
        cmocka_unit_test_setup(the_whole_before_it_is_sent, setup),
        cmocka_unit_test_setup(a_stream, setup),
        cmocka_unit_test_setup(a_stream_taken_up, setup),
        cmocka_unit_test_setup(a_stream_that_fails, setup),
        cmocka_unit_test_setup(a_stream_that_is_cancelled, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
