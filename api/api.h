/* The program: its servers, its clients, its end. */
#pragma once

#include <hiredis/hiredis.h>
#include <limits.h>
#include <stdint.h>
#include <uv.h>

#include "auth/password.h"
#include "base/error.h"
#include "base/settings.h"
#include "cors.h"
#include "docs.h"
#include "download.h"
#include "events.h"
#include "file_check.h"
#include "http.h"
#include "hung_disks.h"
#include "identity.h"
#include "listen.h"
#include "login_limit.h"
#include "loop/pg.h"
#include "loop/redis.h"
#include "openapi.h"
#include "operations.h"
#include "problem.h"
#include "relay.h"
#include "route.h"

struct access;
struct applies;

struct api {
    uv_loop_t *loop;
    const struct settings *settings;
    struct listen_socket listening;
    struct cors cors;
    struct router router;
    struct http_server *http;
    struct pg_client *pg;
    struct pg_client *search; /* lists that may read a whole table: nobody else stands in line behind them */
    struct pg_client *probe;  /* /readyz alone: it must not stand in line behind large answers */
    struct redis_client *redis;
    struct relays *relays;
    struct access *access;   /* auth/access.h: secrets, stores, keys of what is encrypted at rest */
    struct applies *applies; /* apply.h */
    struct file_checks *files;
    struct hung_disks hung_disks;
    struct downloads downloads; /* those left behind at a hung disk too */
    int n_downloads;
    struct operations *operations;
    struct identities *identities;
    struct events *events;
    struct password_checks *passwords;
    struct login_limit *logins;
    struct openapi *openapi;
    struct docs *docs;
    uv_signal_t terminate, interrupt;
    uv_timer_t last_resort;
    uv_timer_t keys_due;       /* keys.h */
    char keys_complaint[1000]; /* "": they were read */
    bool ending;
    char legacy_base[PATH_MAX]; /* BM_LEGACY_BASE_PATH, absolute */
};

/* Listens. api and settings stay where they are until api_run has returned. On failure nothing is left but
 * handles that close in the next turns of the loop. */
int api_init(struct api *api, uv_loop_t *loop, const struct settings *settings, struct error *err);

/* Serves until SIGTERM or SIGINT, then until the answers under way are given. False: a disk still does not
 * answer, its thread can't be waited for. */
bool api_run(struct api *api);

/* GET /healthz: the process lives. GET /readyz: PostgreSQL and Redis answer. */
void health_live(struct api *api, struct http_request *request);
void health_ready(struct api *api, struct http_request *request);

/* GET /api/status */
void status_get(struct api *api, struct http_request *request);

/* GET /api/databases/{id}/details?limit=&before= */
void details_get(struct api *api, struct http_request *request);

/* Replies to a request that PostgreSQL could not answer, and logs what came in between. Whoever has not said
 * who they are does not learn where PostgreSQL is, and as whom it is asked. */
void api_reply_pg_error(struct http_request *request, const struct error *err);
