/* The texts that a referenced secret may hold, and the answers of those who give tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/azure_answer.h"
#include "auth/azure_credentials.h"
#include "auth/secret.h"
#include "auth/service_address.h"

#define KEY "SElEREVOLWtleQ==" /* "HIDDEN-key" */

static const int64_t now_ms = INT64_C(1767225600000); /* 2026-01-01T00:00:00Z */

static struct azure_credentials *parse(const char *text, const char *account, const char *endpoint,
                                       struct error *err)
{
    struct azure_credentials_ask ask = {.account = account, .endpoint = endpoint};
    struct azure_credentials *c = NULL;
    int rc = azure_credentials_parse(text, "env:X", &ask, now_ms, &c, err);
    assert_true((rc == 0) == (c != NULL));
    assert_true(rc == 0 || (rc == err->code && strstr(err->message, "HIDDEN") == NULL &&
                            strstr(err->message, KEY) == NULL));
    return c;
}

static void texts_that_hold_credentials(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum azure_credentials_kind kind;
        const char *account, *endpoint, *secret; /* NULL = none */
        int64_t expires_at_ms;
    } cases[] = {
        {KEY, AZURE_SHARED_KEY, "acc", NULL, "HIDDEN-key", 0},
        {"\xef\xbb\xbf " KEY "\r\n", AZURE_SHARED_KEY, "acc", NULL, "HIDDEN-key", 0},
        {"AccountName=acc;AccountKey=" KEY, AZURE_SHARED_KEY, "acc", "https://acc.blob.core.windows.net",
         "HIDDEN-key", 0},
        {" accountkey=" KEY " ; DEFAULTENDPOINTSPROTOCOL=http; accountname=acc;;EndpointSuffix=x.example;",
         AZURE_SHARED_KEY, "acc", "http://acc.blob.x.example", "HIDDEN-key", 0},
        {"AccountName=acc;AccountKey=" KEY ";BlobEndpoint=http://127.0.0.1:10000/acc//;QueueEndpoint=x",
         AZURE_SHARED_KEY, "acc", "http://127.0.0.1:10000/acc", "HIDDEN-key", 0},
        {"AccountKey=" KEY, AZURE_SHARED_KEY, "acc", NULL, "HIDDEN-key", 0},
        {"BlobEndpoint=https://cdn.example/;SharedAccessSignature=sv=1&sig=HIDDEN%3D", AZURE_SAS, "acc",
         "https://cdn.example", "sv=1&sig=HIDDEN%3D", 0},
        {"SharedAccessSignature=?sig=HIDDEN;AccountName=acc", AZURE_SAS, "acc",
         "https://acc.blob.core.windows.net", "sig=HIDDEN", 0},
        {"?sv=1&sig=HIDDEN", AZURE_SAS, "acc", NULL, "sv=1&sig=HIDDEN", 0},
        {"se=2026-02-01&sig=HIDDEN", AZURE_SAS, "acc", NULL, "se=2026-02-01&sig=HIDDEN",
         INT64_C(1769904000000)},
        {"sig=HIDDEN&se=2026-02-01T00%3A01Z", AZURE_SAS, "acc", NULL, "sig=HIDDEN&se=2026-02-01T00%3A01Z",
         INT64_C(1769904060000)},
        {"sig=HIDDEN&se=2026-02-01T00%3a00%3A02Z&spr=https", AZURE_SAS, "acc", NULL,
         "sig=HIDDEN&se=2026-02-01T00%3a00%3A02Z&spr=https", INT64_C(1769904002000)},
        {"{\"account_name\":\"acc\",\"account_key\":\"" KEY "\"}", AZURE_SHARED_KEY, "acc", NULL,
         "HIDDEN-key", 0},
        {"{\"account_key\":\"" KEY "\",\"sas_token\":null}", AZURE_SHARED_KEY, "acc", NULL, "HIDDEN-key", 0},
        {"{\"sas_token\":\"?sig=HIDDEN\"}", AZURE_SAS, "acc", NULL, "sig=HIDDEN", 0},
        {"{\"connection_string\":\"AccountName=acc;AccountKey=" KEY "\"}", AZURE_SHARED_KEY, "acc",
         "https://acc.blob.core.windows.net", "HIDDEN-key", 0},
        {"{\"access_token\":\"HIDDEN\"}", AZURE_BEARER, "acc", NULL, "HIDDEN", 0},
        {"{\"accessToken\":\"HIDDEN\",\"expires_on\":1769904000}", AZURE_BEARER, "acc", NULL, "HIDDEN",
         INT64_C(1769904000000)},
        {"{\"access_token\":\"HIDDEN\",\"expires_on\":\"2026-02-01T00:00:00Z\"}", AZURE_BEARER, "acc", NULL,
         "HIDDEN", INT64_C(1769904000000)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct azure_credentials *c = parse(cases[i].text, "acc", NULL, &err);
        if (c == NULL)
            fail_msg("%zu: %s", i, err.message);
        assert_int_equal(c->kind, cases[i].kind);
        assert_string_equal(c->account, cases[i].account);
        assert_string_equal(c->source, "env:X");
        assert_int_equal(c->expires_at_ms, cases[i].expires_at_ms);
        if (cases[i].endpoint)
            assert_string_equal(c->endpoint, cases[i].endpoint);
        else
            assert_null(c->endpoint);
        if (c->kind == AZURE_SHARED_KEY) {
            assert_int_equal(c->key_size, strlen(cases[i].secret));
            assert_memory_equal(c->key, cases[i].secret, c->key_size);
        } else
            assert_string_equal(c->kind == AZURE_SAS ? c->sas : c->token, cases[i].secret);
        azure_credentials_free(c);
    }
}

