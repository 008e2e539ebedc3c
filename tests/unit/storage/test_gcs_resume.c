/* Uploads that an earlier attempt began: taken up, given up, or out of reach; and how they are remembered. */
#include "gcs_put_run.h"

#include "auth/secret.h"
#include "storage/gcs/seal.h"

static struct fake_server store, tokens; /* the fake, and where its tokens come from */

static int group_setup(void **state)
{
    gcs_group_setup(state);
    store = fake;
    fake_start("credential_server.py");
    tokens = fake;
    fake = store;
    return 0;
}

static int group_teardown(void **state)
{
    fake = tokens;
    fake_stop();
    fake = store;
    return gcs_group_teardown(state);
}

static int setup(void **state)
{
    gcs_with_key = true;
    return gcs_setup(state);
}

/* A user's credentials: they have a secret of their own. */
static void use_refresh_token(void)
{
    char text[512];
    snprintf(
        text, sizeof text,
        "{\"type\": \"authorized_user\", \"client_id\": \"client\", \"client_secret\": \"client-secret\", "
        "\"refresh_token\": \"refresh-token\", \"token_uri\": \"http://127.0.0.1:%d/token\"}",
        tokens.http);
    setenv(GCS_SECRET, text, 1);
}

/* Within the bytes of the only request; nobody tells how many have arrived. */
static void break_off(const struct artifact *a, char **ret_state)
{
    struct put_run run = {.artifact = a};
    fake_rule(
        "{\"match\": {\"operation\": \"UploadChunk\", \"nth\": 1}, \"action\": {\"type\": \"close_request\", "
        "\"bytes\": 800000}}");
    fake_rule(
        "{\"match\": {\"operation\": \"QueryResumable\", \"count\": 3}, \"action\": {\"type\": \"respond\", "
        "\"status\": 503}}");
    gcs_run(&run);
    expect_run(&run, ERROR_UNREACHABLE, true, "503");
    expect_nothing_stored(run.saved && !strstr(run.saved, "\"session\":null") ? 1 : 0);
    *ret_state = run.saved;
    fake_tell("DELETE", "/log", NULL);
}

/* --- taken up --- */

static void the_next_attempt_goes_on(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    char *saved;
    break_off(&a, &saved);
    assert_null(strstr(saved, "upload_id"));
    assert_null(strstr(saved, "AFake"));
    struct put_run run = {.artifact = &a, .resume_state = saved, .fence = 2};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("StartResumable"), 0);
    assert_int_equal(fake_count("QueryResumable"), 1);
    assert_string_equal(chunk_range(1), "bytes 786432-1310726/1310727");
    free(saved);
    free(run.saved);
    artifact_free(&a);
}

static void with_the_credentials_own_key(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    char *saved;
    gcs_with_key = false;
    use_refresh_token();
    break_off(&a, &saved);
    assert_null(strstr(saved, "upload_id"));
    assert_null(strstr(saved, "AFake"));
    struct put_run run = {.artifact = &a, .resume_state = saved, .fence = 2};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("StartResumable"), 0);
    assert_string_equal(chunk_range(1), "bytes 786432-1310726/1310727");
    free(saved);
    free(run.saved);
    artifact_free(&a);
}

/* The program has been given a key meanwhile: what was recorded without it is still understood. */
static void a_key_comes_in_between(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    char *saved;
    gcs_with_key = false;
    use_refresh_token();
    break_off(&a, &saved);
    gcs_with_key = true;
    struct put_run run = {.artifact = &a, .resume_state = saved, .fence = 2};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("StartResumable"), 0);
    free(saved);
    free(run.saved);
    artifact_free(&a);
}

/* A token alone is no secret that lasts: nothing is recorded, and nothing left behind. */
static void without_any_key_it_is_cancelled(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    char *saved;
    gcs_with_key = false;
    break_off(&a, &saved);
    assert_null(saved); /* and forgotten */
    assert_int_equal(count_in_state("uploads"), 0);
    struct put_run run = {.artifact = &a, .fence = 2};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("StartResumable"), 1);
    free(run.saved);
    artifact_free(&a);
}

static void finished_by_the_attempt_that_broke_off(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct put_run run = {.artifact = &a};
    fake_rule("{\"match\": {\"operation\": \"UploadChunk\"}, \"action\": {\"type\": \"drop_answer\"}}");
    fake_rule(
        "{\"match\": {\"operation\": \"QueryResumable\", \"count\": 3}, \"action\": {\"type\": \"respond\", "
        "\"status\": 503}}");
    gcs_run(&run);
    expect_run(&run, ERROR_UNREACHABLE, true, "503");
    char *saved = run.saved;
    run = (struct put_run){.artifact = &a, .resume_state = saved, .fence = 2};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("UploadChunk"), 1);
    free(saved);
    free(run.saved);
    artifact_free(&a);
}

