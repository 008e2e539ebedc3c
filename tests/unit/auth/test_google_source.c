/* What a secret's text may say about where Google's tokens come from, and which file is looked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/google_environment.h"
#include "auth/google_source.h"
#include "auth/google_text.h"

#define ACCOUNT                                                                                              \
    "{\"type\":\"service_account\",\"project_id\":\"shop\",\"private_key_id\":\"2f9c1b\","                   \
    "\"private_key\":\"HIDDEN-key\",\"client_email\":\"backup@shop.iam.gserviceaccount.com\""
#define USER                                                                                                 \
    "{\"type\":\"authorized_user\",\"client_id\":\"id.apps\",\"client_secret\":\"HIDDEN-secret\","           \
    "\"refresh_token\":\"HIDDEN-refresh\""
#define FEDERATION                                                                                           \
    "{\"type\":\"external_account\",\"audience\":\"//iam.googleapis.com/projects/1/x\","                     \
    "\"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\""
#define FILE_SOURCE ",\"credential_source\":{\"file\":\"/var/run/token\"}"
#define IMPERSONATE                                                                                          \
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/sa@shop:generateAccessToken"

static struct google_source parse(const char *text)
{
    struct google_source s;
    struct error err = {0};
    if (google_source_parse(text, "env:G", &s, &err))
        fail_msg("%s: %s", text, err.message);
    return s;
}

static void a_service_account(void **state)
{
    (void)state;
    struct google_source s = parse("\xef\xbb\xbf " ACCOUNT ",\"universe_domain\":\"googleapis.com\"}\n");
    assert_int_equal(s.kind, GOOGLE_SERVICE_ACCOUNT);
    assert_string_equal(s.name, "env:G (backup@shop.iam.gserviceaccount.com)");
    assert_string_equal(s.account.private_key, "HIDDEN-key");
    assert_string_equal(s.account.key_id, "2f9c1b");
    assert_string_equal(s.project, "shop");
    assert_string_equal(s.token_url, "https://oauth2.googleapis.com/token");
    assert_null(s.impersonation.url);
    google_source_deinit(&s);
    assert_null(s.json);

    s = parse(ACCOUNT ",\"token_uri\":\"http://127.0.0.1:8080/token\",\"quota_project_id\":\"bill\"}");
    assert_string_equal(s.token_url, "http://127.0.0.1:8080/token");
    assert_string_equal(s.quota_project, "bill");
    google_source_deinit(&s);
}

static void a_user(void **state)
{
    (void)state;
    struct google_source s = parse(USER "}");
    assert_int_equal(s.kind, GOOGLE_USER);
    assert_string_equal(s.name, "env:G (a user's login)");
    assert_string_equal(s.client.refresh_token, "HIDDEN-refresh");
    assert_string_equal(s.token_url, "https://oauth2.googleapis.com/token");
    google_source_deinit(&s);
}

static void a_federation(void **state)
{
    (void)state;
    struct google_source s = parse(FEDERATION FILE_SOURCE "}");
    assert_int_equal(s.kind, GOOGLE_FEDERATION);
    assert_string_equal(s.federation.file, "/var/run/token");
    assert_null(s.federation.field);
    assert_string_equal(s.token_url, "https://sts.googleapis.com/v1/token");
    assert_string_equal(s.name, "env:G (federation)");
    google_source_deinit(&s);

    s = parse(FEDERATION ",\"credential_source\":{\"url\":\"http://169.254.169.254/x?y=z\",\"headers\":"
                         "{\"Metadata\":\"True\"},\"format\":{\"type\":\"json\",\"subject_token_field_name\":"
                         "\"access_token\"}},\"service_account_impersonation_url\":\"" IMPERSONATE
                         "\",\"service_account_impersonation\":{\"token_lifetime_seconds\":600}}");
    assert_string_equal(s.federation.url, "http://169.254.169.254/x?y=z");
    assert_string_equal(s.federation.field, "access_token");
    assert_int_equal(json_object_size(s.federation.headers), 1);
    assert_string_equal(s.impersonation.url, IMPERSONATE);
    assert_int_equal(s.impersonation.lifetime_s, 600);
    assert_string_equal(s.name, "env:G (as sa@shop)");
    google_source_deinit(&s);
}

static void an_impersonation(void **state)
{
    (void)state;
    struct google_source s =
        parse("{\"type\":\"impersonated_service_account\",\"delegates\":[\"a\"],"
              "\"service_account_impersonation_url\":\"" IMPERSONATE "\",\"source_credentials\":" USER "}}");
    assert_int_equal(s.kind, GOOGLE_USER);
    assert_string_equal(s.client.id, "id.apps");
    assert_string_equal(s.impersonation.url, IMPERSONATE);
    assert_int_equal(s.impersonation.lifetime_s, 3600);
    assert_int_equal(json_array_size(s.impersonation.delegates), 1);
    google_source_deinit(&s);
}

static void a_given_token(void **state)
{
    (void)state;
    struct google_source s = parse("{\"access_token\":\"ya29.x\",\"expires_at\":\"2026-01-01T00:00:00Z\"}");
    assert_int_equal(s.kind, GOOGLE_ACCESS_TOKEN);
    assert_int_equal(s.token.expires_at_ms, INT64_C(1767225600000));
    google_source_deinit(&s);
    s = parse("{\"access_token\":\"ya29.x\",\"expires_at\":1767225600}");
    assert_int_equal(s.token.expires_at_ms, INT64_C(1767225600000));
    google_source_deinit(&s);
    s = parse("{\"access_token\":\"ya29.x\",\"expires_at\":null}");
    assert_int_equal(s.token.expires_at_ms, 0);
    assert_string_equal(s.name, "env:G (a given token)");
    google_source_deinit(&s);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
        int code;
    } cases[] = {
        {"", "isn't a JSON object", ERROR_INPUT},
        {"HIDDEN-token", "isn't a JSON object", ERROR_INPUT},
        {"[]", "isn't a JSON object", ERROR_INPUT},
        {"{\"type\":\"authorized_user\",\"type\":\"service_account\"}", "isn't a JSON object", ERROR_INPUT},
        {"{}", "has no \"type\"", ERROR_INPUT},
        {"{\"type\":3}", "\"type\" isn't a text", ERROR_INPUT},
        {"{\"type\":\"HIDDEN=\"}", "its \"type\" is ...", ERROR_INPUT},
        {"{\"type\":\"api_key\"}", "its \"type\" is api_key", ERROR_INPUT},
        {"{\"type\":\"gdch_service_account\"}", "aren't served; use a service account's key",
         ERROR_UNSUPPORTED},
        {ACCOUNT ",\"universe_domain\":\"other.test\"}", "universe_domain", ERROR_UNSUPPORTED},
        {"{\"type\":\"service_account\",\"client_email\":\"a\"}", "\"private_key\" is missing", ERROR_INPUT},
        {"{\"type\":\"service_account\",\"client_email\":\"\"}", "\"client_email\" is missing", ERROR_INPUT},
        {ACCOUNT ",\"token_uri\":\"http://HIDDEN.test/\"}", "\"token_uri\" must begin with https",
         ERROR_INPUT},
        {ACCOUNT ",\"token_uri\":\"HIDDEN\"}", "\"token_uri\" must begin with https", ERROR_INPUT},
        {ACCOUNT ",\"token_uri\":[]}", "\"token_uri\" isn't a text", ERROR_INPUT},
        {ACCOUNT ",\"quota_project_id\":\"a b\"}", "quota_project_id", ERROR_INPUT},
        {"{\"type\":\"authorized_user\"}", "\"client_id\" is missing", ERROR_INPUT},
        {USER ",\"token_uri\":\"http://169.254.169.254/\"}", "\"token_uri\" must", ERROR_INPUT},
        {"{\"type\":\"external_account\"}", "\"audience\" is missing", ERROR_INPUT},
        {FEDERATION "}", "\"credential_source\" is missing", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{}}", "either a file or a url", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{\"file\":\"a\",\"url\":\"https://b\"}}",
         "either a file or a url", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{\"environment_id\":\"aws1\"}}",
         "\"environment_id\" (the AWS of this machine) isn't served; have the token written to a file",
         ERROR_UNSUPPORTED},
        {FEDERATION ",\"credential_source\":{\"executable\":{\"command\":\"/bin/x\"}}}", "\"executable\"",
         ERROR_UNSUPPORTED},
        {FEDERATION ",\"credential_source\":{\"certificate\":{}}}", "\"certificate\"", ERROR_UNSUPPORTED},
        {FEDERATION ",\"credential_source\":{\"url\":\"http://idp.test\"}}", "\"url\" must begin with https",
         ERROR_INPUT},
        {FEDERATION
         ",\"credential_source\":{\"url\":\"https://i\",\"headers\":{\"A\":\"HIDDEN\\r\\nB: c\"}}}",
         "\"headers\"", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{\"url\":\"https://i\",\"headers\":{\"A:\":\"b\"}}}",
         "\"headers\"", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{\"url\":\"https://i\",\"headers\":{\"A\":\"\",\"B\":\"\","
                    "\"C\":\"\",\"D\":\"\",\"E\":\"\"}}}",
         "at most 4 headers", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{\"file\":\"a\",\"format\":{\"type\":\"json\"}}}",
         "\"subject_token_field_name\" is missing", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{\"file\":\"a\",\"format\":{\"type\":\"xml\"}}}",
         "neither text nor", ERROR_INPUT},
        {FEDERATION ",\"credential_source\":{\"file\":\"a\",\"format\":\"json\"}}",
         "\"format\" isn't an object", ERROR_INPUT},
        {FEDERATION FILE_SOURCE ",\"client_id\":\"a\"}", "go together", ERROR_INPUT},
        {FEDERATION FILE_SOURCE ",\"token_url\":\"http://sts.test\"}", "\"token_url\" must", ERROR_INPUT},
        {FEDERATION FILE_SOURCE ",\"service_account_impersonation_url\":\"http://a.test\"}",
         "\"service_account_impersonation_url\" must", ERROR_INPUT},
        {FEDERATION FILE_SOURCE ",\"service_account_impersonation\":{\"token_lifetime_seconds\":599}}",
         "from 600 to 43200", ERROR_INPUT},
        {FEDERATION FILE_SOURCE ",\"service_account_impersonation\":{\"token_lifetime_seconds\":\"600\"}}",
         "from 600 to 43200", ERROR_INPUT},
        {"{\"type\":\"impersonated_service_account\",\"source_credentials\":" USER "}}",
         "\"service_account_impersonation_url\" is missing", ERROR_INPUT},
        {"{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":\"https://a\"}",
         "\"source_credentials\" must be of type", ERROR_INPUT},
        {"{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":\"https://a\","
         "\"delegates\":[1],\"source_credentials\":" USER "}}",
         "\"delegates\" must be", ERROR_INPUT},
        {"{\"access_token\":\"HIDDEN token\"}", "holds what no token does", ERROR_INPUT},
        {"{\"access_token\":\"\"}", "\"access_token\" is missing", ERROR_INPUT},
        {"{\"access_token\":\"a\",\"expires_at\":\"tomorrow\"}", "\"expires_at\" is neither", ERROR_INPUT},
        {"{\"access_token\":\"a\",\"expires_at\":true}", "\"expires_at\" is neither", ERROR_INPUT},
        {"{\"access_token\":\"a\",\"expires_at\":0}", "\"expires_at\" is neither", ERROR_INPUT},
        {"{\"access_token\":\"a\",\"expires_at\":9223372036854775807}", "\"expires_at\" is neither",
         ERROR_INPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct google_source s;
        struct error err = {0};
        int rc = google_source_parse(cases[i].text, "env:G", &s, &err);
        if (rc != cases[i].code || err.retryable || strstr(err.message, cases[i].words) == NULL)
            fail_msg("%s: %d %s", cases[i].text, rc, err.message);
        assert_non_null(strstr(err.message, "env:G"));
        assert_null(strstr(err.message, "HIDDEN"));
    }
    static char huge[70000];
    struct error err = {0};
    memset(huge, ' ', sizeof huge - 1);
    assert_int_equal(google_source_parse(huge, "env:G", &(struct google_source){0}, &err), ERROR_LIMIT);
}

static void addresses_that_are_safe(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool safe, link_local;
    } cases[] = {
        {"https://oauth2.googleapis.com/token", true, true},
        {"https://host:8443", true, true},
        {"https://user:HIDDEN@host/", false, false},
        {"https://", false, false},
        {"HTTPS://host", false, false},
        {"http://localhost:1/", true, true},
        {"http://LOCALHOST", true, true},
        {"http://127.0.0.1:9000/x", true, true},
        {"http://127.9.9.9?x", true, true},
        {"http://[::1]:80/", true, true},
        {"http://[::2]/", false, false},
        {"http://[::1", false, false},
        {"http://[::1]evil.test/", false, false},
        {"http://localhost:80:evil.test/", false, false},
        {"http://localhost:80evil.test/", false, false},
        {"http://128.0.0.1/", false, false},
        {"http://127.0.0.1.evil.test/", false, false},
        {"http://localhost.evil.test/", false, false},
        {"http://127.0.0.1@evil.test/", false, false},
        {"http://127.0.0.1:80@evil.test/", false, false},
        {"http://localhost\\@evil.test/", false, false},
        {"http://localhost#@evil.test/", false, false},
        {"http://127.1/", false, false},
        {"http://2130706433/", false, false},
        {"http://169.254.169.254/x", false, true},
        {"http://169.255.169.254/x", false, false},
        {"ftp://localhost/", false, false},
        {"//localhost/", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (google_text_is_safe_address(cases[i].url, false) != cases[i].safe ||
            google_text_is_safe_address(cases[i].url, true) != cases[i].link_local)
            fail_msg("%s", cases[i].url);
    }
}

static void the_digest_is_of_the_long_lived_secret(void **state)
{
    (void)state;
    unsigned char got[32], wanted[32];
    struct google_source s = parse(ACCOUNT "}");
    assert_true(google_source_digest(&s, got));
    SHA256((const unsigned char *)"backupmanager gcs session\0HIDDEN-key", 36, wanted);
    assert_memory_equal(got, wanted, 32);
    google_source_deinit(&s);
    s = parse(USER "}");
    assert_true(google_source_digest(&s, got));
    SHA256((const unsigned char *)"backupmanager gcs session\0HIDDEN-refresh", 40, wanted);
    assert_memory_equal(got, wanted, 32);
    google_source_deinit(&s);
    s = parse(FEDERATION FILE_SOURCE "}");
    assert_false(google_source_digest(&s, got));
    google_source_deinit(&s);
    s = parse("{\"access_token\":\"a\"}");
    assert_false(google_source_digest(&s, got));
    google_source_deinit(&s);
}

/* ---- which file ---- */

