/* Private to sigv4: the pieces of the canonical request. */
#pragma once

#include "auth/sigv4.h"

/* Pairs of query parameters or headers, in canonical spelling, sorted on demand. Texts stand in one buffer.
 */
struct sigv4_list {
    struct strbuf text;
    struct sigv4_pair {
        size_t name, value; /* offsets into text, NUL-terminated */
    } pairs[SIGV4_MAX_QUERY + 8];
    int n;
};

void sigv4_list_init(struct sigv4_list *list);
void sigv4_list_deinit(struct sigv4_list *list); /* overwrites: a session token may be in it */

/* Both encoded; value NULL = "". */
void sigv4_list_add_query(struct sigv4_list *list, const char *name, const char *value);
/* The name in lower case, the value trimmed and squeezed. ERROR_INPUT for control characters and names that
 * aren't HTTP's. */
int sigv4_list_add_header(struct sigv4_list *list, const char *name, const char *value, struct error *err);

/* "a=1&b=2", by encoded name, then by value. */
void sigv4_list_write_query(struct sigv4_list *list, struct strbuf *out);
/* "name:value\n" for each name once, by name alone, repeated ones joined by "," in their order. */
void sigv4_list_write_headers(struct sigv4_list *list, struct strbuf *out);
/* "host;x-amz-date" */
void sigv4_list_write_names(struct sigv4_list *list, struct strbuf *out);
bool sigv4_list_has(const struct sigv4_list *list, const char *name);

void sigv4_write_path(const char *path, enum sigv4_path rule, struct strbuf *out);
