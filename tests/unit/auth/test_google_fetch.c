/* From each kind of source to a token: what is sent, and what becomes of services that misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/base64.h"
#include "google_script.h"

static void assert_body(int step, const char *part)
{
    if (strstr(script.bodies[step], part) == NULL)
        fail_msg("step %d: no \"%s\" in %s", step, part, script.bodies[step]);
}

/* ---- a service account's key ---- */

/* The claims of the assertion that was sent. */
static json_t *claims_of(int step)
{
    const char *body = script.bodies[step], *assertion = strstr(body, "&assertion=");
    assert_non_null(assertion);
    const char *from = strchr(assertion, '.') + 1;
    char text[4096];
    size_t n = strcspn(from, ".");
    assert_true(n + 4 < sizeof text);
    memcpy(text, from, n);
    while (n % 4)
        text[n++] = '=';
    text[n] = '\0';
    unsigned char *claims;
    size_t size;
    assert_int_equal(base64_decode(text, BASE64_URLSAFE, &claims, &size), 0);
    json_t *json = json_loadb((char *)claims, size, 0, NULL);
    free(claims);
    return json;
}

static void assert_claims(int step, const char *scope)
{
    json_t *claims = claims_of(step);
    assert_string_equal(json_string_value(json_object_get(claims, "scope")), scope);
    assert_string_equal(json_string_value(json_object_get(claims, "aud")), address("/token"));
    assert_int_equal(json_integer_value(json_object_get(claims, "iat")), 1767225600);
    assert_int_equal(json_integer_value(json_object_get(claims, "exp")), 1767229200);
    json_decref(claims);
}

