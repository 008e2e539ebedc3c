#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/s3/config.h"

static int load(const char *storage_type, const char *text, json_t **ret_json, struct s3_config *ret,
                struct error *err)
{
    json_error_t at;
    *ret_json = text ? json_loads(text, 0, &at) : NULL;
    if (text && *ret_json == NULL)
        fail_msg("%s: %s", at.text, text);
    const struct storage_location location = {.storage_type = storage_type, .config = *ret_json};
    return s3_config_load(&location, ret, err);
}

static void places(void **state)
{
    (void)state;
    static const struct {
        const char *storage_type, *text;
        const char *scheme_host, *region;
        bool region_said, virtual_hosted;
    } cases[] = {
        {"s3", "{\"bucket\": \"my-backups\", \"region\": \"eu-west-1\"}",
         "https://my-backups.s3.eu-west-1.amazonaws.com", "eu-west-1", true, true},
        {"s3", "{\"bucket\": \"my-backups\", \"prefix\": \"\"}",
         "https://my-backups.s3.us-east-1.amazonaws.com", "us-east-1", false, true},
        {"s3", "{\"bucket\": \"my-backups\", \"region\": null, \"prefix\": \"/a/b/\"}",
         "https://my-backups.s3.us-east-1.amazonaws.com", "us-east-1", false, true},
        {"s3", "{\"bucket\": \"my-backups\", \"region\": \"cn-north-1\"}",
         "https://my-backups.s3.cn-north-1.amazonaws.com.cn", "cn-north-1", true, true},
        {"s3", "{\"bucket\": \"my.backups\", \"region\": \"eu-west-1\"}",
         "https://s3.eu-west-1.amazonaws.com", "eu-west-1", true, false},
        {"s3", "{\"bucket\": \"My_Backups\"}", "https://s3.us-east-1.amazonaws.com", "us-east-1", false,
         false},
        {"s3", "{\"bucket\": \"my-backups\", \"addressing\": \"path\"}", "https://s3.us-east-1.amazonaws.com",
         "us-east-1", false, false},
        {"s3", "{\"bucket\": \"my-backups\", \"endpoint\": \"https://s3.eu-west-1.amazonaws.com\"}",
         "https://s3.eu-west-1.amazonaws.com", "eu-west-1", true, false},
        {"s3", "{\"bucket\": \"b-b\", \"endpoint\": \"https://ceph.example\", \"region\": \"zone_1\"}",
         "https://ceph.example", "zone_1", true, false},
        {"s3", "{\"bucket\": \"b-b\", \"endpoint\": \"https://ceph.example\", \"addressing\": \"virtual\"}",
         "https://b-b.ceph.example", "us-east-1", false, true},
        {"minio", "{\"bucket\": \"b-b\", \"endpoint\": \"http://127.0.0.1:9000\"}", "http://127.0.0.1:9000",
         "us-east-1", false, false},
        {"minio", "{\"bucket\": \"b-b\", \"endpoint\": \"HTTP://MinIO.Example:80/\"}", "http://minio.example",
         "us-east-1", false, false},
        {"minio", "{\"bucket\": \"b-b\", \"endpoint\": \"https://minio.example:443\"}",
         "https://minio.example", "us-east-1", false, false},
        {"minio", "{\"bucket\": \"b-b\", \"endpoint\": \"https://minio.example:80\"}",
         "https://minio.example:80", "us-east-1", false, false},
        {"minio", "{\"bucket\": \"b-b\", \"endpoint\": \"http://[::1]:9000\"}", "http://[::1]:9000",
         "us-east-1", false, false},
        {"spaces", "{\"bucket\": \"b-b\", \"region\": \"nyc3\"}", "https://b-b.nyc3.digitaloceanspaces.com",
         "nyc3", true, true},
        {"spaces", "{\"bucket\": \"b-b\", \"endpoint\": \"https://fra1.digitaloceanspaces.com\"}",
         "https://fra1.digitaloceanspaces.com", "fra1", true, false},
        {"spaces",
         "{\"bucket\": \"b-b\", \"endpoint\": \"https://fra1.digitaloceanspaces.com\", \"region\": \"us-east-1\"}",
         "https://fra1.digitaloceanspaces.com", "us-east-1", true, false},
        {"backblaze", "{\"bucket\": \"b-b\", \"region\": \"us-west-004\"}",
         "https://b-b.s3.us-west-004.backblazeb2.com", "us-west-004", true, true},
        {"backblaze", "{\"bucket\": \"b-b\", \"endpoint\": \"https://s3.eu-central-003.backblazeb2.com/\"}",
         "https://s3.eu-central-003.backblazeb2.com", "eu-central-003", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct s3_config config;
        struct error err = {0};
        if (load(cases[i].storage_type, cases[i].text, &json, &config, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_string_equal(config.scheme_host, cases[i].scheme_host);
        assert_string_equal(config.region, cases[i].region);
        assert_int_equal(config.region_said, cases[i].region_said);
        assert_int_equal(config.virtual_hosted, cases[i].virtual_hosted);
        assert_int_equal(config.https, strncmp(cases[i].scheme_host, "https", 5) == 0);
        json_decref(json);
    }
}

static void regions_that_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme_host;
    } cases[] = {
        {"{\"bucket\": \"b-b\"}", "https://b-b.s3.ap-south-2.amazonaws.com"},
        {"{\"bucket\": \"b.b\"}", "https://s3.ap-south-2.amazonaws.com"},
        {"{\"bucket\": \"b-b\", \"endpoint\": \"https://ceph.example\"}", "https://ceph.example"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct s3_config config;
        struct error err = {0};
        assert_int_equal(load("s3", cases[i].text, &json, &config, &err), 0);
        s3_config_set_region(&config, "eu-west-1");
        s3_config_set_region(&config, "ap-south-2");
        assert_string_equal(config.scheme_host, cases[i].scheme_host);
        assert_string_equal(config.region, "ap-south-2");
        json_decref(json);
    }
}

static void presets_and_what_overrides_them(void **state)
{
    (void)state;
    static const struct {
        const char *storage_type, *text;
        enum s3_checksum checksum;
        bool conditional_write;
        enum aws_chain chain;
    } cases[] = {
        {"s3", "{\"bucket\": \"b-b\"}", S3_CHECKSUM_CRC32C, true, AWS_CHAIN_FULL},
        {"s3", "{\"bucket\": \"b-b\", \"endpoint\": \"https://s3.dualstack.eu-west-1.amazonaws.com\"}",
         S3_CHECKSUM_CRC32C, true, AWS_CHAIN_FULL},
        {"s3", "{\"bucket\": \"b-b\", \"endpoint\": \"https://s3.cn-north-1.amazonaws.com.cn\"}",
         S3_CHECKSUM_CRC32C, true, AWS_CHAIN_FULL},
        /* an S3 of unknown make */
        {"s3", "{\"bucket\": \"b-b\", \"endpoint\": \"https://amazonaws.com.example\"}", S3_CHECKSUM_MD5,
         false, AWS_CHAIN_FULL},
        {"s3",
         "{\"bucket\": \"b-b\", \"endpoint\": \"https://x.example\", \"checksum\": \"crc32c\", "
         "\"conditional_write\": true}",
         S3_CHECKSUM_CRC32C, true, AWS_CHAIN_FULL},
        {"minio", "{\"bucket\": \"b-b\", \"endpoint\": \"http://m\"}", S3_CHECKSUM_CRC32C, true,
         AWS_CHAIN_ENVIRONMENT_FILES},
        {"minio",
         "{\"bucket\": \"b-b\", \"endpoint\": \"http://m\", \"checksum\": \"none\", \"conditional_write\": false}",
         S3_CHECKSUM_NONE, false, AWS_CHAIN_ENVIRONMENT_FILES},
        {"spaces", "{\"bucket\": \"b-b\", \"region\": \"nyc3\"}", S3_CHECKSUM_MD5, false,
         AWS_CHAIN_ENVIRONMENT_FILES},
        {"backblaze", "{\"bucket\": \"b-b\", \"region\": \"us-west-004\"}", S3_CHECKSUM_MD5, false,
         AWS_CHAIN_ENVIRONMENT_FILES},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct s3_config config;
        struct error err = {0};
        if (load(cases[i].storage_type, cases[i].text, &json, &config, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_string_equal(config.preset->storage_type, cases[i].storage_type);
        if (config.checksum != cases[i].checksum || config.conditional_write != cases[i].conditional_write)
            fail_msg("%s: checksum %d, conditional %d", cases[i].text, (int)config.checksum,
                     config.conditional_write);
        assert_int_equal(config.preset->chain, cases[i].chain);
        assert_int_equal(config.part_size, 0);
        assert_int_equal(config.multipart_threshold, 16 << 20);
        assert_int_equal(config.max_parts, 10000);
        assert_int_equal(config.parallel_parts, 4);
        assert_int_equal(config.max_requests, 32);
        json_decref(json);
    }
}

static void every_member(void **state)
{
    (void)state;
    static const char text[] =
        "{\"bucket\": \"b-b\", \"region\": \"eu-west-1\", \"prefix\": \"p/\", \"addressing\": \"virtual\","
        " \"ca_file\": \"/etc/ca.pem\", \"credentials_ref\": \"env:X\", \"storage_class\": \"STANDARD_IA\","
        " \"sse\": \"aws:kms\", \"sse_kms_key_id\": \"alias/x\", \"sse_kms_context\": {\"a\": \"b\"},"
        " \"sse_bucket_key\": true, \"object_lock_mode\": \"GOVERNANCE\", \"object_lock_days\": 30,"
        " \"object_lock_legal_hold\": true, \"tags\": {\"k\": \"v\", \"\xc3\xa0\": \"\"},"
        " \"expected_bucket_owner\": \"123456789012\", \"checksum\": \"md5\", \"conditional_write\": false,"
        " \"part_size\": \"64MiB\", \"max_parts\": 1000, \"multipart_threshold\": 5242880, \"parallel_parts\": 8,"
        " \"max_requests\": 100, \"read_back\": true}";
    json_t *json;
    struct s3_config c;
    struct error err = {0};
    if (load("s3", text, &json, &c, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(c.bucket, "b-b");
    assert_string_equal(c.ca_file, "/etc/ca.pem");
    assert_string_equal(c.credentials_ref, "env:X");
    assert_string_equal(c.storage_class, "STANDARD_IA");
    assert_string_equal(c.sse, "aws:kms");
    assert_string_equal(c.sse_kms_key_id, "alias/x");
    assert_int_equal(json_object_size(c.sse_kms_context), 1);
    assert_int_equal(json_object_size(c.tags), 2);
    assert_true(c.sse_bucket_key && c.object_lock_legal_hold && c.read_back && !c.conditional_write);
    assert_string_equal(c.object_lock_mode, "GOVERNANCE");
    assert_int_equal(c.object_lock_days, 30);
    assert_string_equal(c.expected_bucket_owner, "123456789012");
    assert_int_equal(c.checksum, S3_CHECKSUM_MD5);
    assert_int_equal(c.part_size, 64 << 20);
    assert_int_equal(c.max_parts, 1000);
    assert_int_equal(c.multipart_threshold, 5 << 20);
    assert_int_equal(c.parallel_parts, 8);
    assert_int_equal(c.max_requests, 100);
    json_decref(json);

    static const char sealed[] =
        "{\"bucket\": \"b-b\", \"endpoint\": \"https://m\", \"access_key_id\": \"ID\", \"secret_access_key\": \"S\","
        " \"session_token\": \"T\", \"sse\": \"customer\", \"sse_customer_key_ref\": \"file:/k\"}";
    assert_int_equal(load("minio", sealed, &json, &c, &err), 0);
    assert_string_equal(c.access_key_id, "ID");
    assert_string_equal(c.secret_access_key, "S");
    assert_string_equal(c.session_token, "T");
    assert_string_equal(c.sse_customer_key_ref, "file:/k");
    json_decref(json);
}

/* Each of these is added to a configuration that is right without it; "hunter2" must not be repeated. */
static void values_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *members, *says;
    } cases[] = {
        {"\"bucket\": \"\"", "\"bucket\" must be"},
        {"\"bucket\": \"ab\"", "\"bucket\" must be"},
        {"\"bucket\": \"a/b\"", "\"bucket\" must be"},
        {"\"bucket\": \"a..b\"", "\"bucket\" must be"},
        {"\"bucket\": \"hunter2 x\"", "\"bucket\" must be"},
        {"\"bucket\": 5", "\"bucket\" must be"},
        {"\"region\": \"a b\"", "\"region\" must be"},
        {"\"region\": \"x.evil.example/\"", "\"region\" must be"},
        {"\"endpoint\": \"minio.example\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"ftp://x\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://x/path\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://x?q\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://me:hunter2@x\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://x:0\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://x:99999\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://x:\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://[::1\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://[]\"", "\"endpoint\" must be"},
        {"\"endpoint\": \"https://x\\n\"", "\"endpoint\" must be"},
        {"\"prefix\": \"./a\"", "\"prefix\" must be"},
        {"\"prefix\": \"a/../b\"", "\"prefix\" must be"},
        {"\"prefix\": \"..\"", "\"prefix\" must be"},
        {"\"addressing\": \"auto\"", "\"addressing\" must be \"path\" or \"virtual\""},
        {"\"bucket\": \"a.b.c\", \"addressing\": \"virtual\"", "\"addressing\" can't be"},
        {"\"ca_file\": \"ca.pem\"", "\"ca_file\" must be"},
        {"\"profile\": \"\"", "\"profile\" must be"},
        {"\"profile\": \"p\", \"credentials_ref\": \"env:X\"", "keep one"},
        {"\"access_key_id\": \"hunter2\"", "go together"},
        {"\"secret_access_key\": \"hunter2\"", "go together"},
        {"\"session_token\": \"hunter2\"", "goes with \"access_key_id\""},
        {"\"access_key_id\": \"hunter2 \", \"secret_access_key\": \"x\"", "\"access_key_id\" must be"},
        {"\"access_key_id\": \"x\", \"secret_access_key\": \"hunter2\\n\"", "\"secret_access_key\" must be"},
        {"\"access_key_id\": \"x\", \"secret_access_key\": \"hunter2\", \"credentials_ref\": \"env:X\"",
         "two sets of credentials"},
        {"\"storage_class\": \"cold\"", "\"storage_class\" must be"},
        {"\"sse\": \"aes256\"", "\"sse\" must be"},
        {"\"sse_kms_key_id\": \"x\"", "go with \"sse\": \"aws:kms\""},
        {"\"sse\": \"AES256\", \"sse_bucket_key\": true", "go with \"sse\": \"aws:kms\""},
        {"\"sse\": \"aws:kms\", \"sse_kms_context\": {}", "\"sse_kms_context\" must be"},
        {"\"sse\": \"aws:kms\", \"sse_kms_context\": {\"a\": 1}", "\"sse_kms_context\" must be"},
        {"\"sse\": \"customer\"", "\"sse_customer_key_ref\" go together"},
        {"\"sse_customer_key_ref\": \"env:X\"", "\"sse_customer_key_ref\" go together"},
        {"\"sse\": \"customer\", \"sse_customer_key_ref\": \"env:X\", \"endpoint\": \"http://x\"",
         "must be https"},
        {"\"object_lock_mode\": \"governance\", \"object_lock_days\": 1", "\"object_lock_mode\" must be"},
        {"\"object_lock_mode\": \"GOVERNANCE\"", "go together"},
        {"\"object_lock_days\": 1", "go together"},
        {"\"object_lock_mode\": \"GOVERNANCE\", \"object_lock_days\": 0", "\"object_lock_days\" must be"},
        {"\"object_lock_legal_hold\": true, \"checksum\": \"none\"", "needs a checksum"},
        {"\"tags\": []", "\"tags\" must be"},
        {"\"tags\": {\"a\": null}", "\"tags\" must be"},
        {"\"tags\": {\"a\": \"b\\n\"}", "\"tags\" must be"},
        {"\"tags\": {\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\",\"6\":\"\",\"7\":\"\",\"8\":\"\","
         "\"9\":\"\",\"10\":\"\",\"11\":\"\"}",
         "\"tags\" must be"},
        {"\"expected_bucket_owner\": \"12345678901\"", "\"expected_bucket_owner\" must be"},
        {"\"expected_bucket_owner\": 123456789012", "\"expected_bucket_owner\" must be"},
        {"\"checksum\": \"sha256\"", "\"checksum\" must be"},
        {"\"conditional_write\": \"yes\"", "\"conditional_write\" must be true or false"},
        {"\"read_back\": 1", "\"read_back\" must be true or false"},
        {"\"part_size\": \"64MB\"", "\"part_size\" must be"},
        {"\"part_size\": \"64 MiB\"", "\"part_size\" must be"},
        {"\"part_size\": \"MiB\"", "\"part_size\" must be"},
        {"\"part_size\": \"-1\"", "\"part_size\" must be"},
        {"\"part_size\": \"99999999TiB\"", "\"part_size\" must be"},
        {"\"part_size\": \"9999999999999999999\"", "\"part_size\" must be"},
        {"\"part_size\": \"1MiB\"", "5 MiB to 5 GiB"},
        {"\"part_size\": \"6GiB\"", "5 MiB to 5 GiB"},
        {"\"part_size\": 1.5", "\"part_size\" must be"},
        {"\"max_parts\": 10001", "\"max_parts\" must be"},
        {"\"max_parts\": \"100\"", "\"max_parts\" must be"},
        {"\"multipart_threshold\": \"6GiB\"", "\"multipart_threshold\" is above"},
        {"\"multipart_threshold\": 0", "\"multipart_threshold\" must be"},
        {"\"parallel_parts\": 33", "\"parallel_parts\" must be"},
        {"\"max_requests\": 0", "\"max_requests\" must be"},
        {"\"colour\": \"hunter2\"", "\"colour\" is unknown here; known: bucket, region, endpoint"},
        {"\"sealed\": {}", "\"sealed\" is unknown"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{\"bucket\": \"b-b\", \"region\": \"eu-west-1\", %s}", cases[i].members);
        json_t *json;
        struct s3_config config = {.bucket = "untouched"};
        struct error err = {0};
        if (load("s3", text, &json, &config, &err) != ERROR_INPUT)
            fail_msg("accepted: %s", text);
        if (strstr(err.message, cases[i].says) == NULL || strstr(err.message, "hunter2") || err.retryable ||
            strncmp(err.message, "storage_config: ", 16) != 0)
            fail_msg("%s: %s", text, err.message);
        assert_string_equal(config.bucket, "untouched");
        json_decref(json);
    }
}

static void what_presets_do_not_have(void **state)
{
    (void)state;
    static const struct {
        const char *storage_type, *text, *says;
    } cases[] = {
        {"s3", NULL, "\"bucket\" is missing"},
        {"s3", "{}", "\"bucket\" is missing"},
        {"s3", "{\"bucket\": null}", "\"bucket\" is missing"},
        {"minio", "{\"bucket\": \"b-b\"}", "\"endpoint\" is missing"},
        {"spaces", "{\"bucket\": \"b-b\"}", "https://XXX.digitaloceanspaces.com"},
        {"backblaze", "{\"bucket\": \"b-b\"}", "https://s3.XXX.backblazeb2.com"},
        {"backblaze", "{\"bucket\": \"b-b\", \"endpoint\": \"https://proxy.example\"}",
         "\"region\" is missing"},
        {"spaces", "{\"bucket\": \"b-b\", \"region\": \"nyc3\", \"sse\": \"AES256\"}", "spaces has no sse"},
        {"spaces", "{\"bucket\": \"b-b\", \"region\": \"nyc3\", \"tags\": {\"a\": \"b\"}}",
         "spaces has no tags"},
        {"spaces",
         "{\"bucket\": \"b-b\", \"region\": \"nyc3\", \"object_lock_mode\": \"GOVERNANCE\", \"object_lock_days\": 1}",
         "spaces has no object lock"},
        {"backblaze", "{\"bucket\": \"b-b\", \"region\": \"x\", \"sse\": \"aws:kms\"}",
         "backblaze has no sse with KMS"},
        {"backblaze", "{\"bucket\": \"b-b\", \"region\": \"x\", \"storage_class\": \"GLACIER\"}",
         "backblaze has no storage classes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json;
        struct s3_config config;
        struct error err = {0};
        if (load(cases[i].storage_type, cases[i].text, &json, &config, &err) != ERROR_INPUT)
            fail_msg("accepted: %s", cases[i].text);
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, err.message);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(regions_that_are_told),
        cmocka_unit_test(presets_and_what_overrides_them),
        cmocka_unit_test(every_member),
        cmocka_unit_test(values_that_are_refused),
        cmocka_unit_test(what_presets_do_not_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
