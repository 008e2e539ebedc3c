/* What a referenced secret's text and Azure's chain give, and who is asked for tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "azure_script.h"

/* "HIDDEN-key" and "HIDDEN-other" */
#define KEY "SElEREVOLWtleQ=="
#define OTHER_KEY "SElEREVOLW90aGVy"
#define SAS "sv=2021-12-02&se=2026-01-01T01%3A00%3A00Z&sr=c&sp=rw&sig=HIDDEN%2Fs%3D"

static void wait_taken(int count)
{
    while (script_taken() < count)
        uv_run(&world.loop, UV_RUN_NOWAIT);
}

/* ---- references ---- */

static void a_reference_gives_key_sas_or_token(void **state)
{
    (void)state;
    setenv("TEST_AZ", KEY, 1);
    struct result r = get(referenced);
    assert_secret(r, AZURE_SHARED_KEY, "HIDDEN-key");
    assert_string_equal(r.account, "acc");
    assert_string_equal(r.endpoint, "(none)");
    assert_string_equal(r.source, "env:TEST_AZ");
    assert_int_equal(strlen(r.id), 32);
    setenv("TEST_AZ", "?" SAS, 1);
    fake_now_ms += 5 * SECOND_MS; /* a rotated secret is seen */
    r = get(referenced);
    assert_secret(r, AZURE_SAS, SAS);
    assert_int_equal(r.expires_at_ms, INT64_C(1767225600000) + HOUR_MS);
    setenv("TEST_AZ", "{\"access_token\":\"HIDDEN-t\",\"expires_on\":\"1767232800\"}", 1);
    fake_now_ms += 5 * SECOND_MS;
    r = get(referenced);
    assert_token(r, "HIDDEN-t");
    assert_int_equal(r.expires_at_ms, INT64_C(1767225600000) + 2 * HOUR_MS);
}

static void a_connection_string_says_where(void **state)
{
    (void)state;
    setenv("TEST_AZ",
           "DefaultEndpointsProtocol=https;AccountName=other;AccountKey=" KEY
           ";EndpointSuffix=core.chinacloudapi.cn",
           1);
    struct result r = get((struct azure_credentials_ask){.credentials_ref = "env:TEST_AZ"});
    assert_secret(r, AZURE_SHARED_KEY, "HIDDEN-key");
    assert_string_equal(r.account, "other");
    assert_string_equal(r.endpoint, "https://other.blob.core.chinacloudapi.cn");
    assert_error(get(referenced), ERROR_INPUT, false,
                 "is of account \"other\", the destination's is \"acc\"");
}

static void a_client_s_secret_gets_a_token(void **state)
{
    (void)state;
    set_url(AZURE_AUTHORITY_HOST, "");
    setenv("TEST_AZ",
           "{\"tenant_id\":\"tenant-1\",\"client_id\":\"client-1\",\"client_secret\":\"HIDDEN~s&s\"}", 1);
    script_add((struct step)SAYS(ENTRA, 200, TOKEN("1", "3600")));
    struct result r = get(referenced);
    assert_token(r, "HIDDEN-1");
    assert_string_equal(r.source, "env:TEST_AZ");
    assert_string_equal(r.account, "acc");
    assert_int_equal(r.expires_at_ms, fake_now_ms + HOUR_MS);
    script_assert_done();
    assert_string_equal(script.bodies[0],
                        "client_id=client-1&grant_type=client_credentials&scope=https%3A%2F%2Fstorage.azure."
                        "com%2F.default&client_secret=HIDDEN~s%26s");
    script_assert_head(0, "Content-Type: application/x-www-form-urlencoded");
}

static void an_expired_sas_says_so(void **state)
{
    (void)state;
    setenv("TEST_AZ", SAS, 1);
    fake_now_ms += HOUR_MS;
    assert_error(get(referenced), ERROR_DENIED, true,
                 "this SAS has expired at 2026-01-01T01:00:00Z: make a new one");
}

/* ---- the chain ---- */

