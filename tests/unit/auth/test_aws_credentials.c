/* The cache: one fetch for all who ask, anew ahead of expiry, bounds and the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "aws_ask.h"

/* Until the script's server has taken that many requests. */
static void wait_taken(int count)
{
    while (script_taken() < count)
        uv_run(&world.loop, UV_RUN_NOWAIT);
}

/* ---- one fetch for many, ahead of expiry ---- */

static void one_fetch_serves_all_who_wait(void **state)
{
    (void)state;
    enum { MANY = 100 };
    static struct result results[MANY];
    use_metadata();
    script_add((struct step){.expect = TOKEN, .status = 200, .body = "t", .how = HOLD});
    script_add((struct step)SAYS(ROLE, 200, "r"));
    script_add((struct step)SAYS(ROLE "r", 200, KEYS("ASIA1", SIX_HOURS)));
    for (int i = 0; i < MANY; i++) {
        begin(&results[i], chain);
        if (i == MANY / 2)
            wait_taken(1);
    }
    aws_credentials_forget(results[MANY - 1].wait);
    script_release();
    for (int i = 0; i < MANY - 1; i++) {
        finish(&results[i]);
        assert_id(results[i], "ASIA1");
    }
    assert_int_equal(results[MANY - 1].done, 0);
    script_assert_done();
}

static void the_old_ones_serve_while_new_ones_come(void **state)
{
    (void)state;
    use_metadata();
    metadata_gives(KEYS("ASIA1", SIX_HOURS));
    assert_id(get(chain), "ASIA1");
    fake_now_ms += 6 * HOUR_MS - 15 * MINUTE_MS - 1;
    assert_id(get(chain), "ASIA1");
    script_assert_done();
    fake_now_ms += 1;
    script_add((struct step){.expect = TOKEN, .status = 200, .body = "t", .how = HOLD});
    script_add((struct step)SAYS(ROLE, 200, "r"));
    script_add((struct step)SAYS(ROLE "r", 200, KEYS("ASIA2", "2026-01-01T12:00:00Z")));
    assert_id(get(chain), "ASIA1");
    wait_taken(4);
    assert_id(get(chain), "ASIA1");
    script_release();
    wait_taken(6);
    struct result r;
    do
        r = get(chain);
    while (strcmp(r.id, "ASIA1") == 0);
    assert_id(r, "ASIA2");
    script_assert_done();
}

static void too_old_ones_do_not_serve(void **state)
{
    (void)state;
    use_metadata();
    metadata_gives(KEYS("ASIA1", SIX_HOURS));
    assert_id(get(chain), "ASIA1");
    fake_now_ms += 6 * HOUR_MS - 5 * MINUTE_MS;
    metadata_gives(KEYS("ASIA2", "2026-01-01T12:00:00Z"));
    assert_id(get(chain), "ASIA2");
    script_assert_done();
}

static void refused_ones_are_fetched_anew_once(void **state)
{
    (void)state;
    use_metadata();
    metadata_gives(KEYS("ASIA1", SIX_HOURS));
    assert_id(get(chain), "ASIA1");
    metadata_gives(KEYS("ASIA2", SIX_HOURS));
    for (int i = 0; i < 10; i++)
        aws_credentials_expired(world.cache, &chain, "ASIA1");
    assert_id(get(chain), "ASIA2");
    aws_credentials_expired(world.cache, &chain, "ASIA1");
    assert_id(get(chain), "ASIA2");
    script_assert_done();
}

