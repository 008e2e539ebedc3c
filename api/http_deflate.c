/* gzip of an answer that is all there: small ones at once, large ones in libuv's thread pool. */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "http_internal.h"

#define AT_ONCE ((size_t)64 << 10)
#define LEVEL 1
#define GZIP_WINDOW (15 + 16)

struct http_deflate {
    uv_work_t work;
    struct http_request *request; /* NULL: abandoned */
    char *bytes;
    size_t size;
    char *packed; /* NULL: memory is out */
    size_t packed_size;
};

char *http_pack(const char *bytes, size_t size, int level, size_t *ret_size)
{
    z_stream z = {0};
    if (size > UINT_MAX / 2 ||
        deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    uLong bound = deflateBound(&z, (uLong)size);
    char *packed = malloc(bound);
    int rc = Z_MEM_ERROR;
    if (packed) {
        z.next_in = (z_const Bytef *)bytes;
        z.avail_in = (uInt)size;
        z.next_out = (Bytef *)packed;
        z.avail_out = (uInt)bound;
        rc = deflate(&z, Z_FINISH);
    }
    *ret_size = z.total_out;
    deflateEnd(&z);
    if (rc == Z_STREAM_END)
        return packed;
    free(packed);
    return NULL;
}

/* Takes over both. Without packed the bytes go out as they are. */
static void answer(struct http_request *request, char *bytes, size_t size, char *packed, size_t packed_size)
{
    if (packed) {
        free(bytes);
        http_answer_bytes(request, packed, packed_size);
    } else {
        request->answer.gzip = false;
        http_answer_bytes(request, bytes, size);
    }
}

static void on_work(uv_work_t *work)
{
    struct http_deflate *d = work->data;
    d->packed = http_pack(d->bytes, d->size, LEVEL, &d->packed_size);
}

static void on_done(uv_work_t *work, int status)
{
    struct http_deflate *d = work->data;
    (void)status;
    if (d->request) {
        d->request->deflate = NULL;
        answer(d->request, d->bytes, d->size, d->packed, d->packed_size);
    } else {
        free(d->bytes);
        free(d->packed);
    }
    free(d);
}

void http_deflate(struct http_request *request, char *bytes, size_t size)
{
    struct http_deflate *d = size > AT_ONCE ? calloc(1, sizeof *d) : NULL;
    if (d == NULL) {
        size_t packed_size = 0;
        char *packed = http_pack(bytes, size, LEVEL, &packed_size);
        answer(request, bytes, size, packed, packed_size);
        return;
    }
    *d = (struct http_deflate){.work.data = d, .request = request, .bytes = bytes, .size = size};
    request->state = HTTP_COMPRESSING;
    request->deflate = d;
    uv_queue_work(request->server->loop, &d->work, on_work, on_done);
}

void http_deflate_abandon(struct http_request *request)
{
    assert(request->state == HTTP_COMPRESSING);
    uv_cancel((uv_req_t *)&request->deflate->work);
    request->deflate->request = NULL;
    request->deflate = NULL;
    http_answer(request, NULL);
}