static char home[] = "/tmp/test_google.XXXXXX";

static void write_file(const char *path, const char *text)
{
    char file[256];
    snprintf(file, sizeof file, "%s/%s", home, path);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int find(struct google_source *s, struct error *err, char looked[512])
{
    struct strbuf places;
    *err = (struct error){0};
    strbuf_init(&places, 512);
    int rc = google_source_find(s, &places, err);
    snprintf(looked, 512, "%s", strbuf_cstr(&places));
    strbuf_deinit(&places);
    assert_null(strstr(err->message, "HIDDEN"));
    return rc;
}

static void files_in_their_order(void **state)
{
    (void)state;
    char looked[512], path[256];
    struct google_source s;
    struct error err;
    for (int v = 0; v <= GOOGLE_HOME; v++)
        unsetenv(google_environment_name((enum google_variable)v));

    assert_int_equal(find(&s, &err, looked), 0);
    assert_int_equal(s.kind, GOOGLE_METADATA);
    assert_string_equal(s.name, "metadata server");
    assert_string_equal(looked, "GOOGLE_APPLICATION_CREDENTIALS");
    google_source_deinit(&s);

    setenv("HOME", home, 1);
    assert_int_equal(find(&s, &err, looked), 0);
    assert_int_equal(s.kind, GOOGLE_METADATA);
    snprintf(path, sizeof path, "%s/.config/gcloud/application_default_credentials.json", home);
    assert_non_null(strstr(looked, path));
    google_source_deinit(&s);

    setenv("NO_GCE_CHECK", "True", 1);
    assert_int_equal(find(&s, &err, looked), ERROR_DENIED);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "NO_GCE_CHECK"));

    write_file(".config/gcloud/application_default_credentials.json", USER "}");
    setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "bill", 1);
    assert_int_equal(find(&s, &err, looked), 0);
    assert_int_equal(s.kind, GOOGLE_USER);
    assert_string_equal(s.quota_project, "bill");
    assert_non_null(strstr(s.name, path));
    google_source_deinit(&s);
    setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "a b", 1);
    assert_int_equal(find(&s, &err, looked), ERROR_INPUT);
    unsetenv("GOOGLE_CLOUD_QUOTA_PROJECT");

    setenv("CLOUDSDK_CONFIG", home, 1); /* instead of the other */
    assert_int_equal(find(&s, &err, looked), ERROR_DENIED);
    write_file("application_default_credentials.json", "{\"type\":\"HIDDEN1\"}");
    assert_int_equal(find(&s, &err, looked), ERROR_INPUT);
    assert_non_null(strstr(err.message, home));

    snprintf(path, sizeof path, "%s/key.json", home);
    setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1); /* before all others */
    assert_int_equal(find(&s, &err, looked), ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "GOOGLE_APPLICATION_CREDENTIALS"));
    write_file("key.json", ACCOUNT "}\n");
    assert_int_equal(find(&s, &err, looked), 0);
    assert_int_equal(s.kind, GOOGLE_SERVICE_ACCOUNT);
    google_source_deinit(&s);
}

static int make_home(void **state)
{
    (void)state;
    char path[128];
    if (mkdtemp(home) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/.config", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/.config/gcloud", home);
    return mkdir(path, 0700);
}

static int remove_home(void **state)
{
    (void)state;
    static const char *const files[] = {".config/gcloud/application_default_credentials.json",
                                        ".config/gcloud",
                                        ".config",
                                        "application_default_credentials.json",
                                        "key.json",
                                        ""};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", home, files[i]);
        remove(path);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_account),
        cmocka_unit_test(a_user),
        cmocka_unit_test(a_federation),
        cmocka_unit_test(an_impersonation),
        cmocka_unit_test(a_given_token),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(addresses_that_are_safe),
        cmocka_unit_test(the_digest_is_of_the_long_lived_secret),
        cmocka_unit_test_setup_teardown(files_in_their_order, make_home, remove_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
