/*
 * Each secrets_get is a wait, in one of two lists:
 *
 *   env:            READY at once
 *   file:           READING (thread pool) --> READY
 *   vault: aws-sm:  FETCHING (its document) --> READY, at once while the document is kept
 *   any error       READY
 *
 * An async handle delivers what is READY, so that no callback runs inside secrets_get (and a uv_run that
 * handles one event returns after it; a timer's callback would come before that wait). A document is what one
 * fetch brings, without the field: waits for different fields of it share the fetch, and the answer for
 * KEEP_MS.
 */
#include "auth/secrets.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_secrets_manager.h"
#include "auth/secret.h"
#include "auth/secret_field.h"
#include "auth/secret_local.h"
#include "auth/vault.h"
#include "base/clock.h"

enum { WAITS_MAX = 65536, DOCUMENTS_MAX = 256, KEEP_MS = 60000 };

enum wait_state { READING, FETCHING, READY };

/* Circular, with a head: an element leaves its list without knowing which it is in. */
struct link {
    struct link *next, *previous;
};

struct secrets_wait {
    struct link link; /* first */
    struct secrets *secrets;
    enum wait_state state;
    struct secret_reference reference;
    struct document *document; /* FETCHING */
    secrets_done_fn done;      /* NULL: forgotten while a thread reads */
    void *data;
    uv_work_t work;
    char *secret; /* READY: this, or err */
    struct error err;
};

struct document {
    struct document *next;
    struct secrets *secrets;
    enum secret_scheme scheme;
    char *place;
    bool fetching;
    bool unwanted; /* invalidated while it was being fetched: serves those who wait, nobody later */
    struct vault_fetch *vault_fetch; /* one of these while it is fetching */
    struct aws_secrets_manager_fetch *aws_fetch;
    char *text; /* NULL = not kept */
    int64_t kept_until_ms;
};

struct secrets {
    uv_loop_t *loop;
    struct http_client *http;
    struct aws_credentials_cache *aws;
    struct vault *vault; /* made when first asked for */
    char *template;
    uv_async_t deliver;         /* keeps the loop while something is READY */
    struct link waiting, ready; /* heads */
    int n_waits;
    struct document *documents;
    int n_documents;
    bool closing, closed; /* closed: the handles close, nothing else is open */
    void (*on_closed)(void *data);
    void *data;
};

static void list_init(struct link *head)
{
    head->next = head->previous = head;
}

static bool list_empty(const struct link *head)
{
    return head->next == head;
}

static void list_remove(struct link *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
}

static void list_append(struct link *head, struct link *link)
{
    link->next = head;
    link->previous = head->previous;
    head->previous->next = link;
    head->previous = link;
}

/* --- waits --- */

static void wait_free(struct secrets_wait *wait)
{
    list_remove(&wait->link);
    wait->secrets->n_waits--;
    secret_free(wait->secret);
    free(wait);
}

static void finish_closing(struct secrets *s);

/* wait has its secret or its err. */
static void make_ready(struct secrets_wait *wait)
{
    struct secrets *s = wait->secrets;
    wait->state = READY;
    wait->document = NULL;
    list_remove(&wait->link);
    list_append(&s->ready, &wait->link);
    uv_ref((uv_handle_t *)&s->deliver);
    uv_async_send(&s->deliver);
}

static void cancel(struct secrets_wait *wait)
{
    secret_free(wait->secret);
    wait->secret = NULL;
    error_set(&wait->err, ERROR_CANCELLED, true, "%.300s: the program is ending", wait->reference.full);
}

static void on_deliver(uv_async_t *handle)
{
    struct secrets *s = handle->data;
    struct link batch; /* what becomes ready meanwhile waits for the next turn */
    list_init(&batch);
    while (!list_empty(&s->ready)) {
        struct link *link = s->ready.next;
        list_remove(link);
        list_append(&batch, link);
    }
    while (!list_empty(&batch)) {
        struct secrets_wait *wait = (struct secrets_wait *)batch.next;
        secrets_done_fn done = wait->done;
        void *data = wait->data;
        char *secret = wait->secret;
        struct error err = wait->err;
        wait->secret = NULL;
        wait_free(wait);
        if (done)
            done(data, secret, secret ? NULL : &err);
        secret_free(secret);
    }
    if (list_empty(&s->ready))
        uv_unref((uv_handle_t *)&s->deliver);
    finish_closing(s);
}

/* --- file: --- */

static void read_file(uv_work_t *work)
{
    struct secrets_wait *wait = work->data;
    (void)secret_read_file(wait->reference.place, wait->reference.full, &wait->secret, &wait->err);
}

static void on_file_read(uv_work_t *work, int status)
{
    struct secrets_wait *wait = work->data;
    if (status == UV_ECANCELED || wait->secrets->closing)
        cancel(wait);
    make_ready(wait);
}

