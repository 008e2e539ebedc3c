#include "ask.h"

#include <stdlib.h>

#include "identity.h"
#include "problem.h"
#include "store/json_rows.h"

static struct ask *new_of(struct pg_client *client, struct api *api, struct http_request *request,
                          ask_fn done, void *data)
{
    struct ask *ask = calloc(1, sizeof *ask);
    if (ask)
        *ask = (struct ask){
            .api = api, .request = request, .question = pg_request_new(client), .done = done, .data = data};
    if (ask && ask->question)
        return ask;
    free(ask);
    problem_reply(request, 503, "out of memory");
    return NULL;
}

struct ask *ask_new(struct api *api, struct http_request *request, ask_fn done, void *data)
{
    return new_of(api->pg, api, request, done, data);
}

struct ask *ask_new_search(struct api *api, struct http_request *request, ask_fn done, void *data)
{
    return new_of(api->search, api, request, done, data);
}

struct ask *ask_new_change(struct api *api, struct http_request *request, ask_fn done, void *data)
{
    struct ask *ask = ask_new(api, request, done, data);
    if (ask == NULL)
        return NULL;
    ask->before = 1;
    if (identity_add_actor(api, ask->question, request) == 0)
        return ask;
    ask_free(ask);
    problem_reply(request, 503, "out of memory");
    return NULL;
}

void ask_free(struct ask *ask)
{
    pg_request_free(ask->question);
    free(ask);
}

static void on_answer(void *data, const struct pg_results *results, const struct error *err)
{
    struct ask *ask = data;
    if (err == NULL)
        ask->done(ask, results);
    else if (ask->failed)
        ask->failed(ask, err);
    else
        api_reply_pg_error(ask->request, err);
    free(ask);
}

void ask_send(struct ask *ask, int added)
{
    if (added) {
        problem_reply(ask->request, 503, "out of memory, or a value that is too long");
        ask_free(ask);
        return;
    }
    struct pg_request *question = ask->question;
    ask->question = NULL;
    pg_request_send(question, on_answer, ask);
}

const PGresult *ask_result(const struct ask *ask, const struct pg_results *results, unsigned n)
{
    return results->results[ask->before + n];
}

void ask_reply_row(struct ask *ask, const PGresult *result, unsigned status, const char *what)
{
    if (PQntuples(result) == 0)
        problem_reply(ask->request, 404, "there is no such %s", what);
    else
        http_reply(ask->request, status, json_row(result, 0));
}
