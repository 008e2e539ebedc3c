/* Azure's credentials on service_script.h: a clear environment, one question to its end. */
#pragma once

#include "auth/azure_credentials_internal.h"
#include "auth/azure_environment.h"
#include "auth/secrets.h"
#include "service_script.h"

#define SAYS(request, code, text)                                                                            \
    {                                                                                                        \
        .expect = request, .status = code, .body = text                                                      \
    }
#define RESOURCE "&resource=https%3A%2F%2Fstorage.azure.com%2F"
#define MACHINE "GET /metadata/identity/oauth2/token?api-version=2018-02-01" RESOURCE
#define ENTRA "POST /tenant-1/oauth2/v2.0/token"
#define TOKEN(name, expires_in)                                                                              \
    "{\"access_token\":\"HIDDEN-" name "\",\"expires_in\":" expires_in ",\"token_type\":\"Bearer\"}"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };

static struct world {
    uv_loop_t loop;
    struct http_client *http;
    struct secrets *secrets;
    struct azure_credentials_cache *cache;
    int closed;
} world;

static int64_t fake_now_ms;

static inline int64_t fake_wall_ms(void)
{
    return fake_now_ms;
}

/* patient: a busy machine may be slow to answer. impatient: for services that don't. */
static const struct azure_timing patient = {.connect_timeout_ms = 20000,
                                            .managed_timeout_ms = 20000,
                                            .service_timeout_ms = 20000,
                                            .retry_delay_ms = 1,
                                            .retry_delay_max_ms = 4},
                                 impatient = {.connect_timeout_ms = 300,
                                              .managed_timeout_ms = 300,
                                              .service_timeout_ms = 300,
                                              .retry_delay_ms = 1,
                                              .retry_delay_max_ms = 4};

static inline void on_world_closed(void *data)
{
    (void)data;
    world.closed++;
    uv_stop(&world.loop);
}

static inline void world_close_cache(void)
{
    world.closed = 0;
    azure_credentials_cache_close(world.cache, on_world_closed, NULL);
    world.cache = NULL;
    assert_int_equal(world.closed, 0);
    while (world.closed == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
}

static inline int world_setup(void **state)
{
    (void)state;
    for (int v = 0; v < AZURE_VARIABLES; v++)
        unsetenv(azure_environment_name((enum azure_variable)v));
    script_start();
    memset(&world, 0, sizeof world);
    fake_now_ms = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */
    assert_int_equal(uv_loop_init(&world.loop), 0);
    assert_int_equal(http_client_new(&world.loop, &(struct http_options){0}, &world.http, NULL), 0);
    struct secrets_options options = {.http = world.http};
    assert_int_equal(secrets_new(&world.loop, &options, &world.secrets, NULL), 0);
    assert_int_equal(azure_credentials_cache_new(&world.loop, world.http, world.secrets, &world.cache, NULL),
                     0);
    azure_credentials_cache_use(world.cache, &patient, fake_wall_ms);
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
    unsetenv("TEST_AZ");
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* ---- one question ---- */

struct result {
    int done;
    struct azure_credentials_wait *wait;
    enum azure_credentials_kind kind;
    char account[64], secret[128], endpoint[128], source[128], id[AZURE_CREDENTIALS_ID_SIZE];
    int64_t expires_at_ms;
    struct error err;
};

static inline void on_done(void *data, const struct azure_credentials *c, const struct error *err)
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
    const char *secret = c->kind == AZURE_SAS ? c->sas : c->token;
    if (c->kind == AZURE_SHARED_KEY)
        snprintf(r->secret, sizeof r->secret, "%.*s", (int)c->key_size, (const char *)c->key);
    else
        snprintf(r->secret, sizeof r->secret, "%s", secret);
    r->kind = c->kind;
    snprintf(r->account, sizeof r->account, "%s", c->account ? c->account : "(none)");
    snprintf(r->endpoint, sizeof r->endpoint, "%s", c->endpoint ? c->endpoint : "(none)");
    snprintf(r->source, sizeof r->source, "%s", c->source);
    snprintf(r->id, sizeof r->id, "%s", c->id);
    r->expires_at_ms = c->expires_at_ms;
}

static inline void begin(struct result *r, struct azure_credentials_ask ask)
{
    struct error err = {0};
    *r = (struct result){0};
    if (azure_credentials_get(world.cache, &ask, on_done, r, &r->wait, &err))
        fail_msg("%s", err.message);
    assert_int_equal(r->done, 0);
}

static inline void finish(struct result *r)
{
    while (r->done == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_int_equal(r->done, 1);
}

static inline struct result get(struct azure_credentials_ask ask)
{
    struct result r;
    begin(&r, ask);
    finish(&r);
    return r;
}

static const struct azure_credentials_ask chain = {.account = "acc"},
                                          referenced = {.credentials_ref = "env:TEST_AZ", .account = "acc"};

static inline void assert_secret(struct result r, enum azure_credentials_kind kind, const char *secret)
{
    if (r.err.code)
        fail_msg("wanted %s, got: %s", secret, r.err.message);
    assert_int_equal(r.kind, kind);
    assert_string_equal(r.secret, secret);
}

static inline void assert_token(struct result r, const char *token)
{
    assert_secret(r, AZURE_BEARER, token);
}

static inline void assert_error(struct result r, int code, bool retryable, const char *words)
{
    if (r.err.code != code || r.err.retryable != retryable || strstr(r.err.message, words) == NULL)
        fail_msg("wanted %s with \"%s\", got %s: %s", error_code_name(code), words,
                 error_code_name(r.err.code), r.err.message);
}

static inline void set(enum azure_variable variable, const char *value)
{
    setenv(azure_environment_name(variable), value, 1);
}

static inline void set_url(enum azure_variable variable, const char *path)
{
    char url[160];
    snprintf(url, sizeof url, "%s%s", script.peer.url, path);
    set(variable, url);
}

static inline void use_machine(void)
{
    set_url(AZURE_POD_IDENTITY_AUTHORITY_HOST, "");
}

static inline void use_client_secret(void)
{
    set_url(AZURE_AUTHORITY_HOST, "/");
    set(AZURE_TENANT_ID, "tenant-1");
    set(AZURE_CLIENT_ID, "client-1");
    set(AZURE_CLIENT_SECRET, "HIDDEN~s&s");
}