/* All are said to be there, and yet it isn't complete: it is asked again. */
static void all_but_not_complete(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    char *saved;
    break_off(&a, &saved);
    fake_rule(
        "{\"match\": {\"operation\": \"QueryResumable\"}, \"action\": {\"type\": \"alter\", \"status\": 308, "
        "\"headers\": {\"Range\": \"bytes=0-1310726\"}, \"body\": \"\"}}");
    fake_rule(
        "{\"match\": {\"operation\": \"QueryResumable\"}, \"action\": {\"type\": \"alter\", \"headers\": "
        "{\"Range\": \"bytes=0-786431\"}}}");
    struct put_run run = {.artifact = &a, .resume_state = saved, .fence = 2};
    gcs_run(&run);
    expect_stored(&run);
    assert_int_equal(fake_count("QueryResumable"), 2);
    free(saved);
    free(run.saved);
    artifact_free(&a);
}

/* --- not taken up --- */

static void a_session_that_ended_meanwhile(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    static const char *const settings[] = {"{\"session_seconds\": 0, \"gone_status\": 410}",
                                           "{\"session_seconds\": 0, \"gone_status\": 404}"};
    for (size_t i = 0; i < 2; i++) {
        char *saved;
        fake_reset();
        break_off(&a, &saved);
        fake_tell("POST", "/settings", settings[i]);
        struct put_run run = {.artifact = &a, .resume_state = saved, .fence = 2};
        gcs_run(&run);
        /* with no time at all the second session ends as well: it isn't begun for ever */
        expect_run(&run, ERROR_NOT_FOUND, true, "forgot the upload");
        assert_int_equal(fake_count("StartResumable"), 1);
        free(saved);
        free(run.saved);

        fake_reset();
        break_off(&a, &saved);
        fake_rule(
            "{\"match\": {\"operation\": \"QueryResumable\"}, \"action\": {\"type\": \"respond\", \"status\": "
            "410, \"body\": \"gone\"}}");
        run = (struct put_run){.artifact = &a, .resume_state = saved, .fence = 2};
        gcs_run(&run);
        expect_run(&run, 0, false, NULL);
        assert_int_equal(fake_count("StartResumable"), 1);
        assert_string_equal(chunk_range(1), "bytes 0-1310726/1310727");
        free(saved);
        free(run.saved);
    }
    artifact_free(&a);
}

static void another_artifact_cancels_what_was_begun(void **state)
{
    (void)state;
    static const size_t sizes[] = {5 * UNIT + 7, 1000}; /* resumable, and in one request */
    for (size_t i = 0; i < 2; i++) {
        struct artifact a = artifact_make(5 * UNIT + 7, 4), b = artifact_make(sizes[i], 5);
        char *saved;
        fake_reset();
        break_off(&a, &saved);
        struct put_run run = {.artifact = &b, .resume_state = saved, .fence = 2};
        gcs_run(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("CancelResumable"), 1);
        free(saved);
        free(run.saved);
        artifact_free(&a);
        artifact_free(&b);
    }
}

static void what_cant_be_read_begins_anew(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    char *saved, changed[2048], *at;
    break_off(&a, &saved);
    /* sealed with a key that is gone, changed, of another object, of another driver, no JSON */
    for (int i = 0; i < 5; i++) {
        snprintf(changed, sizeof changed, "%s", saved);
        at = strstr(changed, "\"session\":\"") + 11;
        if (i == 0)
            at[0] = at[0] == '0' ? '1' : '0';
        if (i == 1)
            at[40] = at[40] == 'A' ? 'B' : 'A';
        if (i == 2)
            at[16] = '-';
        if (i == 3)
            snprintf(changed, sizeof changed, "{\"upload_id\": \"x\", \"parts\": []}");
        if (i == 4)
            snprintf(changed, sizeof changed, "nonsense");
        fake_reset();
        struct put_run run = {.artifact = &a, .resume_state = changed, .fence = 2};
        gcs_run(&run);
        expect_stored(&run);
        assert_int_equal(fake_count("StartResumable"), 1);
        free(run.saved);
    }
    free(saved);
    artifact_free(&a);
}

/* The row is someone else's by now: nothing is touched any more. */
static void a_stale_attempt_stops(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    struct put_run run = {.artifact = &a, .stale_save = 1};
    gcs_run(&run);
    expect_run(&run, ERROR_CANCELLED, true, "a later attempt took over");
    assert_int_equal(fake_count("UploadChunk"), 0);
    assert_int_equal(fake_count("CancelResumable"), 0);
    free(run.saved);
    artifact_free(&a);
}

/* --- given up --- */

static struct outcome give_up(const char *resume_state)
{
    struct outcome o = {.running = true};
    struct world *world = gcs_world_open(NULL, false);
    struct storage_op *op;
    if (gcs_with_key)
        gcs_add_key(world, 'a');
    struct storage_delete del = {.loop = &world->loop,
                                 .location = world->location,
                                 .near_key = KEY,
                                 .resume_state = resume_state,
                                 .row_id = 301,
                                 .fence = 2,
                                 .done = on_delete,
                                 .data = &o};
    int rc = storage_gcs.delete_start(&del, &op, &o.err);
    o.running = false;
    if (rc == 0)
        world_run(world, &o.done);
    world_close(world);
    return o;
}

