#include "auth/sigv4_canonical.h"

#include <assert.h>
#include <string.h>

#include "base/percent.h"

void sigv4_encode(struct strbuf *out, const char *text, bool keep_slash)
{
    percent_encode(out, text, strlen(text), keep_slash);
}

void sigv4_list_init(struct sigv4_list *list)
{
    list->n = 0;
    strbuf_init(&list->text, SIGV4_MAX_REQUEST);
}

void sigv4_list_deinit(struct sigv4_list *list)
{
    if (list->text.data)
        explicit_bzero(list->text.data, list->text.capacity);
    strbuf_deinit(&list->text);
}

static struct sigv4_pair *next_pair(struct sigv4_list *list)
{
    assert(list->n < (int)(sizeof list->pairs / sizeof *list->pairs));
    return &list->pairs[list->n++];
}

void sigv4_list_add_query(struct sigv4_list *list, const char *name, const char *value)
{
    struct sigv4_pair *pair = next_pair(list);
    pair->name = list->text.size;
    sigv4_encode(&list->text, name, false);
    strbuf_putc(&list->text, '\0');
    pair->value = list->text.size;
    sigv4_encode(&list->text, value ? value : "", false);
    strbuf_putc(&list->text, '\0');
}

static bool is_token(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
    return name[0] != '\0' && name[strspn(name, allowed)] == '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool has_control(const char *value)
{
    for (; *value; value++) {
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return true;
    }
    return false;
}

/* Without blanks at both ends, runs of them as one space. */
static void append_squeezed(struct strbuf *out, const char *value)
{
    const char *end = value + strlen(value);
    while (end > value && is_blank(end[-1]))
        end--;
    while (value < end && is_blank(*value))
        value++;
    while (value < end) {
        const char *word = value;
        while (value < end && !is_blank(*value))
            value++;
        strbuf_append(out, word, (size_t)(value - word));
        if (value < end)
            strbuf_putc(out, ' ');
        while (value < end && is_blank(*value))
            value++;
    }
}

int sigv4_list_add_header(struct sigv4_list *list, const char *name, const char *value, struct error *err)
{
    if (name == NULL || !is_token(name))
        return error_set(err, ERROR_INPUT, false, "a header to sign has a name that HTTP doesn't know");
    if (value == NULL || has_control(value))
        return error_set(err, ERROR_INPUT, false, "header %.64s: no value, or a control character in it",
                         name);
    struct sigv4_pair *pair = next_pair(list);
    pair->name = list->text.size;
    for (; *name; name++)
        strbuf_putc(&list->text, *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name);
    strbuf_putc(&list->text, '\0');
    pair->value = list->text.size;
    append_squeezed(&list->text, value);
    strbuf_putc(&list->text, '\0');
    return 0;
}

static int compare_names(const char *text, const struct sigv4_pair *a, const struct sigv4_pair *b)
{
    return strcmp(text + a->name, text + b->name);
}

static int compare_names_and_values(const char *text, const struct sigv4_pair *a, const struct sigv4_pair *b)
{
    int order = compare_names(text, a, b);
    return order ? order : strcmp(text + a->value, text + b->value);
}

/* By insertion: stable, and the lists are short. */
static void sort(struct sigv4_list *list,
                 int (*compare)(const char *, const struct sigv4_pair *, const struct sigv4_pair *))
{
    for (int i = 1; i < list->n; i++) {
        struct sigv4_pair pair = list->pairs[i];
        int at = i;
        for (; at > 0 && compare(list->text.data, &list->pairs[at - 1], &pair) > 0; at--)
            list->pairs[at] = list->pairs[at - 1];
        list->pairs[at] = pair;
    }
}

void sigv4_list_write_query(struct sigv4_list *list, struct strbuf *out)
{
    if (list->text.failed) {
        out->failed = true;
        return;
    }
    sort(list, compare_names_and_values);
    for (int i = 0; i < list->n; i++) {
        if (i > 0)
            strbuf_putc(out, '&');
        strbuf_puts(out, list->text.data + list->pairs[i].name);
        strbuf_putc(out, '=');
        strbuf_puts(out, list->text.data + list->pairs[i].value);
    }
}

static bool same_name_as_before(const struct sigv4_list *list, int i)
{
    return i > 0 && compare_names(list->text.data, &list->pairs[i - 1], &list->pairs[i]) == 0;
}

void sigv4_list_write_headers(struct sigv4_list *list, struct strbuf *out)
{
    if (list->text.failed) {
        out->failed = true;
        return;
    }
    sort(list, compare_names);
    for (int i = 0; i < list->n; i++) {
        bool again = same_name_as_before(list, i);
        if (!again && i > 0)
            strbuf_putc(out, '\n');
        if (!again)
            strbuf_puts(out, list->text.data + list->pairs[i].name);
        strbuf_putc(out, again ? ',' : ':');
        strbuf_puts(out, list->text.data + list->pairs[i].value);
    }
    strbuf_putc(out, '\n');
}

void sigv4_list_write_names(struct sigv4_list *list, struct strbuf *out)
{
    if (list->text.failed) {
        out->failed = true;
        return;
    }
    sort(list, compare_names);
    for (int i = 0; i < list->n; i++) {
        if (same_name_as_before(list, i))
            continue;
        if (i > 0)
            strbuf_putc(out, ';');
        strbuf_puts(out, list->text.data + list->pairs[i].name);
    }
}

bool sigv4_list_has(const struct sigv4_list *list, const char *name)
{
    if (list->text.failed)
        return false;
    for (int i = 0; i < list->n; i++) {
        if (strcmp(list->text.data + list->pairs[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Drops the last segment that was written, its slash included. */
static void drop_segment(struct strbuf *out, size_t start)
{
    if (out->failed)
        return;
    while (out->size > start && out->data[--out->size] != '/')
        ;
    if (out->data)
        out->data[out->size] = '\0';
}

static void write_normalised(const char *path, struct strbuf *out)
{
    size_t start = out->size, n = strlen(path);
    while (*path) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (length == 2 && memcmp(path, "..", 2) == 0)
            drop_segment(out, start);
        else if (length > 0 && !(length == 1 && *path == '.')) {
            strbuf_putc(out, '/');
            percent_encode(out, path, length, false);
        }
        path += length;
    }
    if (out->size == start || (n > 0 && path[-1] == '/'))
        strbuf_putc(out, '/');
}

void sigv4_write_path(const char *path, enum sigv4_path rule, struct strbuf *out)
{
    if (path[0] == '\0')
        strbuf_putc(out, '/');
    else if (rule == SIGV4_PATH_NORMALISE)
        write_normalised(path, out);
    else
        sigv4_encode(out, path, true);
}
