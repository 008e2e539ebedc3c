#include <stdlib.h>
#include <string.h>

#include "loop/pg_internal.h"

#define MAYBE "maybe"
#define DETAIL_MAX 300

void pg_list_push(struct pg_list *list, struct pg_request *request)
{
    request->next = NULL;
    if (list->tail)
        list->tail->next = request;
    else
        list->head = request;
    list->tail = request;
    list->n++;
}

struct pg_request *pg_list_pop(struct pg_list *list)
{
    struct pg_request *request = list->head;
    if (request) {
        list->head = request->next;
        if (list->head == NULL)
            list->tail = NULL;
        list->n--;
        request->next = NULL;
    }
    return request;
}

struct pg_request *pg_request_new(struct pg_client *client)
{
    struct pg_request *request = calloc(1, sizeof *request);
    if (request)
        request->client = client;
    return request;
}

/* One block: the pointers, then the texts. */
static int copy_item(struct pg_item *item, const struct pg_statement *statement, const char *const *values)
{
    size_t n = (size_t)statement->n_params;
    size_t sql_size = statement->name ? 0 : strlen(statement->sql) + 1;
    size_t size = n * sizeof(char *) + sql_size;
    for (size_t i = 0; i < n; i++)
        size += values[i] ? strlen(values[i]) + 1 : 0;
    char *block = malloc(size ? size : 1);
    if (block == NULL)
        return ERROR_SYSTEM;
    *item = (struct pg_item){.name = statement->name,
                             .sql = statement->sql,
                             .n_params = statement->n_params,
                             .values = (char **)(void *)block,
                             .block = block};
    char *at = block + n * sizeof(char *);
    for (size_t i = 0; i < n; i++) {
        item->values[i] = NULL;
        if (values[i] == NULL)
            continue;
        item->values[i] = at;
        at = stpcpy(at, values[i]) + 1;
    }
    if (sql_size)
        item->sql = memcpy(at, statement->sql, sql_size);
    return 0;
}

int pg_request_add(struct pg_request *request, const struct pg_statement *statement,
                   const char *const *values)
{
    if (request->err.code != 0)
        return request->err.code;
    if (request->n == PG_REQUEST_MAX)
        return error_set(&request->err, ERROR_LIMIT, false, "more than %d statements in one request",
                         PG_REQUEST_MAX);
    int rc = copy_item(&request->items[request->n], statement, values);
    if (rc != 0)
        return error_set(&request->err, rc, true, "out of memory");
    request->n++;
    return 0;
}

void pg_request_reset(struct pg_request *request)
{
    for (int i = 0; i < request->n; i++) {
        PQclear(request->results[i]);
        request->results[i] = NULL;
        request->items[i].prepares = false;
    }
    request->done = 0;
    request->prepare_done = false;
    request->lost_prepared = false;
    request->err = (struct error){0};
}

void pg_request_free(struct pg_request *request)
{
    if (request == NULL)
        return;
    pg_request_reset(request);
    for (int i = 0; i < request->n; i++)
        free(request->items[i].block);
    free(request);
}

void pg_error_mark_maybe(struct error *err)
{
    memcpy(err->native, MAYBE, sizeof MAYBE);
}

int pg_maybe_committed(const struct error *err)
{
    return strcmp(err->native, MAYBE) == 0;
}

static bool starts(const char *state, const char *class)
{
    return strncmp(state, class, strlen(class)) == 0;
}

/* The detail of these is the row itself: hashes, what is sealed, whatever stands in it. */
static bool detail_is_row(const char *state)
{
    return strcmp(state, "23502") == 0 || strcmp(state, "23514") == 0 || strcmp(state, "44000") == 0;
}

void pg_error_from_result(struct error *err, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    if (state == NULL)
        state = "";
    if (primary == NULL)
        primary = PQresultErrorMessage(result);
    int code = ERROR_PROTOCOL;
    bool retryable = false;
    if (strcmp(state, "23505") == 0) {
        code = ERROR_EXISTS;
    } else if (starts(state, "22") || starts(state, "23")) {
        code = ERROR_INPUT;
    } else if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0) {
        code = ERROR_CONFLICT;
        retryable = true;
    } else {
        /* 25006: a standby that is about to be promoted; 25P03: silent for too long, the session is over */
        retryable = starts(state, "08") || starts(state, "53") || starts(state, "57") ||
                    starts(state, "58") || strcmp(state, "55P03") == 0 || strcmp(state, "25006") == 0 ||
                    strcmp(state, "25P03") == 0;
    }
    bool with_detail = detail && strlen(detail) <= DETAIL_MAX && !detail_is_row(state);
    error_set(err, code, retryable, "PostgreSQL: %s%s%s%s", primary, with_detail ? " (" : "",
              with_detail ? detail : "", with_detail ? ")" : "");
    strncpy(err->native, state, sizeof err->native - 1);
    err->native[sizeof err->native - 1] = '\0';
}

void pg_copy_clear(struct pg_copy *copy)
{
    for (int i = 0; i < copy->n; i++)
        PQclear(copy->results[i]);
    *copy = (struct pg_copy){0};
}

struct run {
    struct pg_request *request;
    bool done;
    struct pg_copy copy;
    struct error err;
};

/* The request is freed behind this callback: its results can be kept rather than copied. */
static void on_run_done(void *data, const struct pg_results *results, const struct error *err)
{
    struct run *run = data;
    run->done = true;
    uv_stop(run->request->client->loop); /* it may come from a timer: don't wait for other events */
    if (results == NULL) {
        run->err = *err;
        return;
    }
    run->copy.n = results->n;
    for (int i = 0; i < results->n; i++) {
        run->copy.results[i] = results->results[i];
        run->request->results[i] = NULL;
    }
}

int pg_run(struct pg_request *request, struct pg_copy *ret_results, struct error *err)
{
    if (request == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    struct run run = {.request = request};
    uv_loop_t *loop = request->client->loop;
    pg_request_send(request, on_run_done, &run);
    while (!run.done)
        uv_run(loop, UV_RUN_ONCE);
    if (run.err.code != 0) {
        if (err)
            *err = run.err;
        return run.err.code;
    }
    if (ret_results)
        *ret_results = run.copy;
    else
        pg_copy_clear(&run.copy);
    return 0;
}
