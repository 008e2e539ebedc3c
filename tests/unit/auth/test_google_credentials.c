/* The cache: when a token is fetched anew, given tokens, and the end at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "google_script.h"

/* Until the script's server has taken that many requests. */
static void wait_taken(int count)
{
    while (script_taken() < count)
        uv_run(&world.loop, UV_RUN_NOWAIT);
}

/* Until the background's token is there. */
static void wait_token(const char *old, const char *token)
{
    struct result r;
    do
        r = get(referenced);
    while (strcmp(r.token, old) == 0);
    assert_token(r, token);
}

static void one_fetch_serves_all_who_wait(void **state)
{
    (void)state;
    struct result results[20];
    set_secret(a_user());
    script_add((struct step){.expect = "POST /token", .status = 200, .body = TOKEN("1"), .how = HOLD});
    for (int i = 0; i < 20; i++) {
        begin(&results[i], referenced);
        if (i == 10)
            wait_taken(1);
    }
    google_credentials_forget(results[19].wait);
    script_release();
    for (int i = 0; i < 19; i++) {
        finish(&results[i]);
        assert_token(results[i], "HIDDEN-1");
    }
    assert_int_equal(results[19].done, 0);
    script_assert_done();
}

static void anew_in_the_background_from_3_min_45_s(void **state)
{
    (void)state;
    set_secret(a_user());
    script_add((struct step)SAYS("POST /token", 200, TOKEN("1")));
    assert_token(get(referenced), "HIDDEN-1");
    fake_now_ms += HOUR_MS - 225 * SECOND_MS - 1;
    assert_token(get(referenced), "HIDDEN-1");
    for (int i = 0; i < 200; i++) /* a fetch that were due would have begun */
        uv_run(&world.loop, UV_RUN_NOWAIT);
    script_assert_done();
    fake_now_ms += 1;
    script_add((struct step){.expect = "POST /token", .status = 200, .body = TOKEN("2"), .how = HOLD});
    assert_token(get(referenced), "HIDDEN-1"); /* still serves */
    wait_taken(2);
    assert_token(get(referenced), "HIDDEN-1");
    script_release();
    wait_token("HIDDEN-1", "HIDDEN-2");
    script_assert_done();
}

static void a_minute_before_its_end_callers_wait(void **state)
{
    (void)state;
    set_secret(a_user());
    script_add((struct step)SAYS("POST /token", 200, TOKEN("1")));
    assert_token(get(referenced), "HIDDEN-1");
    fake_now_ms += HOUR_MS - MINUTE_MS;
    script_add((struct step)SAYS("POST /token", 200, TOKEN("2")));
    assert_token(get(referenced), "HIDDEN-2");
    script_assert_done();
}

static void a_refused_one_is_fetched_anew_once(void **state)
{
    (void)state;
    set_secret(a_user());
    script_add((struct step)SAYS("POST /token", 200, TOKEN("1")));
    assert_token(get(referenced), "HIDDEN-1");
    script_add((struct step)SAYS("POST /token", 200, TOKEN("2")));
    for (int i = 0; i < 5; i++)
        google_credentials_expired(world.cache, &referenced, "HIDDEN-1");
    assert_token(get(referenced), "HIDDEN-2");
    google_credentials_expired(world.cache, &referenced, "HIDDEN-1"); /* a late complaint */
    google_credentials_expired(world.cache, &found, "HIDDEN-2");      /* another question's */
    assert_token(get(referenced), "HIDDEN-2");
    script_assert_done();
}

static void given_tokens(void **state)
{
    (void)state;
    setenv("TEST_G", "{\"access_token\":\"HIDDEN-1\"}", 1);
    struct result r = get(referenced);
    assert_token(r, "HIDDEN-1");
    assert_int_equal(r.expires_at_ms, 0);
    assert_false(r.has_secret_digest);
    setenv("TEST_G", "{\"access_token\":\"HIDDEN-2\",\"expires_at\":\"2026-01-01T01:00:00Z\"}", 1);
    assert_token(get(referenced), "HIDDEN-1"); /* read again after 5 s */
    fake_now_ms += 5 * SECOND_MS;
    r = get(referenced);
    assert_token(r, "HIDDEN-2");
    assert_int_equal(r.expires_at_ms, INT64_C(1767229200000));
    fake_now_ms += HOUR_MS;
    assert_error(get(referenced), ERROR_DENIED, true, "expired at 2026-01-01T01:00:00Z already");
    setenv("TEST_G", "HIDDEN-3", 1);
    assert_error(get(referenced), ERROR_INPUT, false, "env:TEST_G: it isn't a JSON object; it must be");
    unsetenv("TEST_G");
    assert_error(get(referenced), ERROR_NOT_FOUND, true, "env:TEST_G");
}

