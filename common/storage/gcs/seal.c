#include "storage/gcs/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64.h"
#include "auth/keyring.h"
#include "auth/secret.h"

#define CONTEXT_MAX 2048

static void context_of(const struct gcs_session *session, const char *key, char out[CONTEXT_MAX])
{
    snprintf(out, CONTEXT_MAX, "gcs upload %s/%s/%s", session->config.endpoint, session->config.bucket, key);
}

/* A ring with the credentials' own key. NULL: they have none, or memory is out. */
static struct keyring *ring_of_credentials(const struct gcs_session *session)
{
    struct keyring *ring = session->has_secret_digest ? keyring_new() : NULL;
    char *text = ring ? base64_encode(session->secret_digest, sizeof session->secret_digest) : NULL;
    bool added = text && keyring_add(ring, text, "the credentials", NULL) == 0;
    secret_free(text);
    if (added)
        return ring;
    keyring_free(ring);
    return NULL;
}

static bool has_key(const struct keyring *ring)
{
    return ring && *keyring_current_id(ring);
}

int gcs_seal(const struct gcs_session *session, const char *key, const char *url, char **ret,
             struct error *err)
{
    const struct keyring *programs = session->base.access->keyring;
    struct keyring *own = has_key(programs) ? NULL : ring_of_credentials(session);
    const struct keyring *ring = own ? own : programs;
    char context[CONTEXT_MAX], id[KEYRING_ID_SIZE];
    char *data = NULL;
    int rc = 0;
    *ret = NULL;
    if (has_key(ring)) {
        context_of(session, key, context);
        rc = keyring_seal(ring, context, url, strlen(url), id, &data, err);
        if (rc == 0 && asprintf(ret, "%s:%s", id, data) < 0) {
            *ret = NULL;
            rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
        }
    }
    free(data);
    keyring_free(own);
    return rc;
}

int gcs_unseal(const struct gcs_session *session, const char *key, const char *sealed, char **ret,
               struct error *err)
{
    char context[CONTEXT_MAX], id[KEYRING_ID_SIZE];
    size_t n = strcspn(sealed, ":"), size;
    if (n != KEYRING_ID_SIZE - 1 || sealed[n] == '\0')
        return error_set(err, ERROR_CORRUPT, false, "the resume state's \"session\" is none");
    snprintf(id, sizeof id, "%s", sealed);
    const struct keyring *programs = session->base.access->keyring;
    struct keyring *own = programs && keyring_has(programs, id) ? NULL : ring_of_credentials(session);
    const struct keyring *ring = own ? own : programs;
    context_of(session, key, context);
    int rc = ring ? keyring_open(ring, id, context, sealed + n + 1, ret, &size, err)
                  : error_set(err, ERROR_NOT_FOUND, true, "no key with id %s is here", id);
    keyring_free(own);
    return rc;
}
