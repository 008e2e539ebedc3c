/* The bundle of a program: its keys, loaded again and again, and its end at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/access.h"

#define KEY_1 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2 "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_3 "fe0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static char path[] = "/tmp/test_access.XXXXXX";
static uv_loop_t loop;
static struct access *access_;
static bool closed;

struct load {
    int n;
    struct error err;
};

static void on_keys(void *data, const struct error *err)
{
    struct load *load = data;
    load->n++;
    if (err)
        load->err = *err;
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static void write_key(const char *key)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", key);
    fclose(f);
}

static void open_access(const char *references)
{
    struct settings settings = {.credentials_default = (char *)"env:TEST_%s",
                                .encryption_key_ref = (char *)references,
                                .legacy_encryption_key_ref = (char *)""};
    struct error err;
    closed = false;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(access_new(&loop, &settings, &access_, &err), 0);
}

static void close_access(void)
{
    access_close(access_, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void load(struct load *ret, int code)
{
    struct error err;
    *ret = (struct load){0};
    assert_int_equal(access_load_keys(access_, on_keys, ret, &err), 0);
    assert_int_equal(ret->n, 0);
    while (ret->n == 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(ret->n, 1);
    assert_int_equal(ret->err.code, code);
}

static void id_of(const char *key, char ret[KEYRING_ID_SIZE])
{
    struct keyring *ring = keyring_new();
    struct error err;
    assert_int_equal(keyring_add(ring, key, "k", &err), 0);
    memcpy(ret, keyring_current_id(ring), KEYRING_ID_SIZE);
    keyring_free(ring);
}

static void keys_in_the_order_of_their_references(void **state)
{
    (void)state;
    char references[128], id[KEYRING_ID_SIZE];
    struct load l;
    snprintf(references, sizeof references, "file:%s , KEY", path);
    setenv("TEST_KEY", KEY_2, 1);
    write_key(KEY_1);
    open_access(references);
    assert_string_equal(keyring_current_id(access_->keyring), "");
    load(&l, 0);
    id_of(KEY_1, id);
    assert_string_equal(keyring_current_id(access_->keyring), id);
    id_of(KEY_2, id);
    assert_true(keyring_has(access_->keyring, id));

    /* changed: seen by the next load */
    write_key(KEY_3);
    load(&l, 0);
    id_of(KEY_3, id);
    assert_string_equal(keyring_current_id(access_->keyring), id);
    id_of(KEY_1, id);
    assert_false(keyring_has(access_->keyring, id));

    /* one that is missing or no key leaves the ring as it is */
    unsetenv("TEST_KEY");
    load(&l, ERROR_NOT_FOUND);
    assert_non_null(strstr(l.err.message, "env:TEST_KEY"));
    setenv("TEST_KEY", "hunter2", 1);
    load(&l, ERROR_INPUT);
    assert_null(strstr(l.err.message, "hunter2"));
    id_of(KEY_3, id);
    assert_string_equal(keyring_current_id(access_->keyring), id);
    id_of(KEY_2, id);
    assert_true(keyring_has(access_->keyring, id));
    close_access();
}

static void without_references(void **state)
{
    (void)state;
    struct load l;
    open_access("");
    load(&l, 0);
    assert_string_equal(keyring_current_id(access_->keyring), "");
    close_access();
    access_close(NULL, NULL, NULL);
}

static void closed_while_keys_are_loaded(void **state)
{
    (void)state;
    char references[64];
    struct load l = {0}, none = {0};
    struct error err;
    snprintf(references, sizeof references, "file:%s", path);
    write_key(KEY_1);
    open_access(references);
    assert_int_equal(access_load_keys(access_, on_keys, &l, &err), 0);
    close_access();
    assert_int_equal(l.n, 1);
    assert_int_equal(l.err.code, ERROR_CANCELLED);

    open_access("");
    assert_int_equal(access_load_keys(access_, on_keys, &none, &err), 0);
    close_access();
    assert_int_equal(none.n, 1);
}

static void on_secret(void *data, const char *secret, const struct error *err)
{
    (void)secret;
    on_keys(data, err);
}

/* A fetch from AWS Secrets Manager uses both the store and the AWS cache. */
static void closed_while_a_secret_is_fetched_from_aws(void **state)
{
    (void)state;
    struct load l = {0};
    struct secrets_wait *wait;
    struct error err;
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9", 1);
    setenv("AWS_REGION", "us-east-1", 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1);
    for (int turns = 0; turns < 4; turns++) {
        l = (struct load){0};
        open_access("");
        assert_int_equal(secrets_get(access_->secrets, "aws-sm:x", on_secret, &l, &wait, &err), 0);
        for (int i = 0; i < turns; i++)
            uv_run(&loop, UV_RUN_NOWAIT);
        close_access();
        assert_int_equal(l.n, 1);
        assert_true(l.err.code != 0);
    }
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_in_the_order_of_their_references),
        cmocka_unit_test(without_references),
        cmocka_unit_test(closed_while_keys_are_loaded),
        cmocka_unit_test(closed_while_a_secret_is_fetched_from_aws),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
