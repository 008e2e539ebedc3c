/* What stands at the key: HEAD. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/s3/put.h"

static const char *header(const struct object_answer *answer, const char *name)
{
    const char *value = answer->response->header(answer->response, name);
    return value ? value : "";
}

/* Of the parts' own, as S3 writes it: "BASE64-N". */
static void composite_crc32c(const struct object_put *put, char *out, size_t size)
{
    uint32_t crc = 0;
    char base64[S3_PUT_BASE64_SIZE];
    for (uint32_t i = 0; i < put->plan.count; i++) {
        uint32_t part = put->parts[i].crc32c;
        unsigned char bytes[] = {(unsigned char)(part >> 24), (unsigned char)(part >> 16),
                                 (unsigned char)(part >> 8), (unsigned char)part};
        crc = part_crc32c(crc, bytes, sizeof bytes);
    }
    s3_put_base64_crc32c(crc, base64);
    snprintf(out, size, "%s-%" PRIu32, base64, put->plan.count);
}

/* What the store doesn't tell, or we don't know, is not compared: a composite one of an object that was cut
 * otherwise, for example. */
static bool checksum_differs(const struct object_put *put, const char *told)
{
    char ours[S3_PUT_BASE64_SIZE + 16];
    uint32_t crc;
    if (*told == '\0' || !object_put_crc32c(put, &crc))
        return false;
    if (strchr(told, '-')) {
        if (put->reason != OBJECT_PUT_AFTER_WRITE || put->single)
            return false;
        composite_crc32c(put, ours, sizeof ours);
    } else {
        s3_put_base64_crc32c(crc, ours);
    }
    return strcmp(told, ours) != 0;
}

/* Without the right to list a bucket S3 answers 403 for keys that aren't there. A conditional write needs not
 * know. */
static bool may_go_on(const struct object_put *put, const struct object_answer *answer)
{
    return put->reason == OBJECT_PUT_BEFORE && put->conditional && s3_put_was(answer, 403, NULL);
}

static void on_looked(void *data, const struct object_answer *answer, const struct error *err)
{
    struct object_put *put = data;
    if (err == NULL) {
        struct object_put_seen seen = {.size = strtoull(header(answer, "Content-Length"), NULL, 10),
                                       .sha256 = header(answer, "x-amz-meta-sha256"),
                                       .row_id = header(answer, "x-amz-meta-row-id"),
                                       .fence = header(answer, "x-amz-meta-fence"),
                                       .checksum_differs =
                                           checksum_differs(put, header(answer, "x-amz-checksum-crc32c"))};
        object_put_looked(put, &seen);
    } else if (s3_put_was(answer, 404, NULL) || may_go_on(put, answer)) {
        object_put_looked(put, NULL);
    } else {
        object_put_answered(put, OBJECT_PUT_FAILED, err);
    }
}

int s3_put_look(struct object_put *put, struct error *err)
{
    static const struct object_header mode = {"x-amz-checksum-mode", "ENABLED"};
    struct object_ask ask = {.operation = "HeadObject",
                             .method = "HEAD",
                             .key = put->request->key,
                             .headers = &mode,
                             .n_headers = s3_put_wants_crc32c(put) ? 1 : 0,
                             .body_fd = -1,
                             .customer_key = s3_put_has_key(put),
                             .flags = S3_EXPECT_ETAG,
                             .done = on_looked};
    return object_put_call(put, &ask, err);
}

static void on_removed(void *data, const struct object_answer *answer, const struct error *err)
{
    (void)answer;
    object_put_answered(data, err ? OBJECT_PUT_FAILED : OBJECT_PUT_OK, err);
}

int s3_put_remove(struct object_put *put, struct error *err)
{
    struct object_ask ask = {.operation = "DeleteObject",
                             .method = "DELETE",
                             .key = put->request->key,
                             .body_fd = -1,
                             .done = on_removed};
    return object_put_call(put, &ask, err);
}
