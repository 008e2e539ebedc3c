#include "loop/redis_reply.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

int redis_error_from_text(struct error *err, const char *text, size_t length)
{
    static const char *const denied[] = {"NOAUTH", "WRONGPASS", "NOPERM", NULL};
    static const char *const later[] = {"LOADING",  "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN",
                                        "READONLY", "OOM",  "MISCONF",  NULL};
    char word[sizeof err->native];
    size_t n = 0;
    while (n < length && n < sizeof word - 1 && text[n] != ' ') {
        word[n] = text[n];
        n++;
    }
    word[n] = '\0';
    int code = is_one_of(word, denied) ? ERROR_DENIED : ERROR_PROTOCOL;
    error_set(err, code, is_one_of(word, later), "Redis: %.*s", (int)(length < 800 ? length : 800), text);
    memcpy(err->native, word, n + 1);
    return code;
}

static bool copy_text(redisReply *copy, const redisReply *reply)
{
    copy->str = malloc(reply->len + 1);
    if (copy->str == NULL)
        return false;
    memcpy(copy->str, reply->str, reply->len);
    copy->str[reply->len] = '\0';
    copy->len = reply->len;
    return true;
}

static bool copy_elements(redisReply *copy, const redisReply *reply)
{
    if (reply->elements == 0)
        return true;
    copy->element = calloc(reply->elements, sizeof *copy->element);
    if (copy->element == NULL)
        return false;
    copy->elements = reply->elements;
    for (size_t i = 0; i < reply->elements; i++) {
        copy->element[i] = redis_reply_copy(reply->element[i]);
        if (copy->element[i] == NULL)
            return false;
    }
    return true;
}

redisReply *redis_reply_copy(const redisReply *reply)
{
    redisReply *copy = calloc(1, sizeof *copy);
    if (copy == NULL)
        return NULL;
    copy->type = reply->type;
    copy->integer = reply->integer;
    if ((reply->str && !copy_text(copy, reply)) || !copy_elements(copy, reply)) {
        freeReplyObject(copy);
        return NULL;
    }
    return copy;
}

size_t redis_bulk_size(size_t length)
{
    return (size_t)snprintf(NULL, 0, "$%zu\r\n", length) + length + 2;
}

char *redis_bulk_put(char *at, const char *data, size_t length)
{
    at += sprintf(at, "$%zu\r\n", length);
    memcpy(at, data, length);
    at += length;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}
