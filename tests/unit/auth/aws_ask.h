/* Asking for credentials on aws_script.h: one question to its end, and what the services say. */
#pragma once

#include "aws_script.h"

#define KEYS(id, expiration)                                                                                 \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"HIDDEN-" id                      \
    "\",\"Token\":\"HIDDEN-token\",\"Expiration\":\"" expiration "\"}"
#define SAYS(request, code, text)                                                                            \
    {                                                                                                        \
        .expect = request, .status = code, .body = text                                                      \
    }
#define SIX_HOURS "2026-01-01T06:00:00Z"
#define TOKEN "PUT /latest/api/token"
#define ROLE "GET /latest/meta-data/iam/security-credentials/"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS };

struct result {
    int done;
    struct aws_credentials_wait *wait;
    char id[64], secret[64], token[64], source[128];
    int64_t expires_at_ms;
    struct error err;
};

static inline void on_done(void *data, const struct aws_credentials *c, const struct error *err)
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
    snprintf(r->id, sizeof r->id, "%s", c->access_key_id);
    snprintf(r->secret, sizeof r->secret, "%s", c->secret_access_key);
    snprintf(r->token, sizeof r->token, "%s", c->session_token ? c->session_token : "(none)");
    snprintf(r->source, sizeof r->source, "%s", c->source);
    r->expires_at_ms = c->expires_at_ms;
}

static inline void begin(struct result *r, struct aws_credentials_ask ask)
{
    struct error err = {0};
    *r = (struct result){0};
    if (aws_credentials_get(world.cache, &ask, on_done, r, &r->wait, &err))
        fail_msg("%s", err.message);
    assert_int_equal(r->done, 0);
}

static inline void finish(struct result *r)
{
    while (r->done == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_int_equal(r->done, 1);
}

static inline struct result get(struct aws_credentials_ask ask)
{
    struct result r;
    begin(&r, ask);
    finish(&r);
    return r;
}

static const struct aws_credentials_ask chain = {.chain = AWS_CHAIN_FULL};

static inline void assert_id(struct result r, const char *id)
{
    if (r.err.code)
        fail_msg("wanted %s, got: %s", id, r.err.message);
    assert_string_equal(r.id, id);
}

static inline void assert_error(struct result r, int code, bool retryable, const char *words)
{
    if (r.err.code != code || r.err.retryable != retryable || strstr(r.err.message, words) == NULL)
        fail_msg("wanted %s with \"%s\", got %s: %s", error_code_name(code), words,
                 error_code_name(r.err.code), r.err.message);
}

static inline void metadata_gives(const char *body)
{
    script_add((struct step)SAYS(TOKEN, 200, "HIDDEN-session"));
    script_add((struct step)SAYS(ROLE, 200, "backup-role\n"));
    script_add((struct step)SAYS(ROLE "backup-role", 200, body));
}

static inline void be_impatient(void)
{
    aws_credentials_cache_use(world.cache, &impatient, fake_wall_ms);
}

static inline void use_metadata(void)
{
    set_url(AWS_EC2_METADATA_SERVICE_ENDPOINT, "/");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
