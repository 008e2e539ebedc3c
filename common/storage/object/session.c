/* What all calls of one operation share: the configuration, the group, the SSE-C key. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_plan.h"
#include "storage/object/learned.h"
#include "storage/s3/call.h"
#include "storage/s3/config_members.h"

#define KEY_SIZE 32
#define KEY_BASE64_SIZE 44
#define MD5_SIZE 16
#define MD5_BASE64_SIZE 24

/* Outlives the session, as its timer must be closed by the loop. */
struct s3_opening {
    uv_timer_t timer; /* the loop turn that on_open waits for */
    struct s3_session *session;
    struct secrets_wait *wait;
    void (*on_open)(void *data, const struct error *err);
    void *data;
};

/* AWS's own configuration may name the region where ours doesn't. A guess that is wrong, or a file that can't
 * be read, costs one request more: the service tells. */
static void find_region(struct s3_config *config)
{
    char *region = NULL;
    if (config->region_said || config->preset->chain != AWS_CHAIN_FULL ||
        object_learned_word(config->endpoint, config->bucket))
        return;
    aws_plan_region(&region, NULL);
    if (region && s3_region_is_valid(region))
        s3_config_set_region(config, region);
    free(region);
}

int s3_session_init(struct s3_session *session, uv_loop_t *loop, const struct storage_location *location,
                    struct error *err)
{
    *session = (struct s3_session){.loop = loop, .access = location->access};
    int rc = s3_config_load(location, &session->config, err);
    if (rc < 0)
        return rc;
    if (location->access == NULL)
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "storage type '%s' needs the network, which this program has not opened",
                         location->storage_type);
    find_region(&session->config);
    const struct s3_config *config = &session->config;
    session->credentials_ref = location->credentials_ref && *location->credentials_ref
                                   ? location->credentials_ref
                                   : config->credentials_ref;
    char name[640];
    if (location->destination)
        snprintf(name, sizeof name, "destination %s", location->destination);
    else
        snprintf(name, sizeof name, "%s %s/%s", location->storage_type, config->endpoint, config->bucket);
    session->group =
        http_client_group(location->access->http, name, config->max_requests, location->bandwidth_limit);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void opening_end(struct s3_session *session)
{
    struct s3_opening *opening = session->opening;
    session->opening = NULL;
    if (opening->wait)
        secrets_forget(opening->wait);
    uv_close((uv_handle_t *)&opening->timer, on_timer_closed);
}

/* Ends the opening, then tells: the owner may end the session meanwhile. */
static void opened(struct s3_session *session, const struct error *err)
{
    void (*on_open)(void *data, const struct error *err) = session->opening->on_open;
    void *data = session->opening->data;
    opening_end(session);
    on_open(data, err);
}

static void on_timer(uv_timer_t *timer)
{
    struct s3_opening *opening = timer->data;
    opened(opening->session, NULL);
}

static int keep_key(struct s3_session *session, const char *secret, struct error *err)
{
    unsigned char key[KEY_BASE64_SIZE];
    unsigned char md5[MD5_SIZE];
    unsigned char md5_base64[MD5_BASE64_SIZE + 1];
    int rc = 0;
    if (strlen(secret) != KEY_BASE64_SIZE || secret[KEY_BASE64_SIZE - 1] != '=' ||
        EVP_DecodeBlock(key, (const unsigned char *)secret, KEY_BASE64_SIZE) != KEY_SIZE + 1)
        return error_set(err, ERROR_INPUT, false,
                         "what \"sse_customer_key_ref\" names is not a key: 32 random bytes in base64 are "
                         "needed (openssl rand -base64 32)");
    if (EVP_Digest(key, KEY_SIZE, md5, NULL, EVP_md5(), NULL) != 1) {
        rc = error_set(err, ERROR_SYSTEM, true, "MD5 is not available");
    } else {
        EVP_EncodeBlock(md5_base64, md5, MD5_SIZE);
        session->sse_customer_key = strdup(secret);
        session->sse_customer_key_md5 = strdup((const char *)md5_base64);
        if (session->sse_customer_key == NULL || session->sse_customer_key_md5 == NULL)
            rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    explicit_bzero(key, sizeof key);
    return rc;
}

static void on_secret(void *data, const char *secret, const struct error *err)
{
    struct s3_opening *opening = data;
    struct s3_session *session = opening->session;
    struct error own = {0};
    opening->wait = NULL;
    if (err)
        own = *err;
    else
        keep_key(session, secret, &own);
    if (own.code)
        error_context(&own, "bucket '%s': the key of sse \"customer\"", session->config.bucket);
    opened(session, own.code ? &own : NULL);
}

int s3_session_open(struct s3_session *session, void (*on_open)(void *data, const struct error *err),
                    void *data, struct error *err)
{
    struct s3_opening *opening = calloc(1, sizeof *opening);
    if (opening == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    opening->session = session;
    opening->on_open = on_open;
    opening->data = data;
    uv_timer_init(session->loop, &opening->timer);
    opening->timer.data = opening;
    session->opening = opening;
    if (session->config.sse_customer_key_ref == NULL) {
        uv_timer_start(&opening->timer, on_timer, 0, 0);
        return 0;
    }
    int rc = secrets_get(session->access->secrets, session->config.sse_customer_key_ref, on_secret, opening,
                         &opening->wait, err);
    if (rc < 0)
        opening_end(session);
    return rc;
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void s3_session_deinit(struct s3_session *session)
{
    if (session->opening)
        opening_end(session);
    wipe(session->sse_customer_key);
    wipe(session->sse_customer_key_md5);
    *session = (struct s3_session){0};
}