static void start_reading(struct secrets_wait *wait)
{
    wait->state = READING;
    wait->work.data = wait;
    int rc = uv_queue_work(wait->secrets->loop, &wait->work, read_file, on_file_read);
    assert(rc == 0);
    (void)rc;
}

/* --- vault:, aws-sm: --- */

static void forget_text(struct document *document)
{
    secret_free(document->text);
    document->text = NULL;
}

static void document_free(struct document *document)
{
    struct secrets *s = document->secrets;
    struct document **at = &s->documents;
    while (*at != document)
        at = &(*at)->next;
    *at = document->next;
    s->n_documents--;
    forget_text(document);
    free(document->place);
    free(document);
}

static void take_from(struct secrets_wait *wait, const char *text)
{
    (void)secret_field(text, wait->reference.field, wait->reference.full, &wait->secret, &wait->err);
}

/* The end of a fetch: text, or err. */
static void on_document(void *data, const char *text, const struct error *err)
{
    struct document *document = data;
    struct secrets *s = document->secrets;
    document->fetching = false;
    document->vault_fetch = NULL;
    document->aws_fetch = NULL;
    for (struct link *link = s->waiting.next, *next; link != &s->waiting; link = next) {
        struct secrets_wait *wait = (struct secrets_wait *)link;
        next = link->next;
        if (wait->document != document)
            continue;
        if (s->closing) {
            cancel(wait);
        } else if (text) {
            take_from(wait, text);
        } else {
            wait->err = *err;
            error_context(&wait->err, "%.300s", wait->reference.full);
        }
        make_ready(wait);
    }
    if (text && !document->unwanted && !s->closing) {
        document->text = strdup(text);
        document->kept_until_ms = clock_monotonic_ms() + KEEP_MS;
    }
    if (document->text == NULL)
        document_free(document);
    finish_closing(s);
}

static int open_vault(struct secrets *s, struct error *err)
{
    struct vault_settings settings;
    if (s->vault)
        return 0;
    if (s->http == NULL)
        return error_set(err, ERROR_UNSUPPORTED, false, "Vault can't be reached from here");
    int rc = vault_settings_load(&settings, err);
    return rc ? rc : vault_new(s->loop, s->http, &settings, &s->vault, err);
}

static int start_fetch(struct document *document, struct error *err)
{
    struct secrets *s = document->secrets;
    int rc;
    if (document->scheme == SECRET_VAULT) {
        rc = open_vault(s, err);
        if (rc == 0)
            rc = vault_get(s->vault, document->place, on_document, document, &document->vault_fetch, err);
    } else if (s->aws && s->http) {
        rc = aws_secrets_manager_get(s->loop, s->http, s->aws, document->place, on_document, document,
                                     &document->aws_fetch, err);
    } else {
        rc = error_set(err, ERROR_UNSUPPORTED, false, "AWS Secrets Manager can't be reached from here");
    }
    document->fetching = rc == 0;
    return rc;
}

/* Room for one more: what nobody waits for and has been kept longest goes. */
static void evict_document(struct secrets *s)
{
    struct document *oldest = NULL;
    for (struct document *d = s->documents; d; d = d->next)
        if (!d->fetching && (oldest == NULL || d->kept_until_ms < oldest->kept_until_ms))
            oldest = d;
    if (oldest)
        document_free(oldest);
}

static struct document *document_find(struct secrets *s, enum secret_scheme scheme, const char *place)
{
    for (struct document *d = s->documents; d; d = d->next)
        if (d->scheme == scheme && !d->unwanted && strcmp(d->place, place) == 0)
            return d;
    return NULL;
}

static struct document *document_new(struct secrets *s, const struct secret_reference *reference)
{
    if (s->n_documents >= DOCUMENTS_MAX)
        evict_document(s);
    struct document *d = s->n_documents < DOCUMENTS_MAX ? calloc(1, sizeof *d) : NULL;
    char *place = d ? strdup(reference->place) : NULL;
    if (place == NULL) {
        free(d);
        return NULL;
    }
    *d = (struct document){.next = s->documents, .secrets = s, .scheme = reference->scheme, .place = place};
    s->documents = d;
    s->n_documents++;
    return d;
}

static void start_fetching(struct secrets_wait *wait)
{
    struct secrets *s = wait->secrets;
    struct document *d = document_find(s, wait->reference.scheme, wait->reference.place);
    if (d && d->text && !d->fetching) {
        if (clock_monotonic_ms() < d->kept_until_ms) {
            take_from(wait, d->text);
            make_ready(wait);
            return;
        }
        forget_text(d);
    }
    if (d == NULL)
        d = document_new(s, &wait->reference);
    if (d == NULL) {
        error_set(&wait->err, ERROR_LIMIT, true, "%.300s: too many secrets are being fetched at once",
                  wait->reference.full);
        make_ready(wait);
        return;
    }
    if (!d->fetching && start_fetch(d, &wait->err)) {
        error_context(&wait->err, "%.300s", wait->reference.full);
        document_free(d);
        make_ready(wait);
        return;
    }
    wait->state = FETCHING;
    wait->document = d;
}

