/* storage_config: what is accepted, what is refused without being repeated, what is sealed, opened and shown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/keyring.h"
#include "storage/config.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "//////////////////////////////////////////8="

static void configurations_that_are_accepted(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        " {\"read_back\": true} ",
        "{\"bucket\":\"my-backups\",\"region\":\"us-east-1\"}",
        "{\"bucket\": \"b\", \"credentials_ref\": \"aws_backup_user_secret_id\"}",
        "{\"credentials_ref\": \"env:AWS\"}",
        "{\"credentials_ref\": \"file:/run/secrets/x\"}",
        "{\"credentials_ref\": \"vault:kv/backup#key\"}",
        "{\"credentials_ref\": \"aws-sm:id#field\"}",
        "{\"access_key_id\": \"AKIAIOSFODNN7EXAMPLE\"}",
        "{\"account_name\": \"x\", \"application_key_id\": \"1\"}",
        "{\"use_token\": false, \"password\": null, \"secret\": \"\"}",
        "{\"endpoint\": \"https://minio.example:9000/a?b=c@d:e\", \"kms_key_id\": \"alias/x\"}",
        "{\"note\": \"the password is in the safe\"}",
        "{\"bucket\":\"b\",\"sealed\":{\"key_id\":\"0123456789abcdef\",\"data\":\"QUJD\"}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err = {0};
        json_t *config = NULL;
        if (storage_config_parse(texts[i], &config, &err) != 0)
            fail_msg("%s: %s", texts[i], err.message);
        assert_true(json_is_object(config));
        json_decref(config);
    }
}

static void absent_configuration(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *config = (json_t *)&err;
    assert_int_equal(storage_config_parse(NULL, &config, &err), 0);
    assert_null(config);
    config = (json_t *)&err;
    assert_int_equal(storage_config_parse("", &config, &err), 0);
    assert_null(config);
}

/* Every value here holds "hunter2", which no message may repeat. */
static void literal_secrets_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *named;
    } cases[] = {
        {"{\"password\": \"hunter2\"}", "\"password\""},
        {"{\"Password\": \"hunter2\"}", "\"Password\""},
        {"{\"pass\": \"hunter2\"}", "\"pass\""},
        {"{\"secret\": \"hunter2\"}", "\"secret\""},
        {"{\"secret_key\": \"hunter2\"}", "\"secret_key\""},
        {"{\"secretKey\": \"hunter2\"}", "\"secretKey\""},
        {"{\"secret_access_key\": \"hunter2\"}", "\"secret_access_key\""},
        {"{\"aws_secret_access_key\": \"hunter2\"}", "\"aws_secret_access_key\""},
        {"{\"access_key\": \"hunter2\"}", "\"access_key\""},
        {"{\"account_key\": \"hunter2\"}", "\"account_key\""},
        {"{\"application-key\": \"hunter2\"}", "\"application-key\""},
        {"{\"sas_token\": \"hunter2\"}", "\"sas_token\""},
        {"{\"connection_string\": \"hunter2\"}", "\"connection_string\""},
        {"{\"session_token\": \"hunter2\"}", "\"session_token\""},
        {"{\"service_account_json\": \"{}\"}", "\"service_account_json\""},
        {"{\"private_key\": \"hunter2\"}", "\"private_key\""},
        {"{\"api_key\": \"hunter2\"}", "\"api_key\""},
        {"{\"client_secret\": \"hunter2\"}", "\"client_secret\""},
        {"{\"smb_password\": \"hunter2\"}", "\"smb_password\""},
        {"{\"password\": [\"hunter2\"]}", "\"password\""},
        {"{\"credentials\": {\"user\": \"hunter2\"}}", "\"credentials\""},
        {"{\"a\": [1, {\"b\": {\"token\": \"hunter2\"}}]}", "\"token\""},
        {"{\"service\": \"-----BEGIN RSA PRIVATE KEY-----\\nhunter2\"}", "\"service\""},
        {"{\"list\": [\"-----BEGIN PRIVATE KEY-----\\nhunter2\"]}", "\"list\""},
        {"{\"azure\": \"AccountName=x;AccountKey=hunter2\"}", "\"azure\""},
        {"{\"url\": \"https://x/y?sv=1&sig=hunter2\"}", "\"url\""},
        {"{\"endpoint\": \"https://user:hunter2@host/\"}", "\"endpoint\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        json_t *config = NULL;
        if (storage_config_parse(cases[i].text, &config, &err) != ERROR_INPUT)
            fail_msg("accepted: %s", cases[i].text);
        assert_null(config);
        assert_false(err.retryable);
        assert_non_null(strstr(err.message, cases[i].named));
        assert_non_null(strstr(err.message, "credentials_ref"));
        assert_null(strstr(err.message, "hunter2"));
    }
}

