#include "redis_ask.h"

#include <stdarg.h>

#include "queue/queue.h"

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

int queue_names(struct cli *cli, const struct arguments *args, json_t **ret_names, struct error *err)
{
    const char *only = arguments_get(args, "queue");
    if (only) {
        int rc = queue_name_check(only, err);
        if (rc == 0)
            *ret_names = json_pack("[s]", only);
        return rc;
    }
    PGresult *result;
    int rc = cli_query(cli,
                       "SELECT queue FROM destinations UNION SELECT 'default' UNION SELECT name FROM queues"
                       " UNION SELECT queue FROM backup_destinations WHERE status IN ('pending', 'uploading')"
                       " AND origin = 'native' ORDER BY 1",
                       0, NULL, &result, err);
    if (rc)
        return rc;
    json_t *names = json_array();
    for (int i = 0; i < PQntuples(result); i++)
        json_array_append_new(names, json_string(PQgetvalue(result, i, 0)));
    PQclear(result);
    *ret_names = names;
    return 0;
}
