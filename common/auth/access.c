/*
 * Closing: secrets and AWS cache at once (each uses the other, neither starts anything any more), then the
 * HTTP client that both have used, then the memory.
 *
 * access_load_keys is an operation of its own: one secrets_get after the other, in the order of the
 * references, into a ring of its own, whose keys replace the old ones when all have come.
 */
#include "auth/access.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "auth/secret.h"

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
    access->open_parts = 2;
    secrets_close(access->secrets, on_part_closed, access);
    aws_credentials_cache_close(access->aws, on_part_closed, access);
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
    if (rc == 0) {
        secrets_set_aws(access->secrets, access->aws);
        return 0;
    }
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

/* --- keys --- */

struct load {
    struct access *access;
    struct keyring *keys;
    const char *next; /* the rest of access->keyring_refs */
    char reference[SECRET_REFERENCE_SIZE];
    uv_timer_t handle; /* never started: its close callback is how a load ends on the loop */
    struct error err;
    void (*done)(void *data, const struct error *err);
    void *data;
};

static void on_load_closed(uv_handle_t *handle)
{
    struct load *load = handle->data;
    void (*done)(void *data, const struct error *err) = load->done;
    void *data = load->data;
    struct error err = load->err;
    if (err.code == 0)
        keyring_move(load->access->keyring, load->keys);
    keyring_free(load->keys);
    free(load);
    done(data, err.code ? &err : NULL);
}

/* The next of the comma-separated references. False: there is none. */
static bool take_reference(struct load *load)
{
    load->next += strspn(load->next, ", ");
    size_t n = strcspn(load->next, ",");
    const char *begin = load->next;
    load->next += n;
    while (n > 0 && begin[n - 1] == ' ')
        n--;
    if (n >= sizeof load->reference)
        n = sizeof load->reference - 1; /* too long for a reference: refused as one */
    memcpy(load->reference, begin, n);
    load->reference[n] = '\0';
    return n > 0;
}

static void load_step(struct load *load);

static void on_key(void *data, const char *secret, const struct error *err)
{
    struct load *load = data;
    if (err)
        load->err = *err;
    else
        (void)keyring_add(load->keys, secret, load->reference, &load->err);
    if (load->err.code)
        error_context(&load->err, "BM_ENCRYPTION_KEY_REF");
    load_step(load);
}

static void load_step(struct load *load)
{
    struct secrets_wait *wait;
    if (load->err.code == 0 && take_reference(load) &&
        secrets_get(load->access->secrets, load->reference, on_key, load, &wait, &load->err) == 0)
        return;
    uv_close((uv_handle_t *)&load->handle, on_load_closed);
}

int access_load_keys(struct access *access, void (*done)(void *data, const struct error *err), void *data,
                     struct error *err)
{
    struct load *load = calloc(1, sizeof *load);
    struct keyring *keys = keyring_new();
    if (load == NULL || keys == NULL) {
        free(load);
        keyring_free(keys);
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    *load = (struct load){
        .access = access, .keys = keys, .next = access->keyring_refs, .done = done, .data = data};
    uv_timer_init(access->loop, &load->handle);
    load->handle.data = load;
    load_step(load);
    return 0;
}