static void the_chain_s_order(void **state)
{
    (void)state;
    set(AZURE_STORAGE_CONNECTION_STRING, "AccountName=acc;AccountKey=" KEY);
    set(AZURE_STORAGE_KEY, OTHER_KEY);
    set(AZURE_STORAGE_SAS_TOKEN, SAS);
    use_client_secret();
    struct result r = get(chain);
    assert_secret(r, AZURE_SHARED_KEY, "HIDDEN-key");
    assert_string_equal(r.source, "AZURE_STORAGE_CONNECTION_STRING");
    unsetenv("AZURE_STORAGE_CONNECTION_STRING");
    fake_now_ms += 5 * SECOND_MS;
    r = get(chain);
    assert_secret(r, AZURE_SHARED_KEY, "HIDDEN-other");
    assert_string_equal(r.source, "AZURE_STORAGE_KEY");
    unsetenv("AZURE_STORAGE_KEY");
    fake_now_ms += 5 * SECOND_MS;
    assert_secret(get(chain), AZURE_SAS, SAS);
    unsetenv("AZURE_STORAGE_SAS_TOKEN");
    fake_now_ms += 5 * SECOND_MS;
    script_add((struct step)SAYS(ENTRA, 200, TOKEN("1", "3600")));
    r = get(chain);
    assert_token(r, "HIDDEN-1");
    assert_string_equal(r.source, "AZURE_CLIENT_SECRET");
    script_assert_done();
}

/* What is another account's, or isn't meant because the ask names an identity. */
static void what_does_not_belong_is_passed_over(void **state)
{
    (void)state;
    set(AZURE_STORAGE_CONNECTION_STRING, "AccountName=other;AccountKey=" KEY);
    set(AZURE_STORAGE_ACCOUNT, "other");
    set(AZURE_STORAGE_KEY, KEY);
    set(AZURE_STORAGE_SAS_TOKEN, SAS);
    use_machine();
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("1", "\"3600\"")));
    assert_token(get(chain), "HIDDEN-1");
    script_add((struct step)SAYS(MACHINE "&client_id=me", 200, TOKEN("2", "\"3600\"")));
    assert_token(get((struct azure_credentials_ask){.account = "other", .client_id = "me"}), "HIDDEN-2");
    struct result r = get((struct azure_credentials_ask){.account = "other"});
    assert_secret(r, AZURE_SHARED_KEY, "HIDDEN-key");
    use_client_secret();
    script_add((struct step)SAYS(MACHINE "&client_id=you", 200, TOKEN("3", "\"3600\"")));
    assert_token(get((struct azure_credentials_ask){.account = "other", .client_id = "you"}), "HIDDEN-3");
    script_assert_done();
}

static void workload_identity_reads_its_file_each_time(void **state)
{
    (void)state;
    char file[128];
    snprintf(file, sizeof file, "%s/token", script.home);
    set_url(AZURE_AUTHORITY_HOST, "");
    set(AZURE_TENANT_ID, "tenant-1");
    set(AZURE_CLIENT_ID, "client-1");
    set(AZURE_FEDERATED_TOKEN_FILE, file);
    home_write("token", "HIDDEN.a.b\n");
    script_add((struct step){
        .expect = ENTRA, .status = 503, .body = "", .how = REWRITE, .path = "token", .text = "HIDDEN.c.d"});
    script_add((struct step)SAYS(ENTRA, 200, TOKEN("1", "3600")));
    struct result r = get(chain);
    assert_token(r, "HIDDEN-1");
    assert_string_equal(r.source, "workload identity");
    script_assert_done();
    static const char type[] =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&";
    assert_non_null(strstr(script.bodies[0], type));
    assert_non_null(strstr(script.bodies[0], "client_assertion=HIDDEN.a.b"));
    assert_non_null(strstr(script.bodies[1], "client_assertion=HIDDEN.c.d"));
    home_write("token", "HIDDEN\x01");
    assert_error(get((struct azure_credentials_ask){.account = "two"}), ERROR_INPUT, true,
                 "a control character in the token");
}

static void app_service_has_a_header_of_its_own(void **state)
{
    (void)state;
    set_url(AZURE_IDENTITY_ENDPOINT, "/msi/token");
    set(AZURE_IDENTITY_HEADER, "HIDDEN-header");
    script_add((struct step)SAYS("GET /msi/token?api-version=2019-08-01" RESOURCE, 200,
                                 "{\"access_token\":\"HIDDEN-1\",\"expires_on\":\"1767232800\","
                                 "\"token_type\":\"Bearer\",\"resource\":\"x\"}"));
    struct result r = get(chain);
    assert_token(r, "HIDDEN-1");
    assert_string_equal(r.source, "managed identity (App Service)");
    assert_int_equal(r.expires_at_ms, fake_now_ms + 2 * HOUR_MS);
    script_assert_head(0, "X-IDENTITY-HEADER: HIDDEN-header");
    unsetenv("IDENTITY_HEADER");
    set(AZURE_IMDS_ENDPOINT, "http://127.0.0.1:40342");
    assert_error(get((struct azure_credentials_ask){.account = "two"}), ERROR_UNSUPPORTED, false,
                 "Azure Arc");
}

/* ---- the machine's metadata service ---- */