static void the_emulator_of_this_machine(void **state)
{
    (void)state;
    struct error err = {0};
    struct azure_credentials *c = parse("UseDevelopmentStorage=true", NULL, NULL, &err);
    assert_non_null(c);
    assert_string_equal(c->account, "devstoreaccount1");
    assert_string_equal(c->endpoint, "http://127.0.0.1:10000/devstoreaccount1");
    assert_int_equal(c->key_size, 64);
    azure_credentials_free(c);
}

static void texts_that_do_not(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *words;
    } cases[] = {
        {"", ERROR_INPUT, "env:X: empty; write an account key, a connection string"},
        {"HIDDEN!", ERROR_INPUT, "of no form that is known"},
        {"https://acc.blob.core.windows.net/c?sig=HIDDEN", ERROR_INPUT, "behind its '?'"},
        {"AccountName=acc", ERROR_INPUT, "neither AccountKey nor SharedAccessSignature"},
        {"AccountName=acc;AccountKey=HIDDEN!", ERROR_INPUT, "isn't base64"},
        {"AccountName=other;AccountKey=" KEY, ERROR_INPUT, "is of account \"other\""},
        {"AccountName=A/B;AccountKey=" KEY, ERROR_INPUT, "can't be part of a host's name"},
        {"AccountKey=" KEY ";BlobEndpoint=ftp://x", ERROR_INPUT, "BlobEndpoint must be"},
        {"AccountKey=" KEY ";BlobEndpoint=https://x?sig=HIDDEN", ERROR_INPUT, "BlobEndpoint must be"},
        {"AccountName=acc;DefaultEndpointsProtocol=ftp;AccountKey=" KEY, ERROR_INPUT,
         "must be https or http"},
        {"AccountName=acc;EndpointSuffix=a/b;AccountKey=" KEY, ERROR_INPUT, "EndpointSuffix"},
        {"UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://x", ERROR_UNSUPPORTED,
         "write BlobEndpoint"},
        {"?sv=HIDDEN", ERROR_INPUT, "without a signature (sig=)"},
        {"?sig=", ERROR_INPUT, "without a signature (sig=)"},
        {"?sig=HIDDEN&se=tomorrow", ERROR_INPUT, "(se=) isn't a time"},
        {"?sig=HIDDEN HIDDEN", ERROR_INPUT, "no query of a URL has"},
        {"?sig=HIDDEN#x", ERROR_INPUT, "no query of a URL has"},
        {"?sig=HIDDEN&se=2026-01-01", ERROR_DENIED, "this SAS has expired at 2026-01-01T00:00:00Z"},
        {"{\"access_token\":\"HIDDEN\",\"expires_on\":1767225600}", ERROR_DENIED,
         "this access token has expired at 2026-01-01T00:00:00Z"},
        {"{", ERROR_INPUT, "begins like JSON, and isn't"},
        {"{}", ERROR_INPUT, "JSON without a secret"},
        {"{\"account_key\":5}", ERROR_INPUT, "\"account_key\" isn't a text"},
        {"{\"account_key\":\"" KEY "\",\"sas_token\":\"sig=HIDDEN\"}", ERROR_INPUT,
         "more than one kind of secret"},
        {"{\"access_token\":\"HIDDEN a\"}", ERROR_INPUT, "a blank or a control character"},
        {"{\"access_token\":\"\"}", ERROR_INPUT, "no access token in it"},
        {"{\"access_token\":\"HIDDEN\",\"expires_on\":\"soon\"}", ERROR_INPUT, "\"expires_on\" must be"},
        {"{\"client_secret\":\"HIDDEN\",\"client_id\":\"c\"}", ERROR_INPUT, "without all of tenant_id"},
        {"{\"client_secret\":\"HIDDEN\",\"client_id\":\"c\",\"tenant_id\":\"t\"}", ERROR_UNSUPPORTED,
         "name it by credentials_ref"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        assert_null(parse(cases[i].text, "acc", NULL, &err));
        if (err.code != cases[i].code || strstr(err.message, cases[i].words) == NULL)
            fail_msg("%zu: wanted \"%s\", got %s: %s", i, cases[i].words, error_code_name(err.code),
                     err.message);
        assert_int_equal(err.retryable, cases[i].code == ERROR_DENIED);
    }
    struct error err = {0};
    unsetenv("AZURE_STORAGE_ACCOUNT");
    assert_null(parse(KEY, NULL, NULL, &err));
    assert_non_null(strstr(err.message, "of which account?"));
}