static void malformed_configurations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"{", "line 1"},
        {"{\"a\": hunter2}", "line 1, column"},
        {"[]", "must be a JSON object"},
        {"\"text\"", "must be a JSON object"},
        {"null", "must be a JSON object"},
        {"{\"a\": 1} x", "not valid JSON"},
        {"{\"a\": 1, \"a\": 2}", "twice"},
        {" ", "not valid JSON"},
        {"{\"credentials_ref\": {\"password\": \"hunter2\"}}", "must be a string"},
        {"{\"sealed\": \"***\"}", "--encrypt-config"},
        {"{\"sealed\": {}}", "--encrypt-config"},
        {"{\"sealed\": {\"key_id\": \"0123456789abcdef\"}}", "--encrypt-config"},
        {"{\"sealed\": {\"key_id\": \"0123456789abcdeF\", \"data\": \"QUJD\"}}", "--encrypt-config"},
        {"{\"sealed\": {\"key_id\": \"0123456789abcde\", \"data\": \"QUJD\"}}", "--encrypt-config"},
        {"{\"sealed\": {\"key_id\": \"0123456789abcdef\", \"data\": \"\"}}", "--encrypt-config"},
        {"{\"sealed\": {\"key_id\": \"0123456789abcdef\", \"data\": \"QUJD\", \"password\": \"hunter2\"}}",
         "--encrypt-config"},
        {"{\"credentials_ref\": 5}", "must be a string"},
        {"{\"credentials_ref\": \"\"}", "must be a string"},
        {"{\"credentials_ref\": \"env:\"}", "must be a string"},
        {"{\"credentials_ref\": \"literal:hunter2\"}", "must be a string"},
        {"{\"credentials_ref\": \"hunter2 with blanks\"}", "must be a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        json_t *config = NULL;
        assert_int_equal(storage_config_parse(cases[i].text, &config, &err), ERROR_INPUT);
        assert_null(config);
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_null(strstr(err.message, "hunter2"));
    }
    size_t size = 70000;
    char *large = malloc(size + 1);
    memset(large, ' ', size);
    large[0] = '{';
    large[size - 1] = '}';
    large[size] = '\0';
    struct error err = {0};
    json_t *config = NULL;
    assert_int_equal(storage_config_parse(large, &config, &err), ERROR_INPUT);
    free(large);
}

/* What it parses to, its secrets let through. */
static json_t *literal(const char *text)
{
    json_t *config = NULL;
    struct error err = {0};
    if (storage_config_parse_literal(text, &config, &err))
        fail_msg("%s: %s", text, err.message);
    return config;
}

static struct keyring *ring_of(const char *first, const char *second)
{
    struct keyring *ring = keyring_new();
    struct error err;
    assert_non_null(ring);
    assert_int_equal(keyring_add(ring, first, "first", &err), 0);
    if (second)
        assert_int_equal(keyring_add(ring, second, "second", &err), 0);
    return ring;
}

static json_t *sealed_with(const struct keyring *ring, const char *text)
{
    json_t *plain = literal(text), *sealed = NULL;
    struct error err = {0};
    if (storage_config_seal(plain, ring, &sealed, &err))
        fail_msg("%s: %s", text, err.message);
    storage_config_free(plain);
    return sealed;
}

static void secrets_are_sealed_and_opened(void **state)
{
    (void)state;
    static const char text[] =
        "{\"bucket\": \"b\", \"secret_access_key\": \"hunter2\", \"access_key_id\": \"AK\","
        " \"azure\": {\"name\": \"n\", \"account_key\": \"hunter2\"},"
        " \"endpoint\": \"https://u:hunter2@host\"}";
    struct keyring *ring = ring_of(KEY_1, NULL);
    json_t *sealed = sealed_with(ring, text);
    char *dump = json_dumps(sealed, JSON_COMPACT);
    assert_null(strstr(dump, "hunter2"));
    assert_null(strstr(dump, "account_key"));
    assert_string_equal(json_string_value(json_object_get(sealed, "bucket")), "b");
    assert_string_equal(json_string_value(json_object_get(sealed, "access_key_id")), "AK");
    assert_int_equal(json_object_size(sealed), 3);
    assert_string_equal(storage_config_key_id(sealed), keyring_current_id(ring));

    /* as it is stored and read again */
    json_t *parsed = NULL, *opened = NULL, *wanted = literal(text);
    struct error err = {0};
    assert_int_equal(storage_config_parse(dump, &parsed, &err), 0);
    assert_int_equal(storage_config_open(parsed, ring, &opened, &err), 0);
    assert_true(json_equal(opened, wanted));
    assert_non_null(json_object_get(parsed, "sealed"));
    storage_config_free(opened);
    storage_config_free(wanted);
    json_decref(parsed);
    json_decref(sealed);
    free(dump);
    keyring_free(ring);
}

static void without_secrets_nothing_is_sealed(void **state)
{
    (void)state;
    struct keyring *empty = keyring_new();
    json_t *same = sealed_with(empty, "{\"bucket\": \"b\", \"credentials_ref\": \"env:X\"}");
    assert_null(json_object_get(same, "sealed"));
    assert_null(storage_config_key_id(same));
    json_t *opened = NULL;
    struct error err;
    assert_int_equal(storage_config_open(same, NULL, &opened, &err), 0);
    assert_true(json_equal(opened, same));
    storage_config_free(opened);
    assert_int_equal(storage_config_open(NULL, NULL, &opened, &err), 0);
    assert_null(opened);
    json_decref(same);
    keyring_free(empty);
}

