/*
 * What all calls of one operation share. A protocol's own session begins with this one and adds its settings
 * (struct s3_session { struct object_session base; struct s3_config config; ... }); it lives in the
 * operation, as long as its calls.
 */
#pragma once

#include "auth/access.h"
#include "storage/driver.h"

struct object_protocol;
struct object_opening;

struct object_session {
    const struct object_protocol *protocol;
    uv_loop_t *loop;
    struct access *access;
    struct http_group *group;
    const char *credentials_ref; /* the location's, else the settings'; NULL = the type's own chain */

    /* Filled by the protocol's session_init; they live as long as the location's config, or the session. */
    const char *container; /* its name */
    const char *endpoint;  /* names the service: clocks are learned, and requests bounded, under it */
    const char *ca_file;   /* PEM; NULL = the system's */
    int max_requests;
    const char *secret_ref; /* of what is fetched by object_session_open; NULL = nothing */
    const char *secret_for; /* "the key of sse \"customer\"": for messages */

    struct object_opening *opening; /* private */
};

/* session: protocol->session_size bytes. Loads and checks the location, joins its group. 0 or a negative code
 * (then the session holds nothing); no callback. ERROR_UNSUPPORTED: the location has no access. */
int object_session_init(struct object_session *session, const struct object_protocol *protocol,
                        uv_loop_t *loop, const struct storage_location *location, struct error *err);
/* Fetches what must be there before the first call. on_open runs once from the loop, never before return;
 * after object_session_deinit: never. */
int object_session_open(struct object_session *session, void (*on_open)(void *data, const struct error *err),
                        void *data, struct error *err);
/* Also of one that is zeroed. The protocol's session_deinit overwrites what is secret. */
void object_session_deinit(struct object_session *session);

/* This host's clock, corrected by what the service has told of its own. Unix time. */
int64_t object_session_now_ms(const struct object_session *session);