static void an_impersonated_token_that_has_expired(void **state)
{
    (void)state;
    set_secret(json_pack("{s:s, s:s, s:o}", "type", "impersonated_service_account",
                         "service_account_impersonation_url", address("/sa"), "source_credentials",
                         a_user()));
    script_add((struct step)SAYS("POST /token", 200, TOKEN("1")));
    script_add((struct step)SAYS("POST /sa", 200,
                                 "{\"accessToken\":\"HIDDEN-2\",\"expireTime\":\"2025-12-31T23:00:00Z\"}"));
    assert_error(get(referenced), ERROR_DENIED, true, "is this machine's clock right?");
    script_assert_done();
}

/* ---- the end ---- */

static void closing_tells_everybody(void **state)
{
    (void)state;
    struct result waiting[3], fresh;
    use_metadata();
    set_secret(an_account());
    script_add((struct step){.expect = METADATA, .how = HANG});
    for (int i = 0; i < 3; i++)
        begin(&waiting[i], found);
    wait_taken(1);
    begin(&fresh, referenced);
    world_close_cache();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waiting[i].done, 1);
        assert_int_equal(waiting[i].err.code, ERROR_CANCELLED);
    }
    assert_int_equal(fresh.done, 1);
    assert_int_equal(fresh.err.code, ERROR_CANCELLED);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Closes the cache in the check phase of the loop's Nth turn: a call may have its answer by then, and not
 * have said so. */
struct closer {
    uv_check_t check;
    int turns, taken;
};

static void on_check(uv_check_t *check)
{
    struct closer *closer = check->data;
    if (closer->turns-- > 0)
        return;
    closer->taken = script_taken();
    google_credentials_cache_close(world.cache, on_world_closed, NULL);
    world.cache = NULL;
    uv_close((uv_handle_t *)check, NULL);
}

/* Whenever it comes, no further question is asked but the one under way, and all memory goes. */
static void closed_between_any_two_steps(void **state)
{
    (void)state;
    for (int turns = 0; turns < 30; turns++) {
        world_setup(NULL);
        struct result r;
        struct closer closer = {.turns = turns};
        json_t *federation = a_federation(json_pack("{s:s}", "url", address("/idp")));
        json_object_set_new(federation, "service_account_impersonation_url", json_string(address("/sa")));
        set_secret(federation);
        script_add((struct step)SAYS("GET /idp", 200, "HIDDEN"));
        script_add((struct step)SAYS("POST /sts", 200, TOKEN("1")));
        script_add((struct step)SAYS(
            "POST /sa", 200, "{\"accessToken\":\"HIDDEN-2\",\"expireTime\":\"2026-01-01T01:00:00Z\"}"));
        begin(&r, referenced);
        uv_check_init(&world.loop, &closer.check);
        closer.check.data = &closer;
        uv_check_start(&closer.check, on_check);
        uv_timer_t tick; /* turns go on when all is done */
        uv_timer_init(&world.loop, &tick);
        uv_timer_start(&tick, on_tick, 1, 1);
        while (world.closed == 0)
            uv_run(&world.loop, UV_RUN_ONCE);
        uv_close((uv_handle_t *)&tick, NULL);
        assert_int_equal(r.done, 1);
        assert_true(r.err.code == ERROR_CANCELLED || strcmp(r.token, "HIDDEN-2") == 0);
        assert_true(script_taken() <= closer.taken + 1);
        world_teardown(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_fetch_serves_all_who_wait),
        TEST(anew_in_the_background_from_3_min_45_s),
        TEST(a_minute_before_its_end_callers_wait),
        TEST(a_refused_one_is_fetched_anew_once),
        TEST(given_tokens),
        TEST(an_impersonated_token_that_has_expired),
        TEST(closing_tells_everybody),
        cmocka_unit_test(closed_between_any_two_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