static void what_cannot_be_sealed(void **state)
{
    (void)state;
    struct keyring *ring = ring_of(KEY_1, NULL), *empty = keyring_new();
    json_t *config = literal("{\"password\": \"hunter2\"}"), *ret = NULL;
    struct error err;
    assert_int_equal(storage_config_seal(config, empty, &ret, &err), ERROR_INPUT);
    assert_non_null(strstr(err.message, "openssl rand -base64 32"));
    json_decref(config);
    config = literal(
        "{\"sealed\": {\"key_id\": \"0123456789abcdef\", \"data\": \"QUJD\"}, \"password\": \"hunter2\"}");
    assert_int_equal(storage_config_seal(config, ring, &ret, &err), ERROR_INPUT);
    json_decref(config);
    /* a reference that is none isn't hidden away */
    config = NULL;
    assert_int_equal(storage_config_parse_literal("{\"credentials_ref\": \"hunter2 !\"}", &config, &err),
                     ERROR_INPUT);
    assert_null(strstr(err.message, "hunter2"));
    assert_null(config);
    assert_null(ret);
    keyring_free(ring);
    keyring_free(empty);
}

static void assert_does_not_open(const json_t *config, const struct keyring *ring, int code)
{
    json_t *opened = NULL;
    struct error err = {0};
    assert_int_equal(storage_config_open(config, ring, &opened, &err), code);
    assert_null(opened);
    assert_null(strstr(err.message, "hunter2"));
}

static void what_cannot_be_opened(void **state)
{
    (void)state;
    struct keyring *one = ring_of(KEY_1, NULL), *two = ring_of(KEY_2, NULL), *both = ring_of(KEY_2, KEY_1);
    json_t *config = sealed_with(one, "{\"password\": \"hunter2\"}"), *opened = NULL;
    json_t *sealed = json_object_get(config, "sealed");
    struct error err;
    assert_does_not_open(config, two, ERROR_NOT_FOUND);
    assert_does_not_open(config, NULL, ERROR_INPUT);
    assert_int_equal(storage_config_open(config, both, &opened, &err), 0);
    storage_config_free(opened);

    /* another key's id, then other data */
    char id[KEYRING_ID_SIZE];
    snprintf(id, sizeof id, "%s", storage_config_key_id(config));
    json_object_set_new(sealed, "key_id", json_string(keyring_current_id(two)));
    assert_does_not_open(config, both, ERROR_CORRUPT);
    json_object_set_new(sealed, "key_id", json_string(id));
    char *data = strdup(json_string_value(json_object_get(sealed, "data")));
    data[20] = data[20] == 'A' ? 'B' : 'A';
    json_object_set_new(sealed, "data", json_string(data));
    assert_does_not_open(config, one, ERROR_CORRUPT);
    free(data);
    json_decref(config);

    /* encrypted well, but something else */
    static const struct {
        const char *context, *text;
    } cases[] = {
        {"something else", "{}"}, {"storage_config", "[]"}, {"storage_config", "{\"bucket\": \"c\"}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            keyring_seal(one, cases[i].context, cases[i].text, strlen(cases[i].text), id, &data, &err), 0);
        config = json_pack("{s:s, s:{s:s, s:s}}", "bucket", "b", "sealed", "key_id", id, "data", data);
        assert_does_not_open(config, one, ERROR_CORRUPT);
        json_decref(config);
        free(data);
    }
    keyring_free(one);
    keyring_free(two);
    keyring_free(both);
}

static void what_is_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"{\"bucket\": \"b\"}", "{\"bucket\": \"b\"}"},
        {"{\"bucket\": \"b\", \"sealed\": {\"key_id\": \"0123456789abcdef\", \"data\": \"QUJD\"}}",
         "{\"bucket\":\"b\",\"sealed\":\"***\"}"},
        {"{\"sealed\": 1, \"password\": \"hunter2\"}", "{\"sealed\":\"***\",\"password\":\"***\"}"},
        {"{\"a\": {\"token\": \"hunter2\"}, \"b\": 1}", "{\"a\":\"***\",\"b\":1}"},
        {"{\"password\": \"hunter2\", \"password\": null}", "{\"password\":null}"},
        {"{\"credentials_ref\": \"hunter2 !\"}", "{\"credentials_ref\":\"***\"}"},
        {"[\"hunter2\"]", "***"},
        {"hunter2", "***"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *shown = storage_config_redact(cases[i].text);
        assert_string_equal(shown, cases[i].shown);
        free(shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_that_are_accepted),
        cmocka_unit_test(absent_configuration),
        cmocka_unit_test(literal_secrets_are_refused),
        cmocka_unit_test(malformed_configurations),
        cmocka_unit_test(secrets_are_sealed_and_opened),
        cmocka_unit_test(without_secrets_nothing_is_sealed),
        cmocka_unit_test(what_cannot_be_sealed),
        cmocka_unit_test(what_cannot_be_opened),
        cmocka_unit_test(what_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
