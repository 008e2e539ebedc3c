/* Uploads to the scripted Azure (put_run.h). */
#pragma once

#include "put_run.h"

#include "fake_azure.h"

/* storage_config of the tests: several blocks from more than two on */
#define SMALL_BLOCKS AZURE_CONTAINER ", \"multipart_threshold\": 262144"

static inline void setup_fake(void)
{
    fake_reset();
    object_put_set_part_size(PART);
}

/* The same for cmocka, before each test. */
static inline int setup(void **state)
{
    (void)state;
    setup_fake();
    return 0;
}

static inline void run_upload(struct put_run *run)
{
    run_upload_in(run, azure_world_open(run->members ? run->members : SMALL_BLOCKS, run->https));
}

static inline void expect_run(const struct put_run *run, int code, bool retryable, const char *text)
{
    static const char *const secrets[] = {AZURE_KEY, "SharedKey", "sig=", "blockid", "fake-token", NULL};
    expect_run_without(run, code, retryable, text, secrets);
}

/* How the scripted Azure, and Azure, write an MD5. */
static inline void base64_md5_of(const struct artifact *a, char ret[32])
{
    unsigned char md5[16];
    assert_int_equal(EVP_Digest(a->data, a->size, md5, NULL, EVP_md5(), NULL), 1);
    EVP_EncodeBlock((unsigned char *)ret, md5, sizeof md5);
}

/* Whole, ours, with its MD5 (where one was sent) and our metadata; no block of it is left uncommitted. */
static inline void expect_stored_with(const struct put_run *run, bool md5)
{
    expect_run(run, 0, false, NULL);
    const struct artifact *a = run->artifact;
    char fence[24], sum[32];
    assert_int_equal(run->result.size, a->size);
    assert_string_equal(run->result.sha256, a->sha256);
    assert_int_equal(run->bytes_done, a->size);
    json_t *state = fake_ask("GET", "/state", NULL), *object = object_at_key(state);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "sha256")), a->sha256);
    const json_t *metadata = json_object_get(object, "metadata");
    assert_string_equal(json_string_value(json_object_get(metadata, "sha256")), a->sha256);
    assert_string_equal(json_string_value(json_object_get(metadata, "rowid")), "301");
    assert_string_equal(json_string_value(json_object_get(metadata, "backupid")), "150");
    snprintf(fence, sizeof fence, "%lld", (long long)(run->fence ? run->fence : 1));
    if (!run->result.existed)
        assert_string_equal(json_string_value(json_object_get(metadata, "fence")), fence);
    base64_md5_of(a, sum);
    const char *told = json_string_value(json_object_get(object, "md5"));
    if (md5)
        assert_string_equal(told ? told : "none", sum);
    assert_int_equal(json_array_size(state_list(state, "uploads")), 0);
    assert_int_equal(json_array_size(state_list(state, "objects")), 1);
    json_decref(state);
}

static inline void expect_stored(const struct put_run *run)
{
    expect_stored_with(run, true);
}

/* Puts data at KEY by other hands: no metadata. */
static inline void put_by_others(const void *data, size_t size)
{
    struct world *world = azure_world_open(NULL, false);
    azure_fake_put(world, KEY, data, size);
    world_close(world);
}
