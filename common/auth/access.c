/*
 * Closing: secrets and the clouds' caches at once (they use one another, none starts anything any more), then
 * the HTTP client that all have used, then the memory.
 *
 * access_load_keys is an operation of its own: one secrets_get after the other, in the order of the
 * references, into a ring of its own, whose keys replace the old ones when all have come.
 */
#include "auth/access.h"

#include <stdlib.h>
#include <string.h>

#include "auth/keyring_load.h"

static void access_free(struct access *access)
{
    keyring_free(access->keyring);
    free(access->keyring_refs);
    free(access->legacy_key_ref);
    free(access);
}

static void on_http_closed(void *data)
{
    struct access *access = data;
    void (*on_closed)(void *data) = access->on_closed;
    void *closed_data = access->data;
    access_free(access);
    if (on_closed)
        on_closed(closed_data);
}

static void on_part_closed(void *data)
{
    struct access *access = data;
    if (--access->open_parts == 0)
        http_client_close(access->http, on_http_closed, access);
}

void access_close(struct access *access, void (*on_closed)(void *data), void *data)
{
    if (access == NULL)
        return;
    access->on_closed = on_closed;
    access->data = data;
    access->open_parts = 4;
    secrets_close(access->secrets, on_part_closed, access);
    aws_credentials_cache_close(access->aws, on_part_closed, access);
    azure_credentials_cache_close(access->azure, on_part_closed, access);
    google_credentials_cache_close(access->google, on_part_closed, access);
}

static int open_parts(struct access *access, const struct settings *settings, struct error *err)
{
    int rc = http_client_new(access->loop, &(struct http_options){0}, &access->http, err);
    if (rc)
        return rc;
    struct secrets_options options = {.http = access->http,
                                      .default_template = settings->credentials_default};
    rc = secrets_new(access->loop, &options, &access->secrets, err);
    if (rc == 0)
        rc = aws_credentials_cache_new(access->loop, access->http, access->secrets, &access->aws, err);
    if (rc == 0)
        rc = azure_credentials_cache_new(access->loop, access->http, access->secrets, &access->azure, err);
    if (rc == 0)
        rc = google_credentials_cache_new(access->loop, access->http, access->secrets, &access->google, err);
    if (rc == 0) {
        secrets_set_aws(access->secrets, access->aws);
        return 0;
    }
    azure_credentials_cache_close(access->azure, NULL, NULL);
    aws_credentials_cache_close(access->aws, NULL, NULL);
    secrets_close(access->secrets, NULL, NULL);
    http_client_close(access->http, NULL, NULL);
    return rc;
}

int access_new(uv_loop_t *loop, const struct settings *settings, struct access **ret, struct error *err)
{
    struct access *access = calloc(1, sizeof *access);
    if (access == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    access->loop = loop;
    access->keyring = keyring_new();
    access->keyring_refs = strdup(settings->encryption_key_ref);
    access->legacy_key_ref = strdup(settings->legacy_encryption_key_ref);
    int rc = 0;
    if (access->keyring == NULL || access->keyring_refs == NULL || access->legacy_key_ref == NULL)
        rc = error_set(err, ERROR_SYSTEM, false, "out of memory");
    if (rc == 0)
        rc = open_parts(access, settings, err);
    if (rc) {
        access_free(access);
        return rc;
    }
    *ret = access;
    return 0;
}

int access_load_keys(struct access *access, void (*done)(void *data, const struct error *err), void *data,
                     struct error *err)
{
    return keyring_load(access->loop, access->secrets, access->keyring_refs, access->keyring, done, data,
                        err);
}
