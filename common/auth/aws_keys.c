#include "auth/aws_keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool is_present(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Neither a control character nor a blank nor one of `refused`. */
static bool is_clean(const char *text, const char *refused)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f || strchr(refused, *text))
            return false;
    }
    return true;
}

static int check(const char *what, const struct aws_credentials *c, struct error *err)
{
    if (!is_present(c->access_key_id) || !is_present(c->secret_access_key))
        return error_set(err, ERROR_INPUT, false, "%.300s: no %s in it", what,
                         is_present(c->access_key_id) ? "secret access key" : "access key id");
    if (!is_clean(c->access_key_id, ",") || !is_clean(c->secret_access_key, ""))
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: the access key id or the secret holds a blank or a control character",
                         what);
    if (is_present(c->session_token) && !is_clean(c->session_token, ""))
        return error_set(err, ERROR_INPUT, false,
                         "%.300s: the session token holds a blank or a control character", what);
    return 0;
}

/* *at moves behind the copy and its NUL. */
static const char *put(char **at, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = memcpy(*at, text, n);
    *at += n;
    return copy;
}

int aws_keys_copy(const char *what, const struct aws_credentials *from, struct aws_credentials *ret,
                  char **ret_memory, struct error *err)
{
    int rc = check(what, from, err);
    if (rc)
        return rc;
    const char *token = from->session_token ? from->session_token : "";
    const char *source = from->source ? from->source : what;
    size_t size =
        strlen(from->access_key_id) + strlen(from->secret_access_key) + strlen(token) + strlen(source);
    if (size > AWS_KEYS_MAX)
        return error_set(err, ERROR_LIMIT, false, "%.300s: credentials longer than %d bytes", what,
                         AWS_KEYS_MAX);
    char *memory = malloc(size + 4), *at = memory;
    if (memory == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    struct aws_credentials copy = {.expires_at_ms = from->expires_at_ms};
    copy.access_key_id = put(&at, from->access_key_id);
    copy.secret_access_key = put(&at, from->secret_access_key);
    copy.session_token = put(&at, token);
    copy.source = put(&at, source);
    assert(at == memory + size + 4);
    if (copy.session_token[0] == '\0')
        copy.session_token = NULL;
    *ret = copy;
    *ret_memory = memory;
    return 0;
}

/* The memory is four strings in a row, see aws_keys_copy. */
void aws_credentials_memory_free(char *memory)
{
    if (memory == NULL)
        return;
    char *at = memory;
    for (int i = 0; i < 4; i++)
        at += strlen(at) + 1;
    explicit_bzero(memory, (size_t)(at - memory));
    free(memory);
}
