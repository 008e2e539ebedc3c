#include "api.h"

#include <stdlib.h>

#include "base/log.h"

struct readiness {
    struct http_request *request;
    int waiting;
    struct error pg, redis;
};

void health_live(struct api *api, struct http_request *request)
{
    (void)api;
    http_reply(request, 200, json_pack("{s:s, s:s}", "status", "ok", "version", BM_VERSION));
}

/* Anybody may ask: where the servers are, and as whom they are asked, is for the log. */
static json_t *state_of(const struct error *err)
{
    if (err->code == 0)
        return json_string("ok");
    log_warn("not ready: %s", err->message);
    return json_string(err->code == ERROR_TIMEOUT  ? "no answer in time"
                       : err->code == ERROR_DENIED ? "it refuses the user or the password"
                                                   : "no connection, or an error; see the log");
}

static void finish(struct readiness *r)
{
    if (--r->waiting > 0)
        return;
    bool ready = r->pg.code == 0 && r->redis.code == 0;
    const char *what = r->redis.code == 0 ? "PostgreSQL does not answer"
                       : r->pg.code == 0  ? "Redis does not answer"
                                          : "PostgreSQL and Redis do not answer";
    json_t *pg = state_of(&r->pg), *redis = state_of(&r->redis);
    if (ready) {
        http_reply(r->request, 200,
                   json_pack("{s:s, s:o, s:o}", "status", "ready", "postgresql", pg, "redis", redis));
    } else {
        struct problem problem;
        problem_init(&problem, 503, "%s", what);
        problem_set(&problem, "postgresql", pg);
        problem_set(&problem, "redis", redis);
        problem_send(&problem, r->request);
    }
    free(r);
}

static void on_pg(void *data, const struct pg_results *results, const struct error *err)
{
    struct readiness *r = data;
    (void)results;
    if (err)
        r->pg = *err;
    finish(r);
}

static void on_redis(void *data, const redisReply *reply, const struct error *err)
{
    struct readiness *r = data;
    (void)reply;
    if (err)
        r->redis = *err;
    finish(r);
}

void health_ready(struct api *api, struct http_request *request)
{
    static const struct pg_statement probe = {.sql = "SELECT 1"};
    static const char *const ping[] = {"PING"};
    struct readiness *r = calloc(1, sizeof *r);
    struct pg_request *question = r ? pg_request_new(api->probe) : NULL;
    if (question == NULL) {
        free(r);
        problem_reply(request, 503, "out of memory");
        return;
    }
    r->request = request;
    r->waiting = 2;
    pg_request_add(question, &probe, NULL);
    pg_request_send(question, on_pg, r);
    redis_command(api->redis, 1, ping, NULL, 0, on_redis, r);
}
