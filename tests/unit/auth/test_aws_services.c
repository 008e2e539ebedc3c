/* The whole chain against tests/fakes/credential_server.py, which verifies signatures by code of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/aws_secrets_manager.h"
#include "aws_script.h"
#include "base/clock.h"
#include "credential_server.h"

static int setup(void **state)
{
    int rc = world_setup(state);
    aws_credentials_cache_use(world.cache, &aws_timing_default, clock_wall_ms);
    server_start();
    return rc;
}

static int teardown(void **state)
{
    int rc = world_teardown(state);
    server_stop();
    return rc;
}

struct result {
    int done;
    char id[64], source[128], text[256];
    struct error err;
};

static void on_credentials(void *data, const struct aws_credentials *c, const struct error *err)
{
    struct result *r = data;
    r->done++;
    uv_stop(&world.loop);
    if (err)
        r->err = *err;
    else {
        snprintf(r->id, sizeof r->id, "%s", c->access_key_id);
        snprintf(r->source, sizeof r->source, "%s", c->source);
    }
}

static void on_text(void *data, const char *text, const struct error *err)
{
    struct result *r = data;
    r->done++;
    uv_stop(&world.loop);
    if (err)
        r->err = *err;
    else
        snprintf(r->text, sizeof r->text, "%s", text);
}

static void finish(struct result *r)
{
    while (r->done == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
}

static struct result get(struct aws_credentials_ask ask)
{
    struct result r = {0};
    struct aws_credentials_wait *wait;
    assert_int_equal(aws_credentials_get(world.cache, &ask, on_credentials, &r, &wait, NULL), 0);
    finish(&r);
    return r;
}

static void assert_issued(struct result r, const char *source)
{
    if (r.err.code)
        fail_msg("%s", r.err.message);
    assert_int_equal(strncmp(r.id, "ASIAFAKE", 8), 0);
    assert_string_equal(r.source, source);
}

static void set_server(enum aws_variable variable, const char *path)
{
    char url[160];
    snprintf(url, sizeof url, "%s%s", server.url, path);
    set(variable, url);
}

static void instance_metadata(void **state)
{
    (void)state;
    set_server(AWS_EC2_METADATA_SERVICE_ENDPOINT, "");
    assert_issued(get((struct aws_credentials_ask){0}), "instance metadata");
}

static void container(void **state)
{
    (void)state;
    set_server(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/v2/credentials/task");
    assert_issued(get((struct aws_credentials_ask){0}), "container credentials");
}

static void web_identity(void **state)
{
    (void)state;
    set_server(AWS_ENDPOINT_URL_STS, "");
    set(AWS_ROLE_ARN, "arn:aws:iam::123456789012:role/pod");
    set_home_path(AWS_WEB_IDENTITY_TOKEN_FILE, "token");
    home_write("token", "web-token\n");
    assert_issued(get((struct aws_credentials_ask){0}), "web identity by STS");
}

static void write_role(const char *secret)
{
    char config[512];
    snprintf(config, sizeof config,
             "[profile backup]\nrole_arn = arn:aws:iam::123456789012:role/backup\nsource_profile = base\n"
             "[profile base]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = %s\n",
             secret);
    home_write(".aws/config", config);
}

static void signed_role(void **state)
{
    (void)state;
    struct aws_credentials_ask ask = {.profile = "backup", .region = "us-east-1"};
    set_server(AWS_ENDPOINT_URL_STS, "/");
    write_role("fake-secret");
    assert_issued(get(ask), "profile backup, role by STS");
    ask.region = ""; /* another question, not the one kept */
    write_role("wrong-secret");
    struct result r = get(ask);
    assert_int_equal(r.err.code, ERROR_DENIED);
    assert_non_null(strstr(r.err.message, "SignatureDoesNotMatch"));
    assert_null(strstr(r.err.message, "wrong-secret"));
}

static void secrets_manager(void **state)
{
    (void)state;
    struct result r = {0};
    struct aws_secrets_manager_fetch *fetch;
    set_server(AWS_ENDPOINT_URL, "");
    set(AWS_REGION, "us-east-1");
    set(AWS_ACCESS_KEY_ID, "AKIAFAKE");
    set(AWS_SECRET_ACCESS_KEY, "fake-secret");
    assert_int_equal(
        aws_secrets_manager_get(&world.loop, world.http, world.cache, "backup/s3", on_text, &r, &fetch, NULL),
        0);
    finish(&r);
    if (r.err.code)
        fail_msg("%s", r.err.message);
    assert_non_null(strstr(r.text, "AKIAFAKE"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(instance_metadata), TEST(container),       TEST(web_identity),
        TEST(signed_role),       TEST(secrets_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
