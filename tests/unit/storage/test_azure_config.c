#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/azure/config.h"

static int load(const char *text, json_t **ret_json, struct azure_config *ret, struct error *err)
{
    json_error_t at;
    *ret_json = text ? json_loads(text, 0, &at) : NULL;
    if (text && *ret_json == NULL)
        fail_msg("%s: %s", at.text, text);
    const struct storage_location location = {.storage_type = "azure_blob", .config = *ret_json};
    return azure_config_load(&location, ret, err);
}

#define CONTAINER "\"container\": \"backups\""

static void places(void **state)
{
    (void)state;
    static const struct {
        const char *text, *base_url, *account;
    } cases[] = {
        {"{" CONTAINER ", \"account\": \"shop\"}", "https://shop.blob.core.windows.net", "shop"},
        {"{" CONTAINER ", \"account\": \"shop\", \"endpoint\": null, \"prefix\": \"\"}",
         "https://shop.blob.core.windows.net", "shop"},
        {"{" CONTAINER ", \"endpoint\": \"https://shop.blob.core.windows.net/\"}",
         "https://shop.blob.core.windows.net", "shop"},
        {"{" CONTAINER ", \"endpoint\": \"https://shop.blob.core.chinacloudapi.cn\"}",
         "https://shop.blob.core.chinacloudapi.cn", "shop"},
        {"{" CONTAINER ", \"endpoint\": \"https://shop.blob.core.usgovcloudapi.net:443\", \"account\": "
         "\"shop\"}",
         "https://shop.blob.core.usgovcloudapi.net", "shop"},
        {"{" CONTAINER ", \"endpoint\": \"https://shop-secondary.blob.core.windows.net\"}",
         "https://shop-secondary.blob.core.windows.net", "shop"},
        {"{" CONTAINER ", \"endpoint\": \"https://blobs.shop.example\"}", "https://blobs.shop.example", ""},
        {"{" CONTAINER ", \"endpoint\": \"https://blobs.shop.example\", \"account\": \"shop\"}",
         "https://blobs.shop.example", "shop"},
        {"{" CONTAINER ", \"endpoint\": \"http://127.0.0.1:10000/devstoreaccount1\"}",
         "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"},
        {"{" CONTAINER ", \"endpoint\": \"http://127.0.0.1:10000\", \"account\": \"devstoreaccount1\"}",
         "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"},
        {"{" CONTAINER ", \"endpoint\": \"http://azurite:10000/\", \"account\": \"devstoreaccount1\"}",
         "http://azurite:10000/devstoreaccount1", "devstoreaccount1"},
        {"{" CONTAINER ", \"endpoint\": \"HTTP://[::1]:10000/devstoreaccount1/\", \"account\": "
         "\"devstoreaccount1\"}",
         "http://[::1]:10000/devstoreaccount1", "devstoreaccount1"},
        {"{" CONTAINER "}", "", ""}, /* the credentials will tell */
        {"{" CONTAINER ", \"account\": \"shop\", \"connection_string\": \"AccountName=shop;AccountKey=a\"}",
         "", "shop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct azure_config config;
        struct error err = {0};
        if (load(cases[i].text, &json, &config, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_string_equal(config.base_url, cases[i].base_url);
        assert_string_equal(config.account, cases[i].account);
        assert_int_equal(config.https, strncmp(cases[i].base_url, "http:", 5) != 0);
        json_decref(json);
    }
}

static void places_that_credentials_tell(void **state)
{
    (void)state;
    static const struct {
        const char *text, *account, *endpoint, *base_url, *account_then;
    } cases[] = {
        {"{" CONTAINER "}", "shop", NULL, "https://shop.blob.core.windows.net", "shop"},
        {"{" CONTAINER "}", "shop", "https://shop.blob.core.chinacloudapi.cn",
         "https://shop.blob.core.chinacloudapi.cn", "shop"},
        {"{" CONTAINER "}", NULL, "http://127.0.0.1:10000/devstoreaccount1",
         "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"},
        {"{" CONTAINER ", \"account\": \"shop\"}", "other", "https://other.blob.core.windows.net",
         "https://shop.blob.core.windows.net", "shop"},
        {"{" CONTAINER ", \"endpoint\": \"https://blobs.shop.example\"}", "shop", NULL,
         "https://blobs.shop.example", "shop"},
        {"{" CONTAINER "}", NULL, NULL, NULL, NULL},
        {"{" CONTAINER "}", "", "", NULL, NULL},
        {"{" CONTAINER "}", "shop", "ftp://shop", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct azure_config config;
        struct error err = {0};
        assert_int_equal(load(cases[i].text, &json, &config, &err), 0);
        int rc = azure_config_place(&config, cases[i].account, cases[i].endpoint, &err);
        assert_int_equal(rc, cases[i].base_url ? 0 : ERROR_INPUT);
        if (rc == 0) {
            assert_string_equal(config.base_url, cases[i].base_url);
            assert_string_equal(config.account, cases[i].account_then);
            /* once told, it stands */
            assert_int_equal(azure_config_place(&config, "another", "https://another.example", &err), 0);
            assert_string_equal(config.base_url, cases[i].base_url);
            assert_string_equal(config.account, cases[i].account_then);
        }
        json_decref(json);
    }
}

static void what_is_not_said(void **state)
{
    (void)state;
    json_t *json;
    struct azure_config config;
    struct error err = {0};
    assert_int_equal(load("{" CONTAINER ", \"account\": \"shop\"}", &json, &config, &err), 0);
    assert_string_equal(config.container, "backups");
    assert_string_equal(config.endpoint, "shop");
    assert_string_equal(config.api_version, "2021-12-02");
    assert_int_equal(config.checksum, AZURE_CHECKSUM_AUTO);
    assert_int_equal(config.multipart_threshold, 16 << 20);
    assert_int_equal(config.part_size, 0);
    assert_int_equal(config.max_parts, 50000);
    assert_int_equal(config.parallel_parts, 4);
    assert_int_equal(config.max_requests, 32);
    assert_false(config.legal_hold || config.read_back);
    assert_null(config.tier);
    json_decref(json);

    assert_int_equal(
        load("{" CONTAINER ", \"account\": \"shop\", \"tier\": \"Cool\", \"checksum\": \"none\", "
             "\"part_size\": \"8MiB\", \"multipart_threshold\": 1, \"max_parts\": 7, \"parallel_parts\": 2, "
             "\"max_requests\": 3, \"legal_hold\": true, \"read_back\": true, \"immutability_days\": 30, "
             "\"immutability_mode\": \"locked\", \"api_version\": \"2024-08-04\", \"encryption_scope\": "
             "\"scope\", \"tags\": {\"a b\": \"c+d=e\"}, \"client_id\": \"c\", \"tenant_id\": \"t\"}",
             &json, &config, &err),
        0);
    assert_string_equal(config.tier, "Cool");
    assert_int_equal(config.checksum, AZURE_CHECKSUM_NONE);
    assert_int_equal(config.part_size, 8 << 20);
    assert_int_equal(config.multipart_threshold, 1);
    assert_int_equal(config.max_parts, 7);
    assert_true(config.legal_hold && config.read_back);
    assert_int_equal(config.immutability_days, 30);
    json_decref(json);
}

static void what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {NULL, "\"container\" is missing"},
        {"{}", "\"container\" is missing"},
        {"{\"container\": \"Backups\"}", "\"container\" must be"},
        {"{\"container\": \"ab\"}", "\"container\" must be"},
        {"{\"container\": \"a--b\"}", "\"container\" must be"},
        {"{\"container\": \"-ab\"}", "\"container\" must be"},
        {"{\"container\": \"ab-\"}", "\"container\" must be"},
        {"{\"container\": \"a/b\"}", "\"container\" must be"},
        {"{" CONTAINER ", \"account\": \"Shop\"}", "\"account\" must be"},
        {"{" CONTAINER ", \"account\": \"a\"}", "\"account\" must be"},
        {"{" CONTAINER ", \"bucket\": \"b\"}", "\"bucket\" is unknown here; known: account, container"},
        {"{" CONTAINER ", \"endpoint\": \"shop.blob.core.windows.net\"}", "\"endpoint\" must be"},
        {"{" CONTAINER ", \"endpoint\": \"https://u:p@shop.example\"}", "\"endpoint\" must be"},
        {"{" CONTAINER ", \"endpoint\": \"https://shop.example/a?b\"}", "\"endpoint\" must be"},
        {"{" CONTAINER ", \"account\": \"shop\", \"endpoint\": \"https://stop.blob.core.windows.net\"}",
         "name two accounts"},
        {"{" CONTAINER ", \"account\": \"shop\", \"endpoint\": \"http://127.0.0.1:10000/stop\"}",
         "name two accounts"},
        {"{" CONTAINER ", \"tier\": \"cool\"}", "\"tier\" must be"},
        {"{" CONTAINER ", \"checksum\": \"crc32c\"}", "\"checksum\" must be"},
        {"{" CONTAINER ", \"immutability_mode\": \"locked\"}", "go together"},
        {"{" CONTAINER ", \"immutability_days\": 3}", "go together"},
        {"{" CONTAINER ", \"immutability_mode\": \"Locked\", \"immutability_days\": 3}",
         "\"immutability_mode\" must be"},
        {"{" CONTAINER ", \"customer_key_ref\": \"env:K\", \"encryption_scope\": \"scope\"}", "exclude each"},
        {"{" CONTAINER ", \"customer_key_ref\": \"env:K\", \"endpoint\": \"http://127.0.0.1:10000/abc\"}",
         "must be https"},
        {"{" CONTAINER ", \"account_key\": \"c2VjcmV0\"}", "\"account_key\" goes with \"account\""},
        {"{" CONTAINER ", \"account\": \"shop\", \"account_key\": \"c2VjcmV0\", \"sas_token\": \"sig=x\"}",
         "keep one"},
        {"{" CONTAINER ", \"account\": \"shop\", \"account_key\": \"c2VjcmV0\", \"credentials_ref\": "
         "\"env:K\"}",
         "keep one"},
        {"{" CONTAINER ", \"client_id\": \"c\", \"credentials_ref\": \"env:K\"}", "keep one"},
        {"{" CONTAINER ", \"part_size\": 1000}", "\"part_size\" must be"},
        {"{" CONTAINER ", \"part_size\": \"4001MiB\"}", "\"part_size\" must be"},
        {"{" CONTAINER ", \"multipart_threshold\": \"5001MiB\"}", "\"multipart_threshold\" must be"},
        {"{" CONTAINER ", \"max_parts\": 50001}", "\"max_parts\" must be"},
        {"{" CONTAINER ", \"api_version\": \"2021\"}", "\"api_version\" must be"},
        {"{" CONTAINER ", \"api_version\": \"2017-04-17\"}", "\"api_version\" must be"},
        {"{" CONTAINER ", \"tags\": {\"a\": \"b&c\"}}", "\"tags\""},
        {"{" CONTAINER ", \"tags\": {\"\": \"b\"}}", "\"tags\" must be"},
        {"{" CONTAINER
         ", \"tags\": {\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\",\"6\":\"\",\"7\":\"\","
         "\"8\":\"\",\"9\":\"\",\"10\":\"\",\"11\":\"\"}}",
         "\"tags\" must be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct azure_config config = {.max_parts = 77};
        struct error err = {0};
        if (load(cases[i].text, &json, &config, &err) != ERROR_INPUT || err.retryable ||
            strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_null(strstr(err.message, "c2VjcmV0"));
        assert_int_equal(config.max_parts, 77);
        json_decref(json);
    }
}

static void keys(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool ok;
    } cases[] = {
        {"shop/2025/11/02/shop_20251102_080000.sql.gz", true},
        {"a", true},
        {"a b/\xc3\xa4/(1)'!", true},
        {".hidden/a", true},
        {"a//b", true},
        {"", false},
        {"a/", false},
        {"a.", false},
        {"a./b", false},
        {"a/.", false},
        {"a/../b", false},
        {"a\\b", false},
        {"a\nb", false},
        {"\xff", false},
    };
    struct error err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = azure_config_check_key(cases[i].key, &err);
        if (rc != (cases[i].ok ? 0 : ERROR_UNSAFE_PATH))
            fail_msg("'%s': %d %s", cases[i].key, rc, err.message);
    }
    char longest[1026];
    memset(longest, 'k', sizeof longest);
    longest[1024] = '\0';
    assert_int_equal(azure_config_check_key(longest, &err), 0);
    longest[1024] = 'k';
    longest[1025] = '\0';
    assert_int_equal(azure_config_check_key(longest, &err), ERROR_UNSAFE_PATH);
    assert_int_equal(azure_config_check_key(NULL, &err), ERROR_UNSAFE_PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(places_that_credentials_tell),
        cmocka_unit_test(what_is_not_said),
        cmocka_unit_test(what_is_wrong),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