static void a_failed_refresh_leaves_the_old_ones_till_they_expire(void **state)
{
    (void)state;
    set_url(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/c");
    script_add((struct step)SAYS("GET /c", 200, KEYS("ASIA1", SIX_HOURS)));
    assert_id(get(chain), "ASIA1");
    fake_now_ms += 6 * HOUR_MS - MINUTE_MS;
    for (int i = 0; i < 3; i++)
        script_add((struct step)SAYS("GET /c", 500, ""));
    assert_id(get(chain), "ASIA1");
    script_assert_done();
    assert_id(get(chain), "ASIA1"); /* and it isn't asked again at once */
    script_assert_done();
    fake_now_ms += MINUTE_MS;
    for (int i = 0; i < 3; i++)
        script_add((struct step)SAYS("GET /c", 500, ""));
    assert_error(get(chain), ERROR_UNREACHABLE, true, "container credentials: HTTP 500");
    script_assert_done();
}

static void expired_ones_of_the_instance_are_used_on(void **state)
{
    (void)state;
    be_impatient();
    use_metadata();
    metadata_gives(KEYS("ASIA1", "2025-12-31T23:00:00Z"));
    assert_id(get(chain), "ASIA1");
    fake_now_ms += 5 * MINUTE_MS - 1;
    assert_id(get(chain), "ASIA1");
    script_assert_done();
    fake_now_ms += 5 * MINUTE_MS + 1;
    script_add((struct step){.expect = TOKEN, .how = HANG}); /* and on, when it can't be asked */
    script_add((struct step){.expect = ROLE, .how = HANG});
    assert_id(get(chain), "ASIA1");
    script_assert_done();
    fake_now_ms += 10 * MINUTE_MS;
    metadata_gives(KEYS("ASIA2", SIX_HOURS));
    assert_id(get(chain), "ASIA2");
    script_assert_done();
}

static void expired_ones_of_others_are_not(void **state)
{
    (void)state;
    set_url(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/c");
    script_add((struct step)SAYS("GET /c", 200, KEYS("ASIA1", "2025-12-31T23:00:00Z")));
    assert_error(get(chain), ERROR_DENIED, true, "2025-12-31T23:00:00Z");
    script_assert_done();
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Nobody asks: the timer alone brings the second set. */
static void a_timer_refreshes_ahead_of_expiry(void **state)
{
    (void)state;
    set_url(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/c");
    script_add((struct step)SAYS("GET /c", 200, KEYS("ASIA1", "2026-01-01T00:00:00.100Z")));
    script_add((struct step)SAYS("GET /c", 200, KEYS("ASIA2", SIX_HOURS)));
    assert_id(get(chain), "ASIA1");
    fake_now_ms += 75;
    uv_timer_t tick; /* keeps the loop running, which the cache's timer does not */
    uv_timer_init(&world.loop, &tick);
    uv_timer_start(&tick, on_tick, 5, 5);
    while (script_taken() < 2)
        uv_run(&world.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    struct result r;
    do
        r = get(chain);
    while (strcmp(r.id, "ASIA1") == 0);
    assert_id(r, "ASIA2");
    script_assert_done();
}

static void waiting_for_expiry_keeps_no_loop_alive(void **state)
{
    (void)state;
    use_metadata();
    metadata_gives(KEYS("ASIA1", SIX_HOURS));
    assert_id(get(chain), "ASIA1");
    world_close_clients(); /* returns, hours before the next fetch is due */
    assert_int_equal(uv_loop_alive(&world.loop), 0);
}

/* ---- bounds and the end ---- */

static void closing_tells_everybody(void **state)
{
    (void)state;
    struct result waiting[3], fresh;
    use_metadata();
    setenv("TEST_S3_KEYS", "AKIA1:HIDDEN", 1);
    script_add((struct step){.expect = TOKEN, .how = HANG});
    for (int i = 0; i < 3; i++)
        begin(&waiting[i], chain);
    wait_taken(1);
    begin(&fresh, (struct aws_credentials_ask){.credentials_ref = "env:TEST_S3_KEYS"});
    world_close_cache();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waiting[i].done, 1);
        assert_int_equal(waiting[i].err.code, ERROR_CANCELLED);
    }
    assert_int_equal(fresh.done, 1);
    assert_int_equal(fresh.err.code, ERROR_CANCELLED);
    unsetenv("TEST_S3_KEYS");
}

static void kept_sets_are_bounded(void **state)
{
    (void)state;
    static struct result results[AWS_MAX_KEPT];
    char profile[32], file[128], id[32];
    for (int i = 0; i < 3 * AWS_MAX_KEPT; i++) {
        snprintf(profile, sizeof profile, "p%d", i);
        snprintf(id, sizeof id, "AKIA%d", i);
        snprintf(file, sizeof file, "[%s]\naws_access_key_id=%s\naws_secret_access_key=HIDDEN\n", profile,
                 id);
        home_write(".aws/credentials", file);
        assert_id(get((struct aws_credentials_ask){.profile = profile}), id);
    }
    for (int i = 0; i <= AWS_MAX_KEPT; i++) {
        struct error err = {0};
        struct aws_credentials_wait *wait;
        struct aws_credentials_ask ask = {.profile = profile};
        snprintf(profile, sizeof profile, "q%d", i);
        if (i < AWS_MAX_KEPT)
            begin(&results[i], ask);
        else
            assert_int_equal(aws_credentials_get(world.cache, &ask, on_done, NULL, &wait, &err), ERROR_LIMIT);
    }
    for (int i = 0; i < AWS_MAX_KEPT; i++) {
        finish(&results[i]);
        assert_int_equal(results[i].err.code, ERROR_INPUT);
    }
}

static void waiting_callbacks_are_bounded(void **state)
{
    (void)state;
    struct aws_credentials_wait **waits = calloc(AWS_MAX_WAITS, sizeof *waits), *more;
    assert_non_null(waits);
    struct error err = {0};
    for (int i = 0; i < AWS_MAX_WAITS; i++)
        assert_int_equal(aws_credentials_get(world.cache, &chain, on_done, NULL, &waits[i], NULL), 0);
    assert_int_equal(aws_credentials_get(world.cache, &chain, on_done, NULL, &more, &err), ERROR_LIMIT);
    assert_true(err.retryable);
    for (int i = 0; i < AWS_MAX_WAITS; i++)
        aws_credentials_forget(waits[i]);
    free(waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_fetch_serves_all_who_wait),
        TEST(the_old_ones_serve_while_new_ones_come),
        TEST(too_old_ones_do_not_serve),
        TEST(refused_ones_are_fetched_anew_once),
        TEST(a_failed_refresh_leaves_the_old_ones_till_they_expire),
        TEST(expired_ones_of_the_instance_are_used_on),
        TEST(expired_ones_of_others_are_not),
        TEST(a_timer_refreshes_ahead_of_expiry),
        TEST(waiting_for_expiry_keeps_no_loop_alive),
        TEST(closing_tells_everybody),
        TEST(kept_sets_are_bounded),
        TEST(waiting_callbacks_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
