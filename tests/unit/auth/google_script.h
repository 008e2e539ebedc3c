/* Google's credentials on service_script.h: a clear environment, one question to its end, and secrets whose
 * addresses are the script's. */
#pragma once

#include <jansson.h>

#include "auth/google_credentials_internal.h"
#include "auth/google_environment.h"
#include "auth/secrets.h"
#include "google_key.h"
#include "service_script.h"

#define SAYS(request, code, text)                                                                            \
    {                                                                                                        \
        .expect = request, .status = code, .body = text                                                      \
    }
#define TOKEN(name) "{\"access_token\":\"HIDDEN-" name "\",\"expires_in\":3600,\"token_type\":\"Bearer\"}"
#define METADATA "GET /computeMetadata/v1/instance/service-accounts/default/token"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };

static struct world {
    uv_loop_t loop;
    struct http_client *http;
    struct secrets *secrets;
    struct google_credentials_cache *cache;
    int closed;
} world;

static int64_t fake_now_ms;

static inline int64_t fake_wall_ms(void)
{
    return fake_now_ms;
}

/* patient: a busy machine may be slow to answer. impatient: for services that don't. */
static const struct google_timing patient = {.metadata_timeout_ms = 20000,
                                             .service_timeout_ms = 20000,
                                             .retry_delay_ms = 1},
                                  impatient = {.metadata_timeout_ms = 300,
                                               .service_timeout_ms = 300,
                                               .retry_delay_ms = 1};

static inline void on_world_closed(void *data)
{
    (void)data;
    world.closed++;
    uv_stop(&world.loop);
}

static inline void world_close_cache(void)
{
    world.closed = 0;
    google_credentials_cache_close(world.cache, on_world_closed, NULL);
    world.cache = NULL;
    assert_int_equal(world.closed, 0);
    while (world.closed == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
}

static inline int world_setup(void **state)
{
    (void)state;
    for (int v = 0; v <= GOOGLE_HOME; v++)
        unsetenv(google_environment_name((enum google_variable)v));
    script_start();
    memset(&world, 0, sizeof world);
    fake_now_ms = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(http_client_new(&world.loop, &(struct http_options){0}, &world.http, NULL), 0);
    struct secrets_options options = {.http = world.http};
    assert_int_equal(secrets_new(&world.loop, &options, &world.secrets, NULL), 0);
    assert_int_equal(google_credentials_cache_new(&world.loop, world.http, world.secrets, &world.cache, NULL),
                     0);
    google_credentials_cache_use(world.cache, &patient, fake_wall_ms);
    return 0;
}

static inline int world_teardown(void **state)
{
    (void)state;
    if (world.cache)
        world_close_cache();
    secrets_close(world.secrets, NULL, NULL);
    http_client_close(world.http, NULL, NULL);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world.loop), 0);
    script_stop();
    unsetenv("TEST_G");
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* ---- one question ---- */

struct result {
    int done;
    struct google_credentials_wait *wait;
    char token[64], source[256], project[64], quota_project[64];
    int64_t expires_at_ms;
    bool has_secret_digest;
    struct error err;
};

static inline void on_done(void *data, const struct google_credentials *c, const struct error *err)
{
    struct result *r = data;
    assert_true((c == NULL) != (err == NULL));
    r->done++;
    uv_stop(&world.loop); /* the turn of the loop that this ends doesn't wait for more */
    if (err) {
        r->err = *err;
        assert_null(strstr(err->message, "HIDDEN"));
        assert_true(err->message[0] != '\0' && err->code < 0);
        return;
    }
    snprintf(r->token, sizeof r->token, "%s", c->access_token);
    snprintf(r->source, sizeof r->source, "%s", c->source);
    snprintf(r->project, sizeof r->project, "%s", c->project ? c->project : "(none)");
    snprintf(r->quota_project, sizeof r->quota_project, "%s", c->quota_project ? c->quota_project : "(none)");
    r->expires_at_ms = c->expires_at_ms;
    r->has_secret_digest = c->has_secret_digest;
}

static inline void begin(struct result *r, struct google_credentials_ask ask)
{
    struct error err = {0};
    *r = (struct result){0};
    if (google_credentials_get(world.cache, &ask, on_done, r, &r->wait, &err))
        fail_msg("%s", err.message);
    assert_int_equal(r->done, 0);
}

static inline void finish(struct result *r)
{
    while (r->done == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_int_equal(r->done, 1);
}

static inline struct result get(struct google_credentials_ask ask)
{
    struct result r;
    begin(&r, ask);
    finish(&r);
    return r;
}

static const struct google_credentials_ask found = {0}, referenced = {.credentials_ref = "env:TEST_G"};

static inline void assert_token(struct result r, const char *token)
{
    if (r.err.code)
        fail_msg("wanted %s, got: %s", token, r.err.message);
    assert_string_equal(r.token, token);
}

static inline void assert_error(struct result r, int code, bool retryable, const char *words)
{
    if (r.err.code != code || r.err.retryable != retryable || strstr(r.err.message, words) == NULL)
        fail_msg("wanted %s with \"%s\", got %s: %s", error_code_name(code), words,
                 error_code_name(r.err.code), r.err.message);
}

/* ---- secrets ---- */

/* Takes the reference. */
static inline void set_secret(json_t *json)
{
    assert_non_null(json);
    char *text = json_dumps(json, JSON_COMPACT);
    setenv("TEST_G", text, 1);
    free(text);
    json_decref(json);
}

static inline const char *address(const char *path)
{
    static char urls[4][160];
    static int next;
    char *url = urls[next++ % 4];
    snprintf(url, sizeof urls[0], "%s%s", script.peer.url, path);
    return url;
}

static inline json_t *an_account(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", "service_account", "client_email",
                     "backup@shop.iam.gserviceaccount.com", "private_key", google_key_pkcs8, "private_key_id",
                     "2f9c1b", "project_id", "shop", "token_uri", address("/token"));
}

static inline json_t *a_user(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", "authorized_user", "client_id", "id.apps",
                     "client_secret", "HIDDEN-s", "refresh_token", "HIDDEN/r+", "quota_project_id", "bill",
                     "token_uri", address("/token"));
}

static inline json_t *a_federation(json_t *source)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "type", "external_account", "audience",
                     "//iam.googleapis.com/p", "subject_token_type", "urn:ietf:params:oauth:token-type:jwt",
                     "token_url", address("/sts"), "credential_source", source);
}

static inline void use_metadata(void)
{
    setenv("GCE_METADATA_HOST", script.peer.url + strlen("http://"), 1);
}

static inline void metadata_says(int status, const char *body)
{
    script_add((struct step){
        .expect = METADATA, .status = status, .body = body, .headers = "Metadata-Flavor: Google\r\n"});
}
