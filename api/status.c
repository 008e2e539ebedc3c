/* GET /api/status: what backupctl status shows. PostgreSQL's part arrives also when Redis is away. */
#include <stdlib.h>

#include "api.h"
#include "ask.h"
#include "base/log.h"
#include "input.h"
#include "problem.h"
#include "queue/look.h"
#include "store/json_rows.h"
#include "store/queues.h"
#include "store/status.h"

enum { MOST_DATABASES = 1000 };

struct overview {
    struct http_request *request;
    json_t *status;
};

static void finish(struct overview *overview, json_t *queues, const char *why_not)
{
    json_t *status = overview->status;
    int rc = json_object_set_new(status, "queues", queues ? queues : json_null());
    rc |= json_object_set_new(status, "queues_error", why_not ? json_string(why_not) : json_null());
    if (rc) {
        json_decref(status);
        status = NULL;
    }
    http_reply(overview->request, 200, status);
    free(overview);
}

static void on_queues(void *data, json_t *found, const struct error *err)
{
    if (err)
        log_warn("the status is told without its queues: %s", err->message);
    finish(data, found, err ? err->message : NULL);
}

static void on_rows(struct ask *ask, const struct pg_results *results)
{
    struct queue_look look = {.kind = QUEUE_LOOK_STATS,
                              .within_ms = ask->api->settings->lease_seconds * 1000};
    struct overview *overview = calloc(1, sizeof *overview);
    json_t *queues = json_rows(ask_result(ask, results, STATUS_STATEMENTS));
    struct error err = {0};
    if (overview)
        *overview = (struct overview){ask->request, status_read(results->results + ask->before)};
    if (overview == NULL || overview->status == NULL || queues == NULL) {
        problem_reply(ask->request, 503, "out of memory");
        if (overview)
            json_decref(overview->status);
        free(overview);
    } else if (queue_look(ask->api->redis, queues, &look, on_queues, overview, &err))
        on_queues(overview, NULL, &err);
    json_decref(queues);
}

void status_get(struct api *api, struct http_request *request)
{
    if (input_query(request, NULL, 0) == NULL)
        return;
    struct ask *ask = ask_new(api, request, on_rows, NULL);
    if (ask == NULL)
        return;
    int added = status_add(ask->question, MOST_DATABASES);
    added |= queues_add_select(ask->question, NULL);
    ask_send(ask, added);
}