static void the_machine_is_asked_again_while_it_comes_up(void **state)
{
    (void)state;
    use_machine();
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    static const int statuses[] = {404, 410, 429, 500};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        script_add((struct step)SAYS(MACHINE, statuses[i], ""));
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("1", "\"86399\"")));
    struct result r = get(chain);
    unsetenv("http_proxy");
    assert_token(r, "HIDDEN-1");
    assert_int_equal(r.expires_at_ms, fake_now_ms + 86399 * SECOND_MS);
    script_assert_head(0, "Metadata: true");
    script_assert_done();
    for (int i = 0; i < 5; i++)
        script_add((struct step)SAYS(MACHINE, 429, "{\"error\":\"too_many\"}"));
    assert_error(get((struct azure_credentials_ask){.account = "two"}), ERROR_UNREACHABLE, true,
                 "managed identity (IMDS): HTTP 429 too_many");
    script_assert_done();
}

static void a_service_that_wants_long_rest_is_left_alone(void **state)
{
    (void)state;
    use_machine();
    script_add(
        (struct step){.expect = MACHINE, .status = 429, .body = "", .headers = "Retry-After: 300\r\n"});
    struct result r = get(chain);
    assert_error(r, ERROR_UNREACHABLE, true, "HTTP 429");
    assert_int_equal(r.err.retry_after_ms, 300 * SECOND_MS);
    script_assert_done();
}

static void no_identity_lists_where_was_looked(void **state)
{
    (void)state;
    use_machine();
    script_add(
        (struct step)SAYS(MACHINE, 400, "{\"error\":\"invalid_request\",\"error_description\":\"HIDDEN\"}"));
    struct result r = get(chain);
    assert_error(r, ERROR_DENIED, false, "looked at AZURE_STORAGE_CONNECTION_STRING (not set)");
    assert_error(r, ERROR_DENIED, false, "HTTP 400 invalid_request: no such identity here");
    assert_error(r, ERROR_DENIED, false, "set credentials_ref");
    set(AZURE_POD_IDENTITY_AUTHORITY_HOST, "http://127.0.0.1:1"); /* nobody there: one try */
    set(AZURE_CLIENT_SECRET, "HIDDEN");
    r = get(chain);
    assert_error(r, ERROR_DENIED, false, "managed identity (IMDS: not reachable)");
    assert_error(r, ERROR_DENIED, false, "AZURE_CLIENT_SECRET (without AZURE_CLIENT_ID and AZURE_TENANT_ID)");
    script_assert_done();
}

static void a_machine_that_is_slow_is_not_taken_for_none(void **state)
{
    (void)state;
    use_machine();
    azure_credentials_cache_use(world.cache, &impatient, fake_wall_ms);
    script_add((struct step){.expect = MACHINE, .how = HANG});
    assert_error(get(chain), ERROR_TIMEOUT, true, "managed identity (IMDS)");
    script_assert_done();
}

/* ---- what services say ---- */

static void answers_that_are_none(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum step_how how;
        int tries, code;
        bool retryable;
        const char *words;
    } cases[] = {
        {200, "<html>", ANSWER, 3, ERROR_PROTOCOL, true, "isn't a JSON object"},
        {200, "{\"token_type\":\"Bearer\",\"expires_in\":1}", ANSWER, 3, ERROR_PROTOCOL, true,
         "no access token"},
        {200, "{\"access_token\":\"HIDDEN\"}", ANSWER, 3, ERROR_PROTOCOL, true, "until when"},
        {200, "", BREAK, 3, ERROR_UNREACHABLE, true, "AZURE_CLIENT_SECRET"},
        {200, "", FLOOD, 3, ERROR_LIMIT, true, "longer than"},
        {503, "{\"error\":\"temporarily_unavailable\"}", ANSWER, 3, ERROR_UNREACHABLE, true, "HTTP 503"},
        {401, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000222: HIDDEN\"}", ANSWER, 1,
         ERROR_DENIED, false, "HTTP 401 invalid_client, AADSTS7000222: the client secret has expired"},
        {400, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS700024: HIDDEN\"}", ANSWER, 3,
         ERROR_DENIED, true, "is this machine's clock right?"},
        {404, "", ANSWER, 1, ERROR_DENIED, false, "HTTP 404 without an error code"},
        {400, "{\"error\":\"HIDDEN-1\"}", ANSWER, 1, ERROR_DENIED, false, "HTTP 400 without an error code"},
    };
    use_client_secret();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int t = 0; t < cases[i].tries; t++)
            script_add((struct step){
                .expect = ENTRA, .status = cases[i].status, .body = cases[i].body, .how = cases[i].how});
        assert_error(get(chain), cases[i].code, cases[i].retryable, cases[i].words);
        script_assert_done();
    }
}

