/* The scripted S3 (fake_store.h), and calls to it. */
#pragma once

#include "fake_store.h"

#include "storage/s3/protocol.h"

/* For cmocka: a directory and the server for all tests of a group. */
static inline int fake_group_setup(void **state)
{
    (void)state;
    harness_make_root();
    fake_start("s3_server.py");
    return 0;
}

static inline int fake_group_teardown(void **state)
{
    (void)state;
    fake_stop();
    harness_remove_tree(harness_root);
    return 0;
}

#define FAKE_KEYS "\"access_key_id\": \"AKIAFAKE\", \"secret_access_key\": \"fake-secret\""

/* members: further members of storage_config, NULL = the bucket "bucket" with the fake's keys in region
 * us-east-1. */
static inline struct world *world_open(const char *members, bool https)
{
    char text[4096];
    snprintf(text, sizeof text, "{\"endpoint\": \"%s://localhost:%d\", \"ca_file\": \"%s\", %s}",
             https ? "https" : "http", https ? fake.https : fake.http, fake.ca_file,
             members ? members : "\"bucket\": \"bucket\", " FAKE_KEYS);
    return world_open_as("minio", text);
}

/* The body is to be freed. */
static inline struct call_outcome run_call(struct world *world, const struct object_ask *ask)
{
    struct s3_session session;
    return run_call_in(world, &s3_protocol, &session.base, ask);
}

/* Puts data under key in the world's bucket. */
static inline void fake_put(struct world *world, const char *key, const void *data, size_t size)
{
    const struct object_ask ask = {.operation = "PutObject",
                                   .method = "PUT",
                                   .key = key,
                                   .body = data,
                                   .body_fd = -1,
                                   .body_size = size};
    struct call_outcome o = run_call(world, &ask);
    if (o.err.code)
        fail_msg("%s", o.err.message);
    free(o.body);
}
