#include "redis_ask.h"

#include <stdarg.h>

#include "catalog_commands.h"
#include "queue/queue.h"
#include "store/json_rows.h"
#include "store/queues.h"

enum { MAX_WORDS = 16 };

static redisReply *ask(struct cli *cli, struct error *err, va_list words)
{
    const char *argv[MAX_WORDS];
    int argc = 0;
    for (const char *word; argc < MAX_WORDS && (word = va_arg(words, const char *));)
        argv[argc++] = word;
    struct redis_client *redis = cli_redis(cli, err);
    return redis ? redis_run(redis, argc, argv, NULL, err) : NULL;
}

redisReply *redis_ask(struct cli *cli, struct error *err, ...)
{
    va_list words;
    va_start(words, err);
    redisReply *reply = ask(cli, err, words);
    va_end(words);
    return reply;
}

int redis_ask_number(struct cli *cli, int64_t *ret_number, struct error *err, ...)
{
    va_list words;
    va_start(words, err);
    redisReply *reply = ask(cli, err, words);
    va_end(words);
    if (reply == NULL)
        return err->code;
    int rc = 0;
    if (reply->type == REDIS_REPLY_INTEGER)
        *ret_number = reply->integer;
    else
        rc = error_set(err, ERROR_PROTOCOL, false, "Redis: an answer that is not a number");
    freeReplyObject(reply);
    return rc;
}

int queue_rows(struct cli *cli, const struct arguments *args, json_t **ret_rows, struct error *err)
{
    const char *only = arguments_get(args, "queue");
    PGresult *result;
    int rc = only ? queue_name_check(only, err) : 0;
    struct pg_request *request = rc ? NULL : catalog_request(cli, err);
    if (request == NULL)
        return err->code;
    queues_add_select(request, only);
    rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    json_t *rows = json_rows(result);
    PQclear(result);
    if (rows && only && json_array_size(rows) == 0)
        json_array_append_new(rows, json_pack("{s:s, s:n}", "queue", only, "paused_at"));
    if (rows == NULL)
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    *ret_rows = rows;
    return 0;
}

int queue_names(struct cli *cli, const struct arguments *args, json_t **ret_names, struct error *err)
{
    json_t *rows;
    int rc = queue_rows(cli, args, &rows, err);
    if (rc)
        return rc;
    json_t *names = json_array();
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) json_array_append(names, json_object_get(row, "queue"));
    json_decref(rows);
    *ret_names = names;
    return 0;
}
