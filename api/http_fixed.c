/* Answers whose bytes are always the same, and are shared. */
#include <stdlib.h>
#include <string.h>

#include "http_fields.h"
#include "http_internal.h"

/* As small as it gets: it is made once. */
#define LEVEL 9

struct http_fixed {
    const char *content_type;
    char digest[HTTP_DIGEST_SIZE];
    char *bytes, *packed; /* packed may be NULL */
    size_t size, packed_size;
};

struct http_fixed *http_fixed_new(const char *content_type, char *bytes, size_t size)
{
    struct http_fixed *fixed = bytes ? calloc(1, sizeof *fixed) : NULL;
    if (fixed == NULL) {
        free(bytes);
        return NULL;
    }
    *fixed = (struct http_fixed){.content_type = content_type, .bytes = bytes, .size = size};
    http_digest(bytes, size, fixed->digest);
    if (fields_compressible(content_type))
        fixed->packed = http_pack(bytes, size, LEVEL, &fixed->packed_size);
    return fixed;
}

void http_fixed_free(struct http_fixed *fixed)
{
    if (fixed == NULL)
        return;
    free(fixed->bytes);
    free(fixed->packed);
    free(fixed);
}

void http_reply_fixed(struct http_request *request, const struct http_fixed *fixed)
{
    if (http_header_was_refused(request))
        return;
    request->answer.status = MHD_HTTP_OK;
    snprintf(request->answer.content_type, sizeof request->answer.content_type, "%s", fixed->content_type);
    request->answer.varies = fixed->packed != NULL;
    request->answer.gzip =
        fixed->packed && fields_accept_gzip(http_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING));
    snprintf(request->answer.digest, sizeof request->answer.digest, "%s", fixed->digest);
    if (fixed->digest[0])
        http_answer_not_modified(request);
    const struct http_fixed *f = fixed;
    bool gzip = request->answer.gzip;
    http_answer(request,
                MHD_create_response_from_buffer(gzip ? f->packed_size : f->size, gzip ? f->packed : f->bytes,
                                                MHD_RESPMEM_PERSISTENT));
}
