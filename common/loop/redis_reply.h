/* Replies and requests as values: error mapping, copies, the wire format. */
#pragma once

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "base/error.h"

/* Fills *err from an error reply's text by the table in redis.h and returns the code. */
int redis_error_from_text(struct error *err, const char *text, size_t length);

/* A deep copy for freeReplyObject; NULL when memory is out. */
redisReply *redis_reply_copy(const redisReply *reply);

/* Size of one bulk string on the wire, and the string itself; returns the place behind it. */
size_t redis_bulk_size(size_t length);
char *redis_bulk_put(char *at, const char *data, size_t length);
