/* Every kind of source against tests/fakes/credential_server.py, which verifies assertions, forms and headers
 * by code of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "credential_server.h"
#include "google_script.h"

#define TARGET "/v1/projects/-/serviceAccounts/target@project.iam.gserviceaccount.com:generateAccessToken"

static int64_t skew_ms;

static int64_t skewed_wall_ms(void)
{
    return clock_wall_ms() + skew_ms;
}

static int setup(void **state)
{
    int rc = world_setup(state);
    skew_ms = 0;
    google_credentials_cache_use(world.cache, &google_timing_default, skewed_wall_ms);
    server_start();
    return rc;
}

static int teardown(void **state)
{
    int rc = world_teardown(state);
    server_stop();
    return rc;
}

static const char *at(const char *path)
{
    static char urls[2][256];
    static int next;
    char *url = urls[next++ % 2];
    snprintf(url, sizeof urls[0], "%s%s", server.url, path);
    return url;
}

/* ---- the control port ---- */

static void on_control(void *data, const struct http_response *response, const struct error *err)
{
    json_t **answer = data;
    if (response == NULL)
        fail_msg("%s", err->message);
    *answer = json_loadb(response->body, response->body_size, JSON_DECODE_ANY, NULL);
    assert_int_equal(response->status, 200);
    assert_non_null(*answer);
    uv_stop(&world.loop);
}

/* Takes the reference to body. */
static json_t *control(const char *method, const char *path, json_t *body)
{
    char url[128];
    json_t *answer = NULL;
    char *text = json_dumps(body, 0);
    snprintf(url, sizeof url, "%s%s", server.control, path);
    const struct http_ask ask = {.method = method,
                                 .url = url,
                                 .body = text,
                                 .body_fd = -1,
                                 .body_size = strlen(text),
                                 .done = on_control,
                                 .data = &answer};
    assert_int_equal(http_start(world.http, &ask, NULL, NULL), 0);
    while (answer == NULL)
        uv_run(&world.loop, UV_RUN_ONCE);
    free(text);
    json_decref(body);
    return answer;
}

/* The last token that was issued: for what, to whom, with which scopes. */
static void assert_issued(struct result r, const char *operation, const char *account, const char *scopes)
{
    if (r.err.code)
        fail_msg("%s", r.err.message);
    json_t *state = control("GET", "/state", json_object());
    const json_t *log = json_object_get(state, "google_issued");
    const json_t *line = json_array_get(log, json_array_size(log) - 1);
    assert_string_equal(json_string_value(json_object_get(line, "operation")), operation);
    assert_string_equal(json_string_value(json_object_get(line, "account")), account);
    char *text = json_dumps(json_object_get(line, "scopes"), JSON_COMPACT);
    assert_string_equal(text, scopes);
    free(text);
    json_decref(state);
}

#define READ_WRITE "[\"https://www.googleapis.com/auth/devstorage.read_write\"]"
#define FULL_CONTROL "[\"https://www.googleapis.com/auth/devstorage.full_control\"]"

static json_t *make_account(void)
{
    return control("POST", "/google/service-account",
                   json_pack("{s:s, s:s}", "token_uri", at("/token"), "email", "backup@project"));
}

static json_t *user(const char *refresh_token)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "authorized_user", "client_id", "client",
                     "client_secret", "client-secret", "refresh_token", refresh_token, "token_uri",
                     at("/token"));
}

/* ---- the kinds ---- */

static void a_service_account(void **state)
{
    (void)state;
    struct google_credentials_ask full = {.credentials_ref = "env:TEST_G",
                                          .scope = GOOGLE_SCOPE_FULL_CONTROL};
    json_t *account = make_account();
    set_secret(json_incref(account));
    assert_issued(get(referenced), "ExchangeAssertion", "backup@project", READ_WRITE);
    assert_issued(get(full), "ExchangeAssertion", "backup@project", FULL_CONTROL);

    json_decref(control("DELETE", "/google/service-account",
                        json_pack("{s:s, s:O}", "email", "backup@project", "key_id",
                                  json_object_get(account, "private_key_id"))));
    json_decref(account);
    assert_int_equal(get(referenced).err.code, 0); /* kept */
    skew_ms += HOUR_MS;
    assert_error(get(referenced), ERROR_DENIED, false, "the key was deleted");
    json_decref(control("DELETE", "/google/service-account", json_pack("{s:s}", "email", "backup@project")));
    assert_error(get(referenced), ERROR_DENIED, false, "the service account was deleted");
}

static void a_clock_that_is_wrong(void **state)
{
    (void)state;
    set_secret(make_account());
    skew_ms = INT64_C(2) * HOUR_MS;
    assert_error(get(referenced), ERROR_DENIED, false, "set this machine's clock; it says 2");
    skew_ms = -skew_ms;
    assert_error(get(referenced), ERROR_DENIED, false, "set this machine's clock; it says 2");
}

static void a_login(void **state)
{
    (void)state;
    set_secret(user("refresh-token"));
    assert_issued(get(referenced), "RefreshAccessToken", "user",
                  "[\"https://www.googleapis.com/auth/cloud-platform\"]");
    set_secret(user("revoked"));
    skew_ms += HOUR_MS;
    assert_error(get(referenced), ERROR_DENIED, false, "gcloud auth application-default login");
}

static void the_machine(void **state)
{
    (void)state;
    setenv("GCE_METADATA_HOST", server.url + strlen("http://"), 1);
    assert_issued(get(found), "MetadataToken", "machine@project.iam.gserviceaccount.com", READ_WRITE);
    skew_ms += HOUR_MS;
    json_decref(control("POST", "/settings", json_pack("{s:{s:n}}", "google", "account")));
    assert_error(get(found), ERROR_DENIED, false, "the machine has no service account");
    json_decref(control("POST", "/settings", json_pack("{s:{s:n}}", "google", "flavor")));
    assert_error(get(found), ERROR_DENIED, false, "isn't Google's");
}

static json_t *federation(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "type", "external_account", "audience",
                     "//iam.googleapis.com/pool/provider", "subject_token_type",
                     "urn:ietf:params:oauth:token-type:jwt", "token_url", at("/v1/token"),
                     "credential_source", "url", at("/subject-token"));
}

static void identities_of_another_provider(void **state)
{
    (void)state;
    set_secret(federation());
    assert_issued(get(referenced), "ExchangeToken", "federated", READ_WRITE);

    json_t *impersonating = federation();
    json_object_set_new(impersonating, "service_account_impersonation_url", json_string(at(TARGET)));
    set_secret(impersonating);
    skew_ms += HOUR_MS; /* a token of the server's time ends in this one's past */
    assert_error(get(referenced), ERROR_DENIED, true, "is this machine's clock right?");
    skew_ms = 0;
    assert_issued(get(referenced), "GenerateAccessToken", "target@project.iam.gserviceaccount.com",
                  READ_WRITE);
}

static void an_impersonating_account(void **state)
{
    (void)state;
    set_secret(json_pack("{s:s, s:s, s:o}", "type", "impersonated_service_account",
                         "service_account_impersonation_url", at(TARGET), "source_credentials",
                         make_account()));
    assert_issued(get(referenced), "GenerateAccessToken", "target@project.iam.gserviceaccount.com",
                  READ_WRITE);
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(a_service_account), SERVED(a_clock_that_is_wrong),          SERVED(a_login),
        SERVED(the_machine),       SERVED(identities_of_another_provider), SERVED(an_impersonating_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
