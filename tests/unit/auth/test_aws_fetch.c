/* The chain from its beginning to each place that gives credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "auth/sigv4.h"
#include "aws_ask.h"
#include "base/digest.h"

#define STS(action, id, expiration)                                                                          \
    "<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action                       \
    "Result><Credentials><AccessKeyId>" id "</AccessKeyId><SecretAccessKey>HIDDEN-" id                       \
    "</SecretAccessKey><SessionToken>HIDDEN-token</SessionToken><Expiration>" expiration                     \
    "</Expiration></Credentials></" action "Result></" action "Response>"
#define STS_ERROR(code)                                                                                      \
    "<ErrorResponse><Error><Type>Sender</Type><Code>" code                                                   \
    "</Code><Message>HIDDEN</Message></Error></ErrorResponse>"

static const struct aws_credentials_ask no_network = {.chain = AWS_CHAIN_ENVIRONMENT_FILES};

/* ---- environment and files ---- */

static void the_environment_comes_first(void **state)
{
    (void)state;
    set(AWS_ACCESS_KEY_ID, "AKIAENV");
    set(AWS_SECRET_ACCESS_KEY, "HIDDEN-env");
    home_write(".aws/credentials", "[default]\naws_access_key_id=AKIAFILE\naws_secret_access_key=HIDDEN\n");
    struct result r = get(chain);
    assert_id(r, "AKIAENV");
    assert_string_equal(r.secret, "HIDDEN-env");
    assert_string_equal(r.token, "(none)");
    assert_string_equal(r.source, "environment");
    assert_int_equal(r.expires_at_ms, 0);
    set(AWS_SESSION_TOKEN, "HIDDEN-t");
    fake_now_ms += 5000;
    assert_string_equal(get(chain).token, "HIDDEN-t");
    assert_string_equal(get(no_network).token, "HIDDEN-t");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    fake_now_ms += 5000;
    assert_error(get(chain), ERROR_INPUT, false, "AWS_SECRET_ACCESS_KEY is not");
}

static void a_changed_file_is_seen(void **state)
{
    (void)state;
    home_write(".aws/credentials", "[default]\naws_access_key_id=AKIA1\naws_secret_access_key=HIDDEN\n");
    assert_id(get(no_network), "AKIA1");
    home_write(".aws/credentials", "[default]\naws_access_key_id=AKIA2\naws_secret_access_key=HIDDEN\n");
    assert_id(get(no_network), "AKIA1");
    aws_credentials_expired(world.cache, &no_network, "AKIA1");
    assert_id(get(no_network), "AKIA2");
    home_write(".aws/credentials", "[default]\naws_access_key_id=AKIA3\naws_secret_access_key=HIDDEN\n");
    fake_now_ms += 5000;
    assert_id(get(no_network), "AKIA3");
    home_write(".aws/credentials", "[default]\nHIDDEN\n");
    fake_now_ms += 5000;
    struct result r = get(no_network);
    assert_error(r, ERROR_INPUT, false, "/.aws/credentials: line 2");
}

static void a_missing_profile_is_named_with_its_files(void **state)
{
    (void)state;
    home_write(".aws/config", "[profile other]\nregion=eu-west-1\n");
    struct aws_credentials_ask ask = {.profile = "backup"};
    struct result r = get(ask);
    assert_error(r, ERROR_INPUT, false, "\"backup\"");
    assert_non_null(strstr(r.err.message, "/.aws/credentials"));
    assert_non_null(strstr(r.err.message, "/.aws/config"));
    set(AWS_PROFILE, "nightly");
    set(AWS_ACCESS_KEY_ID, "AKIAENV");
    set(AWS_SECRET_ACCESS_KEY, "HIDDEN");
    assert_error(get(chain), ERROR_INPUT, false, "\"nightly\"");
}

static void nothing_anywhere_lists_where_was_looked(void **state)
{
    (void)state;
    static const char *const places[] = {"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE",
                                         "/.aws/credentials", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                         "AWS_EC2_METADATA_DISABLED"};
    set(AWS_EC2_METADATA_DISABLED, "True");
    struct result r = get(chain);
    assert_error(r, ERROR_DENIED, false, "no AWS credentials");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        assert_non_null(strstr(r.err.message, places[i]));
}

