#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "auth/aws_secrets_manager.h"
#include "aws_script.h"

#define SAYS(code, text)                                                                                     \
    {                                                                                                        \
        .expect = "POST /", .status = code, .body = text                                                     \
    }

struct result {
    int done;
    char text[128];
    struct error err;
};

static void on_done(void *data, const char *text, const struct error *err)
{
    struct result *r = data;
    assert_true((text == NULL) != (err == NULL));
    r->done++;
    uv_stop(&world.loop);
    if (err) {
        r->err = *err;
        assert_null(strstr(err->message, "HIDDEN"));
    } else
        snprintf(r->text, sizeof r->text, "%s", text);
}

static struct aws_secrets_manager_fetch *begin(struct result *r, const char *id)
{
    struct aws_secrets_manager_fetch *fetch;
    *r = (struct result){0};
    assert_int_equal(
        aws_secrets_manager_get(&world.loop, world.http, world.cache, id, on_done, r, &fetch, NULL), 0);
    assert_int_equal(r->done, 0);
    return fetch;
}

static struct result get(const char *id)
{
    struct result r;
    begin(&r, id);
    while (r.done == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_int_equal(r.done, 1);
    return r;
}

static void use_environment(void)
{
    set_url(AWS_ENDPOINT_URL_SECRETS_MANAGER, "");
    set(AWS_ACCESS_KEY_ID, "AKIAENV");
    set(AWS_SECRET_ACCESS_KEY, "HIDDEN-env");
    set(AWS_SESSION_TOKEN, "HIDDEN-token");
    set(AWS_REGION, "eu-west-1");
}

static void assert_text(struct result r, const char *text)
{
    if (r.err.code)
        fail_msg("%s", r.err.message);
    assert_string_equal(r.text, text);
}

static void assert_error(struct result r, int code, bool retryable, const char *words)
{
    if (r.err.code != code || r.err.retryable != retryable || strstr(r.err.message, words) == NULL)
        fail_msg("wanted %s with \"%s\", got %s: %s", error_code_name(code), words,
                 error_code_name(r.err.code), r.err.message);
}

static void a_secret_is_fetched_signed(void **state)
{
    (void)state;
    use_environment();
    script_add((struct step)SAYS(200, "{\"Name\":\"a\",\"SecretString\":\"HIDDEN {\\\"k\\\":1}\"}"));
    assert_text(get("backup/\"s3\""), "HIDDEN {\"k\":1}");
    script_assert_done();
    script_assert_head(0, "\r\nContent-Type: application/x-amz-json-1.1\r\n");
    script_assert_head(0, "\r\nX-Amz-Target: secretsmanager.GetSecretValue\r\n");
    script_assert_head(0, "\r\nX-Amz-Security-Token: HIDDEN-token\r\n");
    script_assert_head(0, "/eu-west-1/secretsmanager/aws4_request, "
                          "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, ");
    assert_string_equal(script.bodies[0], "{\"SecretId\":\"backup/\\\"s3\\\"\"}");
}

static void an_arn_names_its_region(void **state)
{
    (void)state;
    use_environment();
    script_add((struct step)SAYS(200, "{\"SecretBinary\":\"SElEREVO\"}"));
    assert_text(get("arn:aws:secretsmanager:us-west-2:1:secret:a-X"), "HIDDEN");
    script_assert_head(0, "/us-west-2/secretsmanager/aws4_request");
    unsetenv("AWS_REGION");
    home_write(".aws/config", "[default]\nregion = ap-south-1\n");
    script_add((struct step)SAYS(200, "{\"SecretString\":\"HIDDEN\"}"));
    assert_text(get("a"), "HIDDEN");
    script_assert_head(1, "/ap-south-1/secretsmanager/aws4_request");
    home_write(".aws/config", "");
    assert_error(get("a"), ERROR_INPUT, false, "Set AWS_REGION");
    assert_error(get("arn:aws:secretsmanager::1:secret:a"), ERROR_INPUT, false, "region");
    assert_error(get(""), ERROR_INPUT, false, "1 to 2048 bytes");
    unsetenv("AWS_ENDPOINT_URL_SECRETS_MANAGER");
    assert_error(get("arn:aws:secretsmanager:evil.example/:1:secret:a"), ERROR_INPUT, false,
                 "not a region's name");
    script_assert_done();
}

static void what_is_no_secret(void **state)
{
    (void)state;
    static const struct {
        struct step step;
        int times;
        int code;
        bool retryable;
        const char *words;
    } cases[] = {
        {SAYS(400, "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"HIDDEN\"}"), 1, ERROR_NOT_FOUND,
         true, "AWS Secrets Manager, a: HTTP 400 ResourceNotFoundException"},
        {SAYS(400, "{\"__type\":\"com.amazonaws#AccessDeniedException\"}"), 1, ERROR_DENIED, true,
         "HTTP 400 AccessDeniedException"},
        {SAYS(400, "{\"__type\":\"DecryptionFailure\"}"), 1, ERROR_DENIED, true, "DecryptionFailure"},
        {SAYS(400, "{\"__type\":\"ThrottlingException\"}"), 3, ERROR_UNREACHABLE, true,
         "ThrottlingException"},
        {SAYS(500, "{\"__type\":\"InternalServiceError\"}"), 3, ERROR_UNREACHABLE, true,
         "InternalServiceError"},
        {SAYS(503, "<html>HIDDEN"), 3, ERROR_UNREACHABLE, true, "HTTP 503 without an error code"},
        {SAYS(200, "{\"HIDDEN\":1}"), 3, ERROR_PROTOCOL, true, "holds no secret"},
        {SAYS(200, "HIDDEN"), 3, ERROR_PROTOCOL, true, "holds no secret"},
        {SAYS(200, "{\"SecretBinary\":\"HIDDEN*\"}"), 3, ERROR_PROTOCOL, true, "base64"},
        {SAYS(200, "{\"SecretBinary\":\"AAAA\"}"), 1, ERROR_INPUT, false, "zero byte"},
    };
    use_environment();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int n = 0; n < cases[i].times; n++)
            script_add(cases[i].step);
        assert_error(get("a"), cases[i].code, cases[i].retryable, cases[i].words);
        script_assert_done();
    }
}

