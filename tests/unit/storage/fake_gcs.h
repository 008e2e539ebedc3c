/* The scripted Google Cloud Storage (fake_store.h), and calls to it. */
#pragma once

#include "fake_store.h"

#include "storage/gcs/gcs.h"
#include "storage/gcs/protocol.h"

/* The credentials of the tests: a secret in this variable. */
#define GCS_SECRET "BM_TEST_GCS"
#define GCS_BUCKET "\"bucket\": \"bucket\", \"credentials_ref\": \"env:" GCS_SECRET "\""

/* The secret is nothing but a token; the fake knows "fake-token". */
static inline void gcs_use_token(const char *token)
{
    char text[256];
    snprintf(text, sizeof text, "{\"access_token\": \"%s\"}", token);
    setenv(GCS_SECRET, text, 1);
}

/* For cmocka: a directory and the server for all tests of a group. */
static inline int gcs_group_setup(void **state)
{
    (void)state;
    harness_make_root();
    fake_start("gcs_server.py");
    return 0;
}

static inline int gcs_group_teardown(void **state)
{
    (void)state;
    fake_stop();
    harness_remove_tree(harness_root);
    return 0;
}

/* The same, before each test. */
static inline int gcs_setup(void **state)
{
    (void)state;
    unsetenv("STORAGE_EMULATOR_HOST");
    unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
    gcs_use_token("fake-token");
    fake_reset();
    return 0;
}

/* members: further members of storage_config, NULL = the bucket "bucket" with a token. */
static inline struct world *gcs_world_open(const char *members, bool https)
{
    char text[4096];
    snprintf(text, sizeof text, "{\"endpoint\": \"%s://localhost:%d\", \"ca_file\": \"%s\", %s}",
             https ? "https" : "http", https ? fake.https : fake.http, fake.ca_file,
             members ? members : GCS_BUCKET);
    return world_open_as("gcs", text);
}

/* Puts data under key into the world's bucket by other hands: without metadata. */
static inline void gcs_fake_put(struct world *world, const char *key, const void *data, size_t size)
{
    const struct object_query query[] = {{"uploadType", "media"}, {"name", key}};
    const struct object_ask ask = {.operation = "objects.insert",
                                   .method = "POST",
                                   .query = query,
                                   .n_query = 2,
                                   .flags = GCS_ASK_UPLOAD | GCS_WANT_OBJECT,
                                   .body = data,
                                   .body_fd = -1,
                                   .body_size = size};
    struct gcs_session session;
    struct call_outcome o = run_call_in(world, &gcs_protocol, &session.base, &ask);
    if (o.err.code)
        fail_msg("%s", o.err.message);
    free(o.body);
}

/* The nth (from 1) request of this operation, as the fake logged it: to be released. */
static inline json_t *gcs_logged(const char *operation, int nth)
{
    json_t *log = fake_ask("GET", "/log", NULL), *entry, *found = NULL;
    size_t i;
    json_array_foreach(
        log, i, entry) if (strcmp(json_string_value(json_object_get(entry, "operation")), operation) == 0 &&
                           --nth == 0) found = json_incref(entry);
    json_decref(log);
    return found;
}