/* --- the store --- */

static void start(struct secrets_wait *wait, const char *reference)
{
    struct secrets *s = wait->secrets;
    if (secret_reference_parse(reference, s->template, &wait->reference, &wait->err)) {
        make_ready(wait);
        return;
    }
    switch (wait->reference.scheme) {
    case SECRET_ENV:
        (void)secret_read_variable(wait->reference.place, wait->reference.full, &wait->secret, &wait->err);
        make_ready(wait);
        break;
    case SECRET_FILE:
        start_reading(wait);
        break;
    case SECRET_VAULT:
    case SECRET_AWS_SM:
        start_fetching(wait);
        break;
    }
}

int secrets_get(struct secrets *s, const char *reference, secrets_done_fn done, void *data,
                struct secrets_wait **ret_wait, struct error *err)
{
    if (s->closing || s->n_waits >= WAITS_MAX)
        return error_set(err, ERROR_SYSTEM, true, "%s",
                         s->closing ? "the program is ending" : "too many secrets are being waited for");
    struct secrets_wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    wait->secrets = s;
    wait->done = done;
    wait->data = data;
    list_append(&s->waiting, &wait->link);
    s->n_waits++;
    start(wait, reference);
    *ret_wait = wait;
    return 0;
}

void secrets_forget(struct secrets_wait *wait)
{
    wait->done = NULL;
    if (wait->state == READING)
        (void)uv_cancel((uv_req_t *)&wait->work); /* freed when the thread is through */
    else
        wait_free(wait);
}

int secrets_check(const struct secrets *s, const char *reference, struct error *err)
{
    return secret_reference_check(reference, s->template, err);
}

void secrets_invalidate(struct secrets *s, const char *reference)
{
    struct secret_reference r;
    if (secret_reference_parse(reference, s->template, &r, NULL))
        return;
    struct document *d = document_find(s, r.scheme, r.place);
    if (d && d->fetching)
        d->unwanted = true;
    else if (d)
        document_free(d);
}

void secrets_set_aws(struct secrets *s, struct aws_credentials_cache *aws)
{
    s->aws = aws;
}

int secrets_new(uv_loop_t *loop, const struct secrets_options *options, struct secrets **ret,
                struct error *err)
{
    struct secrets *s = calloc(1, sizeof *s);
    char *template = strdup(options->default_template ? options->default_template : "");
    if (s == NULL || template == NULL) {
        free(s);
        free(template);
        return error_set(err, ERROR_SYSTEM, false, "out of memory");
    }
    *s = (struct secrets){.loop = loop, .http = options->http, .template = template};
    list_init(&s->waiting);
    list_init(&s->ready);
    int rc = uv_async_init(loop, &s->deliver, on_deliver);
    if (rc) {
        free(template);
        free(s);
        return error_errno(err, -rc, "can't make an event handle");
    }
    uv_unref((uv_handle_t *)&s->deliver);
    s->deliver.data = s;
    *ret = s;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct secrets *s = handle->data;
    void (*on_closed)(void *data) = s->on_closed;
    void *data = s->data;
    free(s->template);
    free(s);
    if (on_closed)
        on_closed(data);
}

static void on_vault_closed(void *data)
{
    struct secrets *s = data;
    uv_close((uv_handle_t *)&s->deliver, on_handle_closed);
}

static void finish_closing(struct secrets *s)
{
    if (!s->closing || s->closed || s->n_waits > 0 || s->n_documents > 0)
        return;
    s->closed = true;
    if (s->vault)
        vault_close(s->vault, on_vault_closed, s);
    else
        on_vault_closed(s);
}

void secrets_close(struct secrets *s, void (*on_closed)(void *data), void *data)
{
    if (s == NULL)
        return;
    s->closing = true;
    s->on_closed = on_closed;
    s->data = data;
    for (struct link *link = s->waiting.next, *next; link != &s->waiting; link = next) {
        struct secrets_wait *wait = (struct secrets_wait *)link;
        next = link->next;
        if (wait->state == READING) {
            (void)uv_cancel((uv_req_t *)&wait->work);
            continue;
        }
        cancel(wait);
        make_ready(wait);
    }
    for (struct link *link = s->ready.next; link != &s->ready; link = link->next)
        cancel((struct secrets_wait *)link);
    for (struct document *d = s->documents, *next; d; d = next) {
        next = d->next;
        if (d->vault_fetch)
            vault_forget(d->vault_fetch);
        if (d->aws_fetch)
            aws_secrets_manager_cancel(d->aws_fetch); /* on_document frees it */
        if (!d->fetching || d->vault_fetch)
            document_free(d);
    }
    finish_closing(s);
}