static void environment_and_files_never_touch_the_network(void **state)
{
    (void)state;
    use_metadata();
    set_url(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/container");
    set_url(AWS_ENDPOINT_URL_STS, "/");
    set_home_path(AWS_WEB_IDENTITY_TOKEN_FILE, "token");
    set(AWS_ROLE_ARN, "arn:aws:iam::1:role/r");
    home_write("token", "HIDDEN");
    assert_error(get(no_network), ERROR_DENIED, false, "no AWS credentials");
    home_write(".aws/config",
               "[default]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=base\n[profile base]\n"
               "aws_access_key_id=AKIABASE\naws_secret_access_key=HIDDEN\n");
    assert_error(get(no_network), ERROR_UNSUPPORTED, false, "takes a role");
    script_assert_done();
    assert_int_equal(atomic_load(&script.peer.accepted), 0);
}

/* ---- references ---- */

static void a_reference_is_read_and_seen_to_change(void **state)
{
    (void)state;
    struct aws_credentials_ask ask = {.credentials_ref = "env:TEST_S3_KEYS",
                                      .chain = AWS_CHAIN_ENVIRONMENT_FILES};
    setenv("TEST_S3_KEYS", "AKIA1:HIDDEN", 1);
    struct result r = get(ask);
    assert_id(r, "AKIA1");
    assert_string_equal(r.source, "env:TEST_S3_KEYS");
    setenv("TEST_S3_KEYS", "{\"keyId\":\"AKIA2\",\"applicationKey\":\"HIDDEN\"}", 1);
    aws_credentials_expired(world.cache, &ask, "AKIA-other");
    assert_id(get(ask), "AKIA1");
    aws_credentials_expired(world.cache, &ask, "AKIA1");
    assert_id(get(ask), "AKIA2");
    setenv("TEST_S3_KEYS", "HIDDEN", 1);
    fake_now_ms += 5000;
    assert_error(get(ask), ERROR_INPUT, false, "env:TEST_S3_KEYS: neither JSON");
    unsetenv("TEST_S3_KEYS");
    r = get(ask);
    assert_error(r, ERROR_NOT_FOUND, true, "env:TEST_S3_KEYS");
}

/* ---- instance metadata ---- */

static void metadata_by_session_token(void **state)
{
    (void)state;
    use_metadata();
    metadata_gives(KEYS("ASIA1", SIX_HOURS));
    struct result r = get(chain);
    assert_id(r, "ASIA1");
    assert_string_equal(r.secret, "HIDDEN-ASIA1");
    assert_string_equal(r.token, "HIDDEN-token");
    assert_string_equal(r.source, "instance metadata");
    assert_int_equal(r.expires_at_ms, fake_now_ms + 6 * HOUR_MS);
    script_assert_done();
    script_assert_head(0, "\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n");
    script_assert_head(1, "\r\nX-aws-ec2-metadata-token: HIDDEN-session\r\n");
    script_assert_head(2, "\r\nX-aws-ec2-metadata-token: HIDDEN-session\r\n");
    assert_id(get(chain), "ASIA1");
    script_assert_done();
}

static void metadata_falls_back_to_version_1(void **state)
{
    (void)state;
    be_impatient();
    use_metadata();
    static const struct step refusals[] = {
        SAYS(TOKEN, 403, ""), SAYS(TOKEN, 404, ""), SAYS(TOKEN, 405, ""), {.expect = TOKEN, .how = HANG}};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        script_add(refusals[i]);
        script_add((struct step)SAYS(ROLE, 200, "r"));
        script_add((struct step)SAYS(ROLE "r", 200, KEYS("ASIA1", SIX_HOURS)));
        assert_id(get(chain), "ASIA1");
        script_assert_done();
        assert_null(strcasestr(script.heads[3 * i + 1], "metadata-token"));
        aws_credentials_expired(world.cache, &chain, "ASIA1");
    }
    set(AWS_EC2_METADATA_V1_DISABLED, "true");
    script_add(refusals[0]);
    assert_error(get(chain), ERROR_DENIED, false, "AWS_EC2_METADATA_V1_DISABLED");
    script_assert_done();
}