static void what_may_go_over_plain_http(void **state)
{
    (void)state;
    static const struct {
        const char *text, *endpoint;
        bool may;
    } cases[] = {
        {KEY, "http://store.example", true},
        {"sig=HIDDEN", "http://store.example", true},
        {"sig=HIDDEN&spr=https,http", "http://store.example", true},
        {"sig=HIDDEN&spr=https", "http://store.example", false},
        {"sig=HIDDEN&spr=https", "https://store.example", true},
        {"sig=HIDDEN&spr=https", "http://127.0.0.1:10000/acc", true},
        {"sig=HIDDEN&spr=https", NULL, true},
        {"BlobEndpoint=http://store.example;SharedAccessSignature=sig=HIDDEN&spr=https", NULL, false},
        {"{\"access_token\":\"HIDDEN\"}", "http://store.example", false},
        {"{\"access_token\":\"HIDDEN\"}", "http://localhost.example", false},
        {"{\"access_token\":\"HIDDEN\"}", "http://localhost:10000", true},
        {"{\"access_token\":\"HIDDEN\"}", "http://[::1]:10000/acc", true},
        {"{\"access_token\":\"HIDDEN\"}", NULL, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        struct azure_credentials *c = parse(cases[i].text, "acc", cases[i].endpoint, &err);
        if ((c != NULL) != cases[i].may)
            fail_msg("%zu: %s", i, c ? "may go" : err.message);
        if (c == NULL)
            assert_non_null(strstr(err.message, "https://"));
        azure_credentials_free(c);
    }
}

static void ids_tell_secrets_apart(void **state)
{
    (void)state;
    struct error err = {0};
    struct azure_credentials *a = parse("sig=HIDDEN1", "acc", NULL, &err),
                             *b = parse("sig=HIDDEN2", "acc", NULL, &err),
                             *c = parse("?sig=HIDDEN1", "acc", NULL, &err);
    assert_string_not_equal(a->id, b->id);
    assert_string_equal(a->id, c->id);
    azure_credentials_free(a);
    azure_credentials_free(b);
    azure_credentials_free(c);
    azure_credentials_free(NULL);
}

/* ---- answers ---- */

static void answers_with_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t lifetime_ms; /* 0: refused */
    } cases[] = {
        {"{\"access_token\":\"t\",\"expires_in\":60}", 60000},
        {"{\"access_token\":\"t\",\"expires_in\":\"60\",\"expires_on\":\"5\"}", 60000},
        {"{\"access_token\":\"t\",\"expires_on\":\"1767225660\",\"token_type\":\"bearer\"}", 60000},
        {"{\"access_token\":\"t\",\"expires_on\":1767225660,\"expires_in\":\"\"}", 60000},
        {"{\"access_token\":\"t\",\"expires_in\":0}", 0},
        {"{\"access_token\":\"t\",\"expires_in\":-60}", 0},
        {"{\"access_token\":\"t\",\"expires_in\":\"60s\"}", 0},
        {"{\"access_token\":\"t\",\"expires_in\":99999999999}", 0},
        {"{\"access_token\":\"t\",\"expires_on\":99999999999}", 0},
        {"{\"access_token\":\"t t\",\"expires_in\":60}", 0},
        {"{\"access_token\":\"\",\"expires_in\":60}", 0},
        {"{\"access_token\":5,\"expires_in\":60}", 0},
        {"{\"access_token\":\"t\",\"expires_in\":60,\"token_type\":\"pop\"}", 0},
        {"[]", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct azure_token token = {0};
        struct error err = {0};
        int rc = azure_answer_read("test", cases[i].body, strlen(cases[i].body), now_ms, &token, &err);
        assert_int_equal(rc, cases[i].lifetime_ms ? 0 : ERROR_PROTOCOL);
        assert_int_equal(token.expires_at_ms, cases[i].lifetime_ms ? now_ms + cases[i].lifetime_ms : 0);
        assert_true(rc == 0 || err.retryable);
        secret_free(token.text);
    }
    assert_int_equal(azure_answer_retry_after_ms("7"), 7000);
    assert_int_equal(azure_answer_retry_after_ms("999999"), 24 * 60 * 60 * 1000);
    assert_int_equal(azure_answer_retry_after_ms("Fri, 26 Jun 2015 23:39:12 GMT"), 0);
    assert_int_equal(azure_answer_retry_after_ms(NULL), 0);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum service_address address;
    } cases[] = {
        {"https://login.example", SERVICE_ADDRESS_HTTPS},
        {"HTTPS://login.example:8443/a/b", SERVICE_ADDRESS_HTTPS},
        {"http://login.example", SERVICE_ADDRESS_PLAIN},
        {"http://169.254.169.254", SERVICE_ADDRESS_PLAIN},
        {"http://127.0.0.1.example", SERVICE_ADDRESS_PLAIN},
        {"http://127.9.9.9:1/x", SERVICE_ADDRESS_HERE},
        {"http://localhost/", SERVICE_ADDRESS_HERE},
        {"http://[::1]:5", SERVICE_ADDRESS_HERE},
        {"http://[::2]:5", SERVICE_ADDRESS_PLAIN},
        {"http://[::1", SERVICE_ADDRESS_WRONG},
        {"http://[::1].example", SERVICE_ADDRESS_WRONG},
        {"http://127.0.0.1:1.example", SERVICE_ADDRESS_WRONG},
        {"http://localhost:80:90", SERVICE_ADDRESS_WRONG},
        {"http://", SERVICE_ADDRESS_WRONG},
        {"http:///x", SERVICE_ADDRESS_WRONG},
        {"http://localhost@login.example", SERVICE_ADDRESS_WRONG},
        {"http://login.example\\@localhost", SERVICE_ADDRESS_WRONG},
        {"https://a b", SERVICE_ADDRESS_WRONG},
        {"ftp://a", SERVICE_ADDRESS_WRONG},
        {"", SERVICE_ADDRESS_WRONG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(service_address_of(cases[i].url), cases[i].address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_hold_credentials),
        cmocka_unit_test(the_emulator_of_this_machine),
        cmocka_unit_test(texts_that_do_not),
        cmocka_unit_test(what_may_go_over_plain_http),
        cmocka_unit_test(ids_tell_secrets_apart),
        cmocka_unit_test(answers_with_tokens),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
