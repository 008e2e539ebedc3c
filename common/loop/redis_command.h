/* One command: its bytes, who wants the answer, until when. Internal to redis.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loop/redis.h"

struct redis_command {
    struct redis_command *next;
    struct redis_client *client;
    redis_done_fn cb;
    void *data;
    int64_t timeout_ms;
    int64_t deadline;
    const struct redis_script *script; /* sent by EVALSHA: may have to be sent again by EVAL */
    char *bytes;
    size_t size;
    size_t rest; /* of a script: where key and arguments begin */
    int argc;
    bool in_hiredis; /* hiredis holds a pointer to this */
    bool told;       /* cb has run; free when hiredis lets go */
    struct error err;
};

struct redis_list {
    struct redis_command *head;
    struct redis_command *tail;
    int n;
};

void redis_list_push(struct redis_list *list, struct redis_command *command);
void redis_list_push_front(struct redis_list *list, struct redis_command *command);
struct redis_command *redis_list_pop(struct redis_list *list);

/* lengths NULL = NUL-terminated. NULL when memory is out. */
struct redis_command *redis_command_new(int argc, const char *const *argv, const size_t *lengths);
struct redis_command *redis_command_new_script(struct redis_script *script, const char *key, int argc,
                                               const char *const *argv, const size_t *lengths);

/* Turns EVALSHA into EVAL with the script's text; false when memory is out. */
bool redis_command_spell_out(struct redis_command *command);

/* The bytes are on their way: drops them unless they may be needed again. */
void redis_command_forget(struct redis_command *command);
void redis_command_free(struct redis_command *command);