static void metadata_that_gives_nothing(void **state)
{
    (void)state;
    static const struct {
        struct step steps[3];
        int code;
        bool retryable;
        const char *words;
    } cases[] = {
        {{{.expect = TOKEN, .how = HANG}, {.expect = ROLE, .how = HANG}}, ERROR_DENIED, false, "no answer"},
        {{{.expect = TOKEN, .how = HANG}, SAYS(ROLE, 401, "")}, ERROR_DENIED, false, "hop limit"},
        {{SAYS(TOKEN, 200, "t"), SAYS(ROLE, 404, "")}, ERROR_DENIED, false, "the instance has no role"},
        {{SAYS(TOKEN, 503, "")}, ERROR_UNREACHABLE, true, "HTTP 503"},
        {{SAYS(TOKEN, 400, "")}, ERROR_DENIED, false, "HTTP 400"},
        {{SAYS(TOKEN, 200, "a\tb")}, ERROR_PROTOCOL, true, "session token"},
        {{SAYS(TOKEN, 200, "t"), SAYS(ROLE, 200, "../../x")}, ERROR_PROTOCOL, true, "role's name"},
        {{SAYS(TOKEN, 200, "t"), SAYS(ROLE, 200, "r"),
          SAYS(ROLE "r", 200, "{\"Code\":\"Failed\",\"Message\":\"HIDDEN\"}")},
         ERROR_DENIED,
         true,
         "Failed"},
        {{SAYS(TOKEN, 200, "t"), SAYS(ROLE, 200, "r"), SAYS(ROLE "r", 200, "<html>HIDDEN</html>")},
         ERROR_PROTOCOL,
         true,
         "JSON"},
        {{SAYS(TOKEN, 200, "t"), SAYS(ROLE, 200, "r"), SAYS(ROLE "r", 200, KEYS("ASIA", "soon"))},
         ERROR_PROTOCOL,
         true,
         "expiry"},
    };
    be_impatient();
    use_metadata();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int s = 0; s < 3 && cases[i].steps[s].expect; s++)
            script_add(cases[i].steps[s]);
        assert_error(get(chain), cases[i].code, cases[i].retryable, cases[i].words);
        script_assert_done();
    }
}

static void metadata_that_is_not_there(void **state)
{
    (void)state;
    use_metadata();
    peer_stop(&script.peer);
    struct result r = get(chain);
    assert_error(r, ERROR_DENIED, false, "instance metadata (not reachable)");
    peer_start(&script.peer, script_serve, NULL);
}

/* ---- container ---- */