static void an_upload_is_cancelled_by_its_state(void **state)
{
    (void)state;
    struct artifact a = artifact_make(5 * UNIT + 7, 4);
    for (int i = 0; i < 2; i++) {
        char *saved;
        fake_reset();
        gcs_with_key = i == 0;
        if (i == 1)
            use_refresh_token();
        break_off(&a, &saved);
        assert_int_equal(count_in_state("uploads"), 1);
        struct outcome o = give_up(saved);
        expect_success(&o);
        assert_true(o.existed);
        assert_int_equal(count_in_state("uploads"), 0);
        o = give_up(saved); /* it is gone already */
        expect_success(&o);
        assert_false(o.existed);
        gcs_with_key = false;
        gcs_use_token("fake-token"); /* nobody can read it any more */
        o = give_up(saved);
        expect_success(&o);
        assert_false(o.existed);
        fake_rule(
            "{\"match\": {\"operation\": \"CancelResumable\", \"count\": 0}, \"action\": {\"type\": \"respond\", "
            "\"status\": 503}}");
        gcs_with_key = i == 0;
        if (i == 1)
            use_refresh_token();
        o = give_up(saved);
        expect_error(&o, ERROR_UNREACHABLE, true, "cancelling the upload of '" KEY "'");
        assert_null(strstr(o.err.message, "upload_id"));
        free(saved);
    }
    struct outcome o = give_up(NULL);
    expect_success(&o);
    assert_false(o.existed);
    o = give_up("{}");
    expect_error(&o, ERROR_CORRUPT, false, "resume state");
    artifact_free(&a);
}

/* --- the seal --- */

static void sealed_for_one_object_and_one_key(void **state)
{
    (void)state;
    struct world *world = gcs_world_open(NULL, false);
    struct gcs_session session;
    struct error err = {0};
    char *sealed = NULL, *url = NULL;
    assert_int_equal(object_session_init(&session.base, &gcs_protocol, &world->loop, &world->location, &err),
                     0);
    assert_int_equal(gcs_seal(&session, "key", "https://secret", &sealed, &err), 0);
    assert_null(sealed); /* there is no key */
    assert_int_equal(gcs_unseal(&session, "key", "0123456789abcdef:AAAA", &url, &err), ERROR_NOT_FOUND);

    session.has_secret_digest = true;
    memset(session.secret_digest, 7, sizeof session.secret_digest);
    assert_int_equal(gcs_seal(&session, "key", "https://secret", &sealed, &err), 0);
    assert_null(strstr(sealed, "secret"));
    assert_int_equal(gcs_unseal(&session, "key", sealed, &url, &err), 0);
    assert_string_equal(url, "https://secret");
    secret_free(url);
    assert_int_equal(gcs_unseal(&session, "other", sealed, &url, &err), ERROR_CORRUPT);
    session.secret_digest[0] ^= 1; /* other credentials */
    assert_int_equal(gcs_unseal(&session, "key", sealed, &url, &err), ERROR_NOT_FOUND);
    session.secret_digest[0] ^= 1;

    gcs_add_key(world, 'b'); /* the program's own goes first; the other still opens what it sealed */
    assert_int_equal(gcs_unseal(&session, "key", sealed, &url, &err), 0);
    secret_free(url);
    free(sealed);
    assert_int_equal(gcs_seal(&session, "key", "https://secret", &sealed, &err), 0);
    session.has_secret_digest = false;
    assert_int_equal(gcs_unseal(&session, "key", sealed, &url, &err), 0);
    secret_free(url);
    free(sealed);
    static const char *const bad[] = {"", ":", "0123456789abcdef", "0123456789abcde:AAAA", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gcs_unseal(&session, "key", bad[i], &url, &err), ERROR_CORRUPT);
    object_session_deinit(&session.base);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_next_attempt_goes_on, setup),
        cmocka_unit_test_setup(with_the_credentials_own_key, setup),
        cmocka_unit_test_setup(a_key_comes_in_between, setup),
        cmocka_unit_test_setup(without_any_key_it_is_cancelled, setup),
        cmocka_unit_test_setup(finished_by_the_attempt_that_broke_off, setup),
        cmocka_unit_test_setup(all_but_not_complete, setup),
        cmocka_unit_test_setup(a_session_that_ended_meanwhile, setup),
        cmocka_unit_test_setup(another_artifact_cancels_what_was_begun, setup),
        cmocka_unit_test_setup(what_cant_be_read_begins_anew, setup),
        cmocka_unit_test_setup(a_stale_attempt_stops, setup),
        cmocka_unit_test_setup(an_upload_is_cancelled_by_its_state, setup),
        cmocka_unit_test_setup(sealed_for_one_object_and_one_key, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