static void a_service_account_asserts(void **state)
{
    (void)state;
    set_secret(an_account());
    script_add((struct step)SAYS("POST /token", 200, TOKEN("1")));
    script_add((struct step)SAYS("POST /token", 200, TOKEN("2")));
    struct result r = get(referenced);
    assert_token(r, "HIDDEN-1");
    assert_string_equal(r.source, "env:TEST_G (backup@shop.iam.gserviceaccount.com)");
    assert_string_equal(r.project, "shop");
    assert_int_equal(r.expires_at_ms, fake_now_ms + HOUR_MS);
    assert_true(r.has_secret_digest);
    script_assert_head(0, "Content-Type: application/x-www-form-urlencoded\r\n");
    assert_body(0, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    assert_claims(0, "https://www.googleapis.com/auth/devstorage.read_write");

    struct google_credentials_ask full = referenced; /* another question */
    full.scope = GOOGLE_SCOPE_FULL_CONTROL;
    assert_token(get(full), "HIDDEN-2");
    assert_claims(1, "https://www.googleapis.com/auth/devstorage.full_control");
    script_assert_done();
}

static void a_key_that_cannot_sign_asks_nobody(void **state)
{
    (void)state;
    json_t *account = an_account();
    json_object_set_new(account, "private_key", json_string("HIDDEN"));
    set_secret(account);
    assert_error(get(referenced), ERROR_INPUT, false, "the private key isn't a private key in PEM");
    script_assert_done();
}

/* ---- a user ---- */

static void a_user_refreshes(void **state)
{
    (void)state;
    set_secret(a_user());
    script_add((struct step)SAYS("POST /token", 200, TOKEN("u")));
    struct result r = get(referenced);
    assert_token(r, "HIDDEN-u");
    assert_string_equal(r.quota_project, "bill");
    assert_true(r.has_secret_digest);
    assert_string_equal(
        script.bodies[0],
        "grant_type=refresh_token&client_id=id.apps&client_secret=HIDDEN-s&refresh_token=HIDDEN%2Fr%2B");
}

static void a_file_of_application_default_credentials(void **state)
{
    (void)state;
    json_t *user = a_user();
    char *text = json_dumps(user, 0);
    home_mkdir(".config");
    home_mkdir(".config/gcloud");
    home_write(".config/gcloud/application_default_credentials.json", text);
    free(text);
    json_decref(user);
    script_add((struct step)SAYS("POST /token", 200, TOKEN("adc")));
    struct result r = get(found);
    assert_token(r, "HIDDEN-adc");
    assert_non_null(
        strstr(r.source, "/.config/gcloud/application_default_credentials.json (a user's login)"));
}

/* ---- the metadata server ---- */

static void the_metadata_server(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:9", 1); /* where nobody is */
    use_metadata();
    metadata_says(503, "");
    metadata_says(200, TOKEN("m"));
    struct result r = get(found);
    unsetenv("http_proxy");
    assert_token(r, "HIDDEN-m");
    assert_string_equal(r.source, "metadata server");
    assert_false(r.has_secret_digest);
    script_assert_head(1, "Metadata-Flavor: Google\r\n");
    script_assert_done();
}

static void its_older_variables(void **state)
{
    (void)state;
    static const char *const names[] = {"GCE_METADATA_IP", "GCE_METADATA_ROOT", "GCE_METADATA_HOST"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv(names[i], script.peer.url + strlen("http://"), 1);
        metadata_says(404, "");
        assert_error(get(found), ERROR_DENIED, false,
                     "the machine has no service account; set credentials_ref, or one of these");
        setenv(names[i], "a@b", 1); /* hides the ones before it */
        if (i < 2)
            continue;
        assert_error(get(found), ERROR_INPUT, false, "GCE_METADATA_HOST must be HOST or HOST:PORT");
    }
    script_assert_done();
}

static void another_clouds_metadata_is_nobody(void **state)
{
    (void)state;
    use_metadata();
    script_add((struct step)SAYS(METADATA, 200, TOKEN("fake")));
    struct result r = get(found);
    assert_error(r, ERROR_DENIED, false, "looked at GOOGLE_APPLICATION_CREDENTIALS, ");
    assert_error(r, ERROR_DENIED, false, "isn't Google's; set credentials_ref");
    script_assert_done();
}

static void a_silent_metadata_server_is_asked_three_times(void **state)
{
    (void)state;
    google_credentials_cache_use(world.cache, &impatient, fake_wall_ms);
    use_metadata();
    for (int i = 0; i < 3; i++)
        script_add((struct step){.expect = METADATA, .how = HANG});
    assert_error(get(found), ERROR_DENIED, true, "no Google credentials: looked at");
    script_assert_done();
}

static void nobody_at_its_address(void **state)
{
    (void)state;
    setenv("GCE_METADATA_HOST", "127.0.0.1:9", 1); /* named: it may be there later */
    assert_error(get(found), ERROR_DENIED, true, "no Google credentials: looked at");
}

/* ---- federation ---- */

static json_t *file_source(const char *format)
{
    char path[256];
    snprintf(path, sizeof path, "%s/token", script.home);
    return json_pack("{s:s, s:o*}", "file", path, "format", format ? json_loads(format, 0, NULL) : NULL);
}

static void a_file_is_read_at_each_try(void **state)
{
    (void)state;
    json_t *federation = a_federation(file_source(NULL));
    json_object_set_new(federation, "workforce_pool_user_project", json_string("bill"));
    set_secret(federation);
    home_write("token", "HIDDEN.old\n");
    script_add((struct step){.expect = "POST /sts",
                             .status = 400,
                             .body = "{\"error\":\"invalid_grant\",\"error_description\":\"stale\"}",
                             .how = REWRITE,
                             .path = "token",
                             .text = "HIDDEN.new\n"});
    script_add((struct step)SAYS("POST /sts", 200, TOKEN("f")));
    struct result r = get(referenced);
    assert_token(r, "HIDDEN-f");
    assert_false(r.has_secret_digest);
    assert_body(0, "&subject_token=HIDDEN.old&");
    assert_string_equal(
        script.bodies[1],
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
        "&audience=%2F%2Fiam.googleapis.com%2Fp"
        "&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_write"
        "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
        "&subject_token=HIDDEN.new&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
        "&options=%7B%22userProject%22%3A%22bill%22%7D");
    script_assert_done();
}

static void files_without_a_token(void **state)
{
    (void)state;
    set_secret(a_federation(file_source("{\"type\":\"json\",\"subject_token_field_name\":\"t\"}")));
    assert_error(get(referenced), ERROR_NOT_FOUND, true, "/token");
    home_write("token", "HIDDEN");
    assert_error(get(referenced), ERROR_PROTOCOL, true, "subject_token_field_name");
    home_write("token", "{\"t\":\"HIDDEN\"}");
    script_add((struct step)SAYS("POST /sts", 200, TOKEN("j")));
    assert_token(get(referenced), "HIDDEN-j");
    assert_body(0, "&subject_token=HIDDEN&");
    script_assert_done();
}

static void a_url_and_impersonation(void **state)
{
    (void)state;
    json_t *federation =
        a_federation(json_pack("{s:s, s:{s:s}, s:{s:s, s:s}}", "url", address("/idp?a=b"), "headers", "X-Key",
                               "HIDDEN-h", "format", "type", "json", "subject_token_field_name", "value"));
    json_object_set_new(federation, "client_id", json_string("me"));
    json_object_set_new(federation, "client_secret", json_string("HIDDEN"));
    json_object_set_new(federation, "service_account_impersonation_url",
                        json_string(address("/v1/projects/-/serviceAccounts/sa@shop:generateAccessToken")));
    json_object_set_new(federation, "service_account_impersonation",
                        json_pack("{s:i}", "token_lifetime_seconds", 1200));
    set_secret(federation);
    script_add((struct step)SAYS("GET /idp?a=b", 200, "{\"value\":\"HIDDEN.i\"}"));
    script_add((struct step)SAYS("POST /sts", 200, TOKEN("first")));
    script_add((struct step)SAYS("POST /v1/projects/-/serviceAccounts/sa@shop:generateAccessToken", 200,
                                 "{\"accessToken\":\"HIDDEN-sa\",\"expireTime\":\"2026-01-01T00:20:00Z\"}"));
    struct result r = get(referenced);
    assert_token(r, "HIDDEN-sa");
    assert_string_equal(r.source, "env:TEST_G (as sa@shop)");
    assert_int_equal(r.expires_at_ms, fake_now_ms + 20 * MINUTE_MS);
    script_assert_head(0, "X-Key: HIDDEN-h\r\n");
    assert_body(1, "&subject_token=HIDDEN.i&");
    assert_body(1, "&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fiam&");
    script_assert_head(1, "Authorization: Basic bWU6SElEREVO\r\n");
    script_assert_head(2, "Authorization: Bearer HIDDEN-first\r\n");
    assert_string_equal(
        script.bodies[2],
        "{\"scope\":[\"https://www.googleapis.com/auth/devstorage.read_write\"],\"lifetime\":\"1200s\"}");
    script_assert_done();
}

static void each_step_is_named_when_it_fails(void **state)
{
    (void)state;
    json_t *federation = a_federation(json_pack("{s:s}", "url", address("/idp")));
    json_object_set_new(federation, "service_account_impersonation_url", json_string(address("/sa")));
    set_secret(federation);
    script_add((struct step)SAYS("GET /idp", 200, "HIDDEN"));
    script_add((struct step)SAYS("POST /sts", 403, "{\"error\":\"access_denied\"}"));
    assert_error(get(referenced), ERROR_DENIED, false, "exchange of the identity's token: HTTP 403");
    script_add((struct step)SAYS("GET /idp", 200, "HIDDEN"));
    script_add((struct step)SAYS("POST /sts", 200, TOKEN("1")));
    script_add((struct step)SAYS("POST /sa", 403, "{\"error\":{\"status\":\"PERMISSION_DENIED\"}}"));
    assert_error(get(referenced), ERROR_DENIED, false, "impersonation: HTTP 403 PERMISSION_DENIED; grant");
    for (int i = 0; i < 3; i++)
        script_add((struct step)SAYS("GET /idp", 401, "HIDDEN"));
    assert_error(get(referenced), ERROR_DENIED, true, "the identity provider's token: HTTP 401");
    script_assert_done();
}

static void an_impersonating_user(void **state)
{
    (void)state;
    set_secret(json_pack("{s:s, s:s, s:[s], s:o}", "type", "impersonated_service_account",
                         "service_account_impersonation_url", address("/sa"), "delegates", "between",
                         "source_credentials", a_user()));
    script_add((struct step)SAYS("POST /token", 200, TOKEN("1")));
    script_add((struct step)SAYS("POST /sa", 200,
                                 "{\"accessToken\":\"HIDDEN-sa\",\"expireTime\":\"2026-01-01T01:00:00Z\"}"));
    struct result r = get(referenced);
    assert_token(r, "HIDDEN-sa");
    assert_true(r.has_secret_digest);
    assert_string_equal(script.bodies[1],
                        "{\"delegates\":[\"between\"],\"scope\":[\"https://www.googleapis.com/auth/"
                        "devstorage.read_write\"],\"lifetime\":\"3600s\"}");
}

/* ---- services that misbehave ---- */

static void what_passes_is_asked_again(void **state)
{
    (void)state;
    set_secret(a_user());
    script_add((struct step)SAYS("POST /token", 429, ""));
    script_add((struct step)SAYS("POST /token", 400, "{\"error\":\"internal_failure\"}"));
    script_add((struct step)SAYS("POST /token", 200, TOKEN("3")));
    assert_token(get(referenced), "HIDDEN-3");
    script_assert_done();
}

static void but_three_times_only(void **state)
{
    (void)state;
    set_secret(a_user());
    for (int i = 0; i < 3; i++)
        script_add((struct step)SAYS("POST /token", 500, "HIDDEN"));
    assert_error(get(referenced), ERROR_UNREACHABLE, true, "env:TEST_G (a user's login): HTTP 500");
    script_assert_done();
}

static void what_is_final_is_asked_once(void **state)
{
    (void)state;
    set_secret(an_account());
    script_add(
        (struct step)SAYS("POST /token", 400,
                          "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT: Token must "
                          "be a short-lived token\"}"));
    assert_error(get(referenced), ERROR_DENIED, false,
                 "set this machine's clock; it says 2026-01-01T00:00:00Z");
    script_assert_done();
}

static void broken_long_and_missing_answers(void **state)
{
    (void)state;
    set_secret(a_user());
    script_add((struct step){.expect = "POST /token", .status = 200, .body = TOKEN("cut"), .how = BREAK});
    script_add((struct step)SAYS("POST /token", 200, "{\"access_token\":\"HIDDEN"));
    script_add((struct step)SAYS("POST /token", 200, TOKEN("whole")));
    assert_token(get(referenced), "HIDDEN-whole");
    script_assert_done();

    fake_now_ms += HOUR_MS;
    for (int i = 0; i < 3; i++)
        script_add(
            (struct step){.expect = "POST /token", .status = 200, .body = TOKEN("long"), .how = FLOOD});
    assert_error(get(referenced), ERROR_LIMIT, true, "env:TEST_G");

    google_credentials_cache_use(world.cache, &impatient, fake_wall_ms);
    for (int i = 0; i < 3; i++)
        script_add((struct step){.expect = "POST /token", .how = HANG});
    assert_error(get(referenced), ERROR_TIMEOUT, true, "env:TEST_G");
    script_assert_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_service_account_asserts),
        TEST(a_key_that_cannot_sign_asks_nobody),
        TEST(a_user_refreshes),
        TEST(a_file_of_application_default_credentials),
        TEST(the_metadata_server),
        TEST(its_older_variables),
        TEST(another_clouds_metadata_is_nobody),
        TEST(a_silent_metadata_server_is_asked_three_times),
        TEST(nobody_at_its_address),
        TEST(a_file_is_read_at_each_try),
        TEST(files_without_a_token),
        TEST(a_url_and_impersonation),
        TEST(each_step_is_named_when_it_fails),
        TEST(an_impersonating_user),
        TEST(what_passes_is_asked_again),
        TEST(but_three_times_only),
        TEST(what_is_final_is_asked_once),
        TEST(broken_long_and_missing_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