static void tokens_are_fetched_anew_from_half_their_life(void **state)
{
    (void)state;
    use_machine();
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("1", "\"7200\"")));
    assert_token(get(chain), "HIDDEN-1");
    fake_now_ms += HOUR_MS - 1;
    assert_token(get(chain), "HIDDEN-1");
    script_assert_done();
    fake_now_ms += 1;
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("2", "\"7200\"")));
    assert_token(get(chain), "HIDDEN-1");
    wait_taken(2);
    struct result r;
    do
        r = get(chain);
    while (strcmp(r.secret, "HIDDEN-1") == 0);
    assert_token(r, "HIDDEN-2");
    fake_now_ms += 2 * HOUR_MS - 5 * MINUTE_MS; /* too old: waited for */
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("3", "\"7200\"")));
    assert_token(get(chain), "HIDDEN-3");
    script_assert_done();
}

static void a_refused_token_is_fetched_anew_once(void **state)
{
    (void)state;
    use_machine();
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("1", "\"7200\"")));
    struct result r = get(chain);
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("2", "\"7200\"")));
    for (int i = 0; i < 3; i++)
        azure_credentials_expired(world.cache, &chain, r.id);
    assert_token(get(chain), "HIDDEN-2");
    azure_credentials_expired(world.cache, &chain, r.id);
    assert_token(get(chain), "HIDDEN-2");
    script_assert_done();
}

static void a_rotated_secret_is_seen_after_a_complaint(void **state)
{
    (void)state;
    setenv("TEST_AZ", KEY, 1);
    struct result r = get(referenced);
    setenv("TEST_AZ", OTHER_KEY, 1);
    azure_credentials_expired(world.cache, &referenced, r.id);
    assert_secret(get(referenced), AZURE_SHARED_KEY, "HIDDEN-other");
}

/* ---- plain http ---- */

static void tokens_do_not_go_over_plain_http(void **state)
{
    (void)state;
    static const struct azure_credentials_ask plain = {.account = "acc", .endpoint = "http://store.example"},
                                              here = {.account = "acc",
                                                      .endpoint = "http://127.0.0.1:10000/acc"};
    use_machine();
    assert_error(get(plain), ERROR_INPUT, false, "isn't sent over plain http"); /* nor asked for */
    script_assert_done();
    script_add((struct step)SAYS(MACHINE, 200, TOKEN("1", "\"7200\"")));
    assert_token(get(here), "HIDDEN-1");
    set(AZURE_STORAGE_KEY, KEY); /* never travels */
    fake_now_ms += 5 * SECOND_MS;
    assert_secret(get(plain), AZURE_SHARED_KEY, "HIDDEN-key");
    script_assert_done();
}

static void addresses_that_secrets_are_not_sent_to(void **state)
{
    (void)state;
    use_client_secret();
    static const char *const wrong[] = {"http://login.example", "login.example", "https://u:p@login.example",
                                        "https://login.example?x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        set(AZURE_AUTHORITY_HOST, wrong[i]);
        assert_error(get(chain), ERROR_INPUT, false, "AZURE_AUTHORITY_HOST: must be https://HOST");
    }
    set(AZURE_TENANT_ID, "../x");
    assert_error(get(chain), ERROR_INPUT, false, "can't be one");
}

/* ---- the end ---- */

static void closing_tells_everybody(void **state)
{
    (void)state;
    struct result waiting[2];
    use_machine();
    script_add((struct step){.expect = MACHINE, .how = HANG});
    begin(&waiting[0], chain);
    begin(&waiting[1], chain);
    wait_taken(1);
    world_close_cache();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waiting[i].done, 1);
        assert_int_equal(waiting[i].err.code, ERROR_CANCELLED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reference_gives_key_sas_or_token),
        TEST(a_connection_string_says_where),
        TEST(a_client_s_secret_gets_a_token),
        TEST(an_expired_sas_says_so),
        TEST(the_chain_s_order),
        TEST(what_does_not_belong_is_passed_over),
        TEST(workload_identity_reads_its_file_each_time),
        TEST(app_service_has_a_header_of_its_own),
        TEST(the_machine_is_asked_again_while_it_comes_up),
        TEST(a_service_that_wants_long_rest_is_left_alone),
        TEST(no_identity_lists_where_was_looked),
        TEST(a_machine_that_is_slow_is_not_taken_for_none),
        TEST(answers_that_are_none),
        TEST(tokens_are_fetched_anew_from_half_their_life),
        TEST(a_refused_token_is_fetched_anew_once),
        TEST(a_rotated_secret_is_seen_after_a_complaint),
        TEST(tokens_do_not_go_over_plain_http),
        TEST(addresses_that_secrets_are_not_sent_to),
        TEST(closing_tells_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
