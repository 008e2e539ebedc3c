/* Uploads to the scripted Google Cloud Storage (put_run.h). */
#pragma once

#include "put_run.h"

#include "fake_gcs.h"
#include "storage/gcs/put.h"

#define UNIT ((size_t)GCS_CHUNK_UNIT)
/* storage_config of the tests: resumable above one unit of what is kept */
#define GCS_RESUMABLE GCS_BUCKET ", \"multipart_threshold\": 262144"

static bool gcs_with_key; /* the program has a key of its own */

static inline void gcs_add_key(struct world *world, char of)
{
    char key[65];
    memset(key, of, 64);
    key[64] = '\0';
    assert_int_equal(keyring_add(world->access->keyring, key, "test", NULL), 0);
}

static inline void gcs_run(struct put_run *run)
{
    struct world *world = gcs_world_open(run->members ? run->members : GCS_RESUMABLE, run->https);
    if (gcs_with_key)
        gcs_add_key(world, 'a');
    run_upload_in(run, world);
}

static inline void expect_run(const struct put_run *run, int code, bool retryable, const char *text)
{
    static const char *const secrets[] = {"fake-token", "Bearer", "upload_id", "http", NULL};
    expect_run_without(run, code, retryable, text, secrets);
    if (run->saved)
        for (size_t i = 0; secrets[i]; i++)
            if (strcmp(secrets[i], "http") != 0 && strstr(run->saved, secrets[i]))
                fail_msg("'%s' in: %s", secrets[i], run->saved);
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
    assert_int_equal(json_array_size(state_list(state, "uploads")), 0);
    assert_int_equal(json_array_size(state_list(state, "objects")), 1);
    json_decref(state);
}

/* What Content-Range said in the nth chunk (from 1): "bytes 0-9/10"; "" = no such request. */
static inline const char *chunk_range(int nth)
{
    static char text[64];
    json_t *entry = gcs_logged("UploadChunk", nth);
    const char *range = json_string_value(json_object_get(entry, "content_range"));
    snprintf(text, sizeof text, "%s", range ? range : "");
    json_decref(entry);
    return text;
}
