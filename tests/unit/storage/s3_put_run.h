/* Uploads to the scripted S3 (put_run.h). */
#pragma once

#include "put_run.h"

#include "fake_s3.h"
#include "storage/s3/put.h"
#include "storage/s3/s3.h"

/* storage_config of the tests: several parts from more than two on */
#define BUCKET "\"bucket\": \"bucket\", " FAKE_KEYS
#define SMALL_PARTS BUCKET ", \"multipart_threshold\": 262144"

static inline void setup_fake(void)
{
    fake_reset();
    fake_tell("POST", "/settings", "{\"min_part_size\": 1}");
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
    run_upload_in(run, world_open(run->members ? run->members : SMALL_PARTS, run->https));
}

static inline void expect_run(const struct put_run *run, int code, bool retryable, const char *text)
{
    static const char *const secrets[] = {
        "fake-secret", "AKIAFAKE", "Signature=", "uploadId", "upload-0", NULL};
    expect_run_without(run, code, retryable, text, secrets);
}

/* Whole, ours, and nothing else is left there. */
static inline void expect_stored(const struct put_run *run)
{
    expect_run(run, 0, false, NULL);
    const struct artifact *a = run->artifact;
    assert_int_equal(run->result.size, a->size);
    assert_string_equal(run->result.sha256, a->sha256);
    assert_int_equal(run->bytes_done, a->size);
    json_t *state = fake_ask("GET", "/state", NULL), *object = object_at_key(state);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "sha256")), a->sha256);
    const json_t *headers = json_object_get(object, "headers");
    const char *sha256 = json_string_value(json_object_get(headers, "x-amz-meta-sha256"));
    assert_non_null(sha256);
    assert_string_equal(sha256, a->sha256);
    assert_int_equal(json_array_size(state_list(state, "uploads")), 0);
    assert_int_equal(json_array_size(state_list(state, "objects")), 1);
    json_decref(state);
}

/* Puts data at KEY by other hands: no metadata. */
static inline void put_by_others(const void *data, size_t size)
{
    struct world *world = world_open(NULL, false);
    fake_put(world, KEY, data, size);
    world_close(world);
}
