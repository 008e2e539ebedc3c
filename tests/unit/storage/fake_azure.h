/* The scripted Azure (fake_store.h), and calls to it. */
#pragma once

#include "fake_store.h"

#include "storage/azure/azure.h"

#define AZURE_KEY "ZmFrZSBhY2NvdW50IGtleSB0aGF0IG9wZW5zIG5vdGhpbmcgZWxzZQ=="
#define AZURE_WITH_KEY "\"account\": \"fakeaccount\", \"account_key\": \"" AZURE_KEY "\""
#define AZURE_CONTAINER "\"container\": \"container\", " AZURE_WITH_KEY

/* For cmocka: a directory and the server for all tests of a group. */
static inline int azure_group_setup(void **state)
{
    (void)state;
    harness_make_root();
    fake_start("azure_server.py");
    return 0;
}

static inline int azure_group_teardown(void **state)
{
    (void)state;
    fake_stop();
    harness_remove_tree(harness_root);
    return 0;
}

/* members: further members of storage_config, NULL = the container "container" with the account's key. */
static inline struct world *azure_world_open(const char *members, bool https)
{
    char text[4096];
    snprintf(text, sizeof text, "{\"endpoint\": \"%s://localhost:%d/fakeaccount\", \"ca_file\": \"%s\", %s}",
             https ? "https" : "http", https ? fake.https : fake.http, fake.ca_file,
             members ? members : AZURE_CONTAINER);
    return world_open_as("azure_blob", text);
}

/* The body is to be freed. */
static inline struct call_outcome azure_call(struct world *world, const struct object_ask *ask)
{
    struct azure_session session;
    return run_call_in(world, &azure_protocol, &session.base, ask);
}

/* Puts data under key into the world's container. */
static inline void azure_fake_put(struct world *world, const char *key, const void *data, size_t size)
{
    const struct object_header type = {"x-ms-blob-type", "BlockBlob"};
    const struct object_ask ask = {.operation = "Put Blob",
                                   .method = "PUT",
                                   .key = key,
                                   .headers = &type,
                                   .n_headers = 1,
                                   .body = data,
                                   .body_fd = -1,
                                   .body_size = size};
    struct call_outcome o = azure_call(world, &ask);
    if (o.err.code)
        fail_msg("%s", o.err.message);
    free(o.body);
}
