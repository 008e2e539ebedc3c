#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "storage/driver.h"

static void disks_have_a_driver(void **state)
{
    (void)state;
    struct error err = {0};
    const struct storage_driver *local = NULL;
    const struct storage_driver *external = NULL;
    assert_int_equal(storage_driver_find("local", &local, &err), 0);
    assert_int_equal(storage_driver_find("local_external", &external, &err), 0);
    assert_non_null(local);
    assert_ptr_equal(local, external);
    assert_string_equal(local->name, "posix");
    assert_true(local->capabilities & STORAGE_CAP_LOCAL_PATH);
}

static void s3_and_its_kin_share_a_driver(void **state)
{
    (void)state;
    static const char *const types[] = {"s3", "minio", "spaces", "backblaze"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct storage_driver *driver = NULL;
        struct error err = {0};
        assert_int_equal(storage_driver_find(types[i], &driver, &err), 0);
        assert_string_equal(driver->name, "s3");
        assert_true(driver->capabilities & STORAGE_CAP_ACCESS);
        assert_false(driver->capabilities & STORAGE_CAP_LOCAL_PATH);
    }
}

static void types_of_the_specification_without_a_driver(void **state)
{
    (void)state;
    static const char *const types[] = {"azure_blob", "gcs"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct storage_driver *driver = NULL;
        struct error err = {0};
        assert_int_equal(storage_driver_find(types[i], &driver, &err), ERROR_UNSUPPORTED);
        assert_null(driver);
        assert_false(err.retryable);
        assert_non_null(strstr(err.message, types[i]));
        assert_non_null(strstr(err.message, "no driver for it yet"));
    }
}

static void unknown_types_list_the_known_ones(void **state)
{
    (void)state;
    static const char *const unknown[] = {"ftp", "", NULL, "LOCAL", "local "};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        const struct storage_driver *driver = NULL;
        struct error err = {0};
        assert_int_equal(storage_driver_find(unknown[i], &driver, &err), ERROR_INPUT);
        assert_non_null(
            strstr(err.message, "local, local_external, s3, minio, spaces, backblaze, azure_blob, gcs"));
    }
}

static void an_override_serves_its_own_types_only(void **state)
{
    (void)state;
    static const char *const types[] = {"local", "gcs", NULL};
    static const struct storage_driver fake = {.name = "fake", .storage_types = types};
    struct error err = {0};
    const struct storage_driver *driver = NULL;
    storage_driver_override(&fake);
    assert_int_equal(storage_driver_find("gcs", &driver, &err), 0);
    assert_ptr_equal(driver, &fake);
    assert_int_equal(storage_driver_find("local_external", &driver, &err), 0);
    assert_string_equal(driver->name, "posix");
    storage_driver_override(NULL);
    assert_int_equal(storage_driver_find("local", &driver, &err), 0);
    assert_string_equal(driver->name, "posix");
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_have_a_driver),
        cmocka_unit_test(s3_and_its_kin_share_a_driver),
        cmocka_unit_test(types_of_the_specification_without_a_driver),
        cmocka_unit_test(unknown_types_list_the_known_ones),
        cmocka_unit_test(an_override_serves_its_own_types_only),
        cmocka_unit_test(configurations_that_are_accepted),
        cmocka_unit_test(absent_configuration),
        cmocka_unit_test(literal_secrets_are_refused),
        cmocka_unit_test(malformed_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