static void expired_credentials_are_fetched_anew_once(void **state)
{
    (void)state;
    static const struct step expired = SAYS(400, "{\"__type\":\"ExpiredTokenException\"}");
    use_environment();
    script_add((struct step){.expect = "POST /",
                             .status = 400,
                             .body = expired.body,
                             .how = REWRITE,
                             .path = ".aws/credentials",
                             .text = "[p]\naws_access_key_id=AKIANEW\naws_secret_access_key=HIDDEN\n"});
    script_add((struct step)SAYS(200, "{\"SecretString\":\"HIDDEN\"}"));
    set(AWS_PROFILE, "p");
    home_write(".aws/credentials", "[p]\naws_access_key_id=AKIAOLD\naws_secret_access_key=HIDDEN\n");
    assert_text(get("a"), "HIDDEN");
    script_assert_head(0, "Credential=AKIAOLD/");
    script_assert_head(1, "Credential=AKIANEW/");
    script_add(expired);
    script_add(expired);
    assert_error(get("a"), ERROR_DENIED, true, "ExpiredTokenException");
    script_assert_done();
}

static void no_credentials_are_an_error_of_the_secret(void **state)
{
    (void)state;
    set(AWS_EC2_METADATA_DISABLED, "true");
    set(AWS_REGION, "eu-west-1");
    assert_error(get("a"), ERROR_DENIED, false, "AWS Secrets Manager, a: no AWS credentials");
}

static void cancelling_ends_it_at_any_time(void **state)
{
    (void)state;
    use_environment();
    for (int turns = 0; turns < 12; turns++) {
        struct result r;
        script_add((struct step){.expect = "POST /", .how = HANG});
        struct aws_secrets_manager_fetch *fetch = begin(&r, "a");
        for (int i = 0; i < turns; i++)
            uv_run(&world.loop, UV_RUN_NOWAIT);
        aws_secrets_manager_cancel(fetch);
        assert_int_equal(r.done, 0);
        while (r.done == 0)
            uv_run(&world.loop, UV_RUN_ONCE);
        assert_int_equal(r.err.code, ERROR_CANCELLED);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_secret_is_fetched_signed),
        TEST(an_arn_names_its_region),
        TEST(what_is_no_secret),
        TEST(expired_credentials_are_fetched_anew_once),
        TEST(no_credentials_are_an_error_of_the_secret),
        TEST(cancelling_ends_it_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
