#include "storage/azure/request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/azure_shared_key.h"
#include "base/civil.h"
#include "base/percent.h"

#define AUTHORIZATION_MAX 256
#define OWN_HEADERS 8 /* those that aren't the ask's */

void azure_http_date(int64_t time_ms, char ret[AZURE_HTTP_DATE_SIZE])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c = civil_from_seconds(time_ms / 1000);
    snprintf(ret, AZURE_HTTP_DATE_SIZE, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[c.weekday], c.day,
             months[c.month - 1], (int)c.year, c.hour, c.minute, c.second);
}

/* The headers that are sent, and signed where a key signs. */
struct headers {
    struct azure_shared_key_pair list[OBJECT_REQUEST_MAX_HEADERS];
    int n;
};

static void add(struct headers *headers, const char *name, const char *value)
{
    headers->list[headers->n++] = (struct azure_shared_key_pair){name, value};
}

static bool has(const struct headers *headers, const char *name)
{
    for (int i = 0; i < headers->n; i++)
        if (strcasecmp(headers->list[i].name, name) == 0)
            return true;
    return false;
}

static int collect(const struct azure_session *session, const struct object_ask *ask, const char *date,
                   struct headers *headers, struct error *err)
{
    if (ask->n_headers > OBJECT_REQUEST_MAX_HEADERS - OWN_HEADERS)
        return error_set(err, ERROR_LIMIT, false, "a request has more than %d headers",
                         OBJECT_REQUEST_MAX_HEADERS - OWN_HEADERS);
    for (int i = 0; i < ask->n_headers; i++)
        add(headers, ask->headers[i].name, ask->headers[i].value);
    add(headers, "x-ms-version", session->config.api_version);
    add(headers, "x-ms-date", date);
    if (ask->customer_key) {
        assert(session->customer_key.base64);
        add(headers, "x-ms-encryption-key", session->customer_key.base64);
        add(headers, "x-ms-encryption-key-sha256", session->customer_key.digest);
        add(headers, "x-ms-encryption-algorithm", "AES256");
    }
    return 0;
}

/* Without the query. */
static void append_url(struct strbuf *url, const struct azure_session *session, const struct object_ask *ask)
{
    strbuf_puts(url, session->config.base_url);
    strbuf_putc(url, '/');
    percent_encode(url, session->config.container, strlen(session->config.container), false);
    if (ask->key) {
        strbuf_putc(url, '/');
        percent_encode(url, ask->key, strlen(ask->key), true);
    }
}

static int sign(const struct object_ask *ask, const struct headers *headers, const char *url,
                const struct azure_credentials *credentials, struct strbuf *authorization, struct error *err)
{
    struct azure_shared_key_pair query[AZURE_SHARED_KEY_MAX_QUERY];
    if (ask->n_query > AZURE_SHARED_KEY_MAX_QUERY)
        return error_set(err, ERROR_LIMIT, false, "a request has more than %d parameters",
                         AZURE_SHARED_KEY_MAX_QUERY);
    for (int i = 0; i < ask->n_query; i++)
        query[i] = (struct azure_shared_key_pair){ask->query[i].name,
                                                  ask->query[i].value ? ask->query[i].value : ""};
    const struct azure_shared_key_request request = {
        .method = ask->method,
        .path = strchr(strstr(url, "://") + 3, '/'),
        .query = query,
        .n_query = ask->n_query,
        .headers = headers->list,
        .n_headers = headers->n,
        .content_length = ask->body_size,
        .account = credentials->account,
        .key = credentials->key,
        .key_size = credentials->key_size,
    };
    return azure_shared_key_sign(&request, authorization, NULL, err);
}

static int authorise(const struct object_ask *ask, const struct headers *headers,
                     const struct azure_credentials *credentials, struct object_request *ret,
                     struct error *err)
{
    struct strbuf authorization;
    int rc = 0;
    if (credentials->kind == AZURE_SAS)
        return 0; /* in the URL */
    strbuf_init(&authorization, AUTHORIZATION_MAX);
    if (credentials->kind == AZURE_SHARED_KEY) {
        rc = sign(ask, headers, strbuf_cstr(&ret->url), credentials, &authorization, err);
        if (rc == 0)
            object_request_add_line(ret, "Authorization", strbuf_cstr(&authorization));
    } else {
        strbuf_puts(&ret->text, "Authorization: Bearer ");
        strbuf_append(&ret->text, credentials->token, strlen(credentials->token) + 1);
    }
    strbuf_deinit(&authorization);
    return rc;
}

int azure_request_build(const struct azure_session *session, const struct object_ask *ask,
                        const struct azure_credentials *credentials, int64_t time_ms,
                        struct object_request *ret, struct error *err)
{
    char date[AZURE_HTTP_DATE_SIZE];
    struct headers headers = {0};
    object_request_init(ret, ask->method);
    azure_http_date(time_ms, date);
    append_url(&ret->url, session, ask);
    int rc = collect(session, ask, date, &headers, err);
    for (int i = 0; i < headers.n; i++)
        object_request_add_line(ret, headers.list[i].name, headers.list[i].value);
    if (!has(&headers, "Content-Type"))
        object_request_omit_line(ret, "Content-Type"); /* the client adds none: it wouldn't be signed */
    if (rc == 0)
        rc = authorise(ask, &headers, credentials, ret, err);
    object_request_add_query(ret, ask->query, ask->n_query);
    if (credentials->kind == AZURE_SAS) {
        strbuf_putc(&ret->url, ask->n_query > 0 ? '&' : '?');
        strbuf_puts(&ret->url, credentials->sas);
    }
    if (rc < 0)
        object_request_deinit(ret);
    return rc;
}
