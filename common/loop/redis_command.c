#include "loop/redis_command.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/redis_reply.h"

#define HEADER_MAX 16 /* "*N\r\n" */

void redis_list_push(struct redis_list *list, struct redis_command *command)
{
    command->next = NULL;
    if (list->tail)
        list->tail->next = command;
    else
        list->head = command;
    list->tail = command;
    list->n++;
}

void redis_list_push_front(struct redis_list *list, struct redis_command *command)
{
    command->next = list->head;
    list->head = command;
    if (list->tail == NULL)
        list->tail = command;
    list->n++;
}

struct redis_command *redis_list_pop(struct redis_list *list)
{
    struct redis_command *command = list->head;
    if (command) {
        list->head = command->next;
        if (list->head == NULL)
            list->tail = NULL;
        list->n--;
        command->next = NULL;
    }
    return command;
}

static size_t length_of(const char *const *argv, const size_t *lengths, int i)
{
    return lengths ? lengths[i] : strlen(argv[i]);
}

static size_t size_of(int argc, const char *const *argv, const size_t *lengths)
{
    size_t size = 0;
    for (int i = 0; i < argc; i++)
        size += redis_bulk_size(length_of(argv, lengths, i));
    return size;
}

static char *put_all(char *at, int argc, const char *const *argv, const size_t *lengths)
{
    for (int i = 0; i < argc; i++)
        at = redis_bulk_put(at, argv[i], length_of(argv, lengths, i));
    return at;
}

static struct redis_command *allocate(size_t size)
{
    struct redis_command *command = calloc(1, sizeof *command);
    char *bytes = malloc(size + HEADER_MAX);
    if (command == NULL || bytes == NULL) {
        free(command);
        free(bytes);
        return NULL;
    }
    command->bytes = bytes;
    return command;
}

struct redis_command *redis_command_new(int argc, const char *const *argv, const size_t *lengths)
{
    struct redis_command *command = allocate(size_of(argc, argv, lengths));
    if (command == NULL)
        return NULL;
    char *at = command->bytes + sprintf(command->bytes, "*%d\r\n", argc);
    at = put_all(at, argc, argv, lengths);
    command->size = (size_t)(at - command->bytes);
    command->argc = argc;
    return command;
}

static void fill_sha1(struct redis_script *script)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (script->sha1[0] != '\0' ||
        EVP_Digest(script->text, strlen(script->text), digest, NULL, EVP_sha1(), NULL) != 1)
        return;
    for (int i = 0; i < 20; i++)
        sprintf(script->sha1 + 2 * i, "%02x", digest[i]);
}

struct redis_command *redis_command_new_script(struct redis_script *script, const char *key, int argc,
                                               const char *const *argv, const size_t *lengths)
{
    fill_sha1(script);
    /* without a digest (a libcrypto that refuses SHA-1) the text is sent each time */
    const char *const by_sha[2] = {"EVALSHA", script->sha1};
    const char *const by_text[2] = {"EVAL", script->text};
    const char *const *head = script->sha1[0] ? by_sha : by_text;
    const char *const keys[2] = {"1", key};
    struct redis_command *command =
        allocate(size_of(2, head, NULL) + size_of(2, keys, NULL) + size_of(argc, argv, lengths));
    if (command == NULL)
        return NULL;
    command->argc = 4 + argc;
    char *at = command->bytes + sprintf(command->bytes, "*%d\r\n", command->argc);
    at = put_all(at, 2, head, NULL);
    command->rest = (size_t)(at - command->bytes);
    at = put_all(at, 2, keys, NULL);
    at = put_all(at, argc, argv, lengths);
    command->size = (size_t)(at - command->bytes);
    command->script = head == by_sha ? script : NULL;
    return command;
}

bool redis_command_spell_out(struct redis_command *command)
{
    const char *const head[2] = {"EVAL", command->script->text};
    size_t rest_size = command->size - command->rest;
    char *bytes = malloc(HEADER_MAX + size_of(2, head, NULL) + rest_size);
    if (bytes == NULL)
        return false;
    char *at = bytes + sprintf(bytes, "*%d\r\n", command->argc);
    at = put_all(at, 2, head, NULL);
    memcpy(at, command->bytes + command->rest, rest_size);
    free(command->bytes);
    command->bytes = bytes;
    command->size = (size_t)(at - bytes) + rest_size;
    command->script = NULL;
    return true;
}

void redis_command_forget(struct redis_command *command)
{
    if (command->script)
        return;
    free(command->bytes);
    command->bytes = NULL;
}

void redis_command_free(struct redis_command *command)
{
    if (command == NULL)
        return;
    free(command->bytes);
    free(command);
}
