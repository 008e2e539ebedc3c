/*
 * Two windows: the client takes from one while the other is filled. The digest of a whole copy is made while
 * they are filled, and compared before the last one is handed out.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "base/digest.h"
#include "base/log.h"
#include "download.h"

void download_cut(struct download *d, const struct error *err)
{
    if (d->failed)
        return;
    d->failed = true;
    log_warn("download of backup '%s' from '%s': %s; the connection is cut", d->backup_name,
             download_source(d)->name, err->message);
    if (err->code == ERROR_CORRUPT)
        download_record_damage(d, err);
    if (d->request && d->waits)
        http_stream_wake(d->request);
}

/* --- filling --- */

/* False: the whole is not what was stored. */
static bool is_right(struct download *d, struct error *err)
{
    const struct copy *c = download_source(d);
    char sha256[DIGEST_SHA256_SIZE];
    if (d->digest == NULL || d->fetched < d->length)
        return true;
    digest_final(d->digest, sha256);
    if (strcmp(sha256, c->checksum) == 0)
        return true;
    error_set(err, ERROR_CORRUPT, false,
              "the SHA-256 of the copy is %.12s..., recorded is %.12s...: it is damaged", sha256,
              c->checksum);
    return false;
}

static void take_window(struct download *d, uint64_t size, struct error *err)
{
    const struct storage_get *get = &d->get;
    if (size != get->length) {
        error_set(err, ERROR_CORRUPT, false, "the copy ends after %" PRIu64 " bytes, recorded are %" PRIu64,
                  get->offset + size, d->size);
        return;
    }
    d->fetched += size;
    if (is_right(d, err))
        d->windows[d->filling] = (struct download_window){.fd = get->target_fd, .size = size};
}

static void on_window(struct storage_get *get, uint64_t size, const char *sha256, const struct error *err)
{
    struct download *d = get->data;
    struct error found = {0};
    (void)sha256;
    download_unwatch(d);
    if (d->closing || d->request == NULL) {
        download_leave(d);
        return;
    }
    if (err)
        found = *err;
    else
        take_window(d, size, &found);
    d->filling = -1;
    if (d->state == DOWNLOAD_READS) {
        download_on_first_window(d, found.code ? &found : NULL);
        return;
    }
    if (found.code == 0) {
        if (d->windows[d->current].size == 0)
            d->current = !d->current;
        download_fill(d, &found);
    }
    if (found.code)
        download_cut(d, &found);
    else if (d->waits)
        http_stream_wake(d->request);
}

int download_fill(struct download *d, struct error *err)
{
    const struct copy *c = download_source(d);
    int free_one = d->windows[d->current].size == 0 ? d->current : !d->current;
    struct download_window *w = &d->windows[free_one];
    uint64_t left = d->length - d->fetched;
    struct storage_op *op;
    if (d->op || left == 0 || w->size)
        return 0;
    if (w->fd < 0 && (w->fd = memfd_create("download", MFD_CLOEXEC)) < 0)
        return error_set(err, ERROR_SYSTEM, true, "no memory for a download");
    d->get = (struct storage_get){.loop = d->api->loop,
                                  .location = c->place.location,
                                  .key = c->key,
                                  .target_fd = w->fd,
                                  .offset = d->first + d->fetched,
                                  .length = left < DOWNLOAD_WINDOW ? left : DOWNLOAD_WINDOW,
                                  .digest = d->digest,
                                  .done = on_window,
                                  .data = d};
    d->filling = free_one;
    int rc = c->place.driver->get_start(&d->get, &op, err);
    if (rc)
        d->filling = -1;
    else
        download_watch(d, op);
    return rc;
}

/* --- handing out --- */

static ssize_t on_read(void *data, char *buffer, size_t size)
{
    struct download *d = data;
    struct download_window *w = &d->windows[d->current];
    struct error err = {0};
    d->waits = false;
    if (w->size == 0 && !d->failed) {
        d->waits = true;
        return HTTP_STREAM_WAIT;
    }
    if (d->failed)
        return HTTP_STREAM_FAILED;
    size_t n = w->size - w->taken < size ? (size_t)(w->size - w->taken) : size;
    if (pread(w->fd, buffer, n, (off_t)w->taken) != (ssize_t)n) {
        error_set(&err, ERROR_SYSTEM, false, "a window in memory can't be read");
        download_cut(d, &err);
        return HTTP_STREAM_FAILED;
    }
    w->taken += n;
    d->sent += n;
    if (w->taken == w->size) {
        w->size = 0;
        if (d->windows[!d->current].size)
            d->current = !d->current;
        if (download_fill(d, &err))
            download_cut(d, &err); /* the next call tells */
    }
    return (ssize_t)n;
}

static void on_closed(void *data, bool whole)
{
    struct download *d = data;
    if (!whole && !d->failed)
        log_debug("download of backup '%s': the client left after %llu of %llu bytes", d->backup_name,
                  (unsigned long long)d->sent, (unsigned long long)d->length);
    d->request = NULL;
    download_leave(d);
}

void download_send(struct download *d, const char *content_type)
{
    const struct http_stream stream = {.read = on_read, .closed = on_closed, .data = d};
    d->state = DOWNLOAD_ANSWERS;
    d->answered = true;
    http_reply_stream(d->request, d->range_status, content_type, (int64_t)d->length, &stream);
}