static void the_container_gets_its_token_from_the_file_each_time(void **state)
{
    (void)state;
    set_url(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/v2/keys?id=1");
    set(AWS_CONTAINER_AUTHORIZATION_TOKEN, "HIDDEN-env");
    set_home_path(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, "token");
    home_write("token", "HIDDEN-1\n");
    script_add((struct step){"GET /v2/keys?id=1", 500, "", REWRITE, "token", "HIDDEN-2\r\n", NULL});
    script_add((struct step)SAYS("GET /v2/keys?id=1", 429, ""));
    script_add((struct step)SAYS("GET /v2/keys?id=1", 200, KEYS("ASIA1", SIX_HOURS)));
    struct result r = get(chain);
    assert_id(r, "ASIA1");
    assert_string_equal(r.source, "container credentials");
    script_assert_done();
    script_assert_head(0, "\r\nAuthorization: HIDDEN-1\r\n");
    script_assert_head(1, "\r\nAuthorization: HIDDEN-2\r\n");
    script_assert_head(2, "\r\nAccept: application/json\r\n");
}

static void the_container_may_refuse(void **state)
{
    (void)state;
    set_url(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/c");
    script_add((struct step)SAYS("GET /c", 403, "HIDDEN"));
    assert_error(get(chain), ERROR_DENIED, false, "container credentials: HTTP 403");
    for (int i = 0; i < 3; i++)
        script_add((struct step)SAYS("GET /c", 500, "HIDDEN"));
    assert_error(get(chain), ERROR_UNREACHABLE, true, "container credentials: HTTP 500");
    script_assert_done();
}

static void tokens_with_line_ends_are_refused(void **state)
{
    (void)state;
    set_url(AWS_CONTAINER_CREDENTIALS_FULL_URI, "/c");
    set(AWS_CONTAINER_AUTHORIZATION_TOKEN, "HIDDEN\r\nx: y");
    assert_error(get(chain), ERROR_INPUT, false, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    set_home_path(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, "token");
    home_write("token", "HIDDEN\nx: y\n");
    assert_error(get(chain), ERROR_INPUT, true, "/token: a control character");
    home_write("token", "\n");
    assert_error(get(chain), ERROR_INPUT, true, "/token: no token");
    script_assert_done();
    assert_int_equal(atomic_load(&script.peer.accepted), 0);
}

static void only_containers_own_hosts_are_asked(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "http://example.com/c",
        "http://169.254.169.254/c",
        "http://169.254.170.3/c",
        "http://10.0.0.1/c",
        "http://127.0.0.1@evil/c",
        "http://localhost.evil/c",
        "http://[::2]/c",
        "http://[::ffff:10.0.0.1]/c",
        "ftp://127.0.0.1/c",
        "file:///etc/passwd",
        "http:///c",
        "127.0.0.1/c",
        "http://127.0.0.1\\@evil/c",
        "http://2130706433/c",
        "http://[fd00:ec2::254]/c",
        "https://user@example.com/c",
        "http://127.1/c",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        set(AWS_CONTAINER_CREDENTIALS_FULL_URI, refused[i]);
        struct result r = get(chain);
        if (r.err.code != ERROR_INPUT || !strstr(r.err.message, "AWS_CONTAINER_CREDENTIALS_FULL_URI"))
            fail_msg("%s: %s", refused[i], r.err.message);
    }
    char url[128];
    snprintf(url, sizeof url, "http://localhost:%d/c", script.peer.port);
    set(AWS_CONTAINER_CREDENTIALS_FULL_URI, url);
    script_add((struct step)SAYS("GET /c", 200, KEYS("ASIA1", SIX_HOURS)));
    assert_id(get(chain), "ASIA1");
    script_assert_done();
}

/* ---- roles ---- */

/* The request's signature as computed anew from what arrived. */
static void assert_signed(int step, const char *id, const char *secret, const char *token)
{
    char *head = strdup(script.heads[step]), host[64], line[96];
    snprintf(host, sizeof host, "127.0.0.1:%d", script.peer.port);
    char *date = strcasestr(head, "X-Amz-Date: ");
    assert_non_null(date);
    date += strlen("X-Amz-Date: ");
    struct tm tm = {0};
    assert_non_null(strptime(date, "%Y%m%dT%H%M%SZ", &tm));
    struct digest *digest = digest_new();
    char hash[DIGEST_SHA256_SIZE];
    digest_update(digest, script.bodies[step], strlen(script.bodies[step]));
    digest_final(digest, hash);
    digest_free(digest);
    const struct sigv4_header headers[] = {
        {"Host", host}, {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
    struct sigv4_request request = {.method = "POST",
                                    .path = "/",
                                    .headers = headers,
                                    .n_headers = 2,
                                    .payload_hash = hash,
                                    .region = "eu-west-1",
                                    .service = "sts",
                                    .access_key_id = id,
                                    .secret_access_key = secret,
                                    .session_token = token,
                                    .time_s = timegm(&tm),
                                    .path_rule = SIGV4_PATH_NORMALISE};
    struct sigv4_signature signature;
    assert_int_equal(sigv4_sign(&request, &signature, NULL, NULL, NULL), 0);
    script_assert_head(step, signature.authorization);
    sigv4_signature_deinit(&signature);
    snprintf(line, sizeof line, "\r\nX-Amz-Security-Token: %s\r\n", token ? token : "");
    if (token)
        script_assert_head(step, line);
    else
        assert_null(strcasestr(head, "X-Amz-Security-Token"));
    free(head);
}

static void roles_are_taken_one_after_the_other(void **state)
{
    (void)state;
    set_url(AWS_ENDPOINT_URL_STS, "");
    home_write(
        ".aws/config",
        "[profile backup]\nrole_arn = arn:aws:iam::1:role/outer\nsource_profile = middle\nregion = eu-west-1\n"
        "external_id = x/1\nduration_seconds = 900\n"
        "[profile middle]\nrole_arn = arn:aws:iam::1:role/inner\nsource_profile = base\n"
        "role_session_name = night\n");
    home_write(".aws/credentials", "[base]\naws_access_key_id=AKIABASE\naws_secret_access_key=HIDDEN-base\n");
    script_add((struct step)SAYS("POST /", 500, ""));
    script_add((struct step)SAYS("POST /", 200, STS("AssumeRole", "ASIAINNER", SIX_HOURS)));
    script_add((struct step)SAYS("POST /", 200, STS("AssumeRole", "ASIAOUTER", SIX_HOURS)));
    struct aws_credentials_ask ask = {.profile = "backup"};
    struct result r = get(ask);
    assert_id(r, "ASIAOUTER");
    assert_string_equal(r.secret, "HIDDEN-ASIAOUTER");
    assert_string_equal(r.source, "profile backup, role by STS");
    assert_int_equal(r.expires_at_ms, fake_now_ms + 6 * HOUR_MS);
    script_assert_done();
    assert_signed(1, "AKIABASE", "HIDDEN-base", NULL);
    assert_signed(2, "ASIAINNER", "HIDDEN-ASIAINNER", "HIDDEN-token");
    assert_string_equal(script.bodies[1],
                        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole"
                        "%2Finner&RoleSessionName=night");
    assert_string_equal(script.bodies[2],
                        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole"
                        "%2Fouter&RoleSessionName=backupmanager&DurationSeconds=900&ExternalId=x%2F1");
}

static void a_role_may_be_denied(void **state)
{
    (void)state;
    set_url(AWS_ENDPOINT_URL_STS, "/");
    home_write(".aws/credentials", "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\n"
                                   "aws_access_key_id=AKIABASE\naws_secret_access_key=HIDDEN\n");
    script_add((struct step)SAYS(
        "POST /", 403,
        "<ErrorResponse><Error><Code>AccessDenied</Code><Message>User a is not authorized to "
        "perform sts:AssumeRole</Message></Error></ErrorResponse>"));
    assert_error(get(chain), ERROR_DENIED, false, "AccessDenied: User a is not authorized");
    script_add((struct step)SAYS("POST /", 400, STS_ERROR("ValidationError")));
    assert_error(get(chain), ERROR_DENIED, false, "HTTP 400 ValidationError");
    for (int i = 0; i < 3; i++)
        script_add((struct step)SAYS("POST /", 400, STS_ERROR("Throttling")));
    assert_error(get(chain), ERROR_UNREACHABLE, true, "HTTP 400 Throttling");
    script_add((struct step)SAYS("POST /", 200, "<html>HIDDEN</html>"));
    script_add((struct step)SAYS("POST /", 200, "<html>HIDDEN"));
    script_add((struct step)SAYS("POST /", 502, "HIDDEN"));
    assert_error(get(chain), ERROR_UNREACHABLE, true, "HTTP 502 without an error code");
    script_assert_done();
}

static void web_identity_reads_its_token_again(void **state)
{
    (void)state;
    set_url(AWS_ENDPOINT_URL, "/");
    set_home_path(AWS_WEB_IDENTITY_TOKEN_FILE, "token");
    set(AWS_ROLE_ARN, "arn:aws:iam::1:role/pod");
    set(AWS_ROLE_SESSION_NAME, "pod-1");
    home_write("token", "HIDDEN.old\n");
    script_add((struct step){"POST /", 400, STS_ERROR("ExpiredTokenException"), REWRITE, "token",
                             "HIDDEN.new\n", NULL});
    script_add((struct step)SAYS("POST /", 400, STS_ERROR("IDPCommunicationError")));
    script_add((struct step)SAYS("POST /", 200, STS("AssumeRoleWithWebIdentity", "ASIAPOD", SIX_HOURS)));
    struct result r = get(chain);
    assert_id(r, "ASIAPOD");
    assert_string_equal(r.source, "web identity by STS");
    script_assert_done();
    assert_null(strcasestr(script.heads[0], "Authorization"));
    assert_non_null(strstr(script.bodies[0], "&WebIdentityToken=HIDDEN.old"));
    assert_string_equal(
        script.bodies[2],
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2F"
        "pod&RoleSessionName=pod-1&WebIdentityToken=HIDDEN.new");
    for (int i = 0; i < 3; i++)
        script_add((struct step)SAYS("POST /", 400, STS_ERROR("ExpiredTokenException")));
    aws_credentials_expired(world.cache, &chain, "ASIAPOD");
    assert_error(get(chain), ERROR_DENIED, true, "ExpiredTokenException");
    script_assert_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_environment_comes_first),
        TEST(a_changed_file_is_seen),
        TEST(a_missing_profile_is_named_with_its_files),
        TEST(nothing_anywhere_lists_where_was_looked),
        TEST(environment_and_files_never_touch_the_network),
        TEST(a_reference_is_read_and_seen_to_change),
        TEST(metadata_by_session_token),
        TEST(metadata_falls_back_to_version_1),
        TEST(metadata_that_gives_nothing),
        TEST(metadata_that_is_not_there),
        TEST(the_container_gets_its_token_from_the_file_each_time),
        TEST(the_container_may_refuse),
        TEST(tokens_with_line_ends_are_refused),
        TEST(only_containers_own_hosts_are_asked),
        TEST(roles_are_taken_one_after_the_other),
        TEST(a_role_may_be_denied),
        TEST(web_identity_reads_its_token_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
