/* GetObject, range by range; ETag and If-Match hold it to one version. */
#include "storage/object/get.h"
#include "storage/s3/protocol.h"
#include "storage/s3/s3.h"

static void ask(const struct object_session *session, const char *key, const struct object_get_range *range,
                struct object_draft *draft)
{
    object_draft_init(draft, "GetObject", "GET", key);
    object_draft_header(draft, "Range", range->text);
    object_draft_header(draft, "If-Match", *range->version ? range->version : NULL);
    draft->ask.customer_key = s3_config_of(session)->sse_customer_key_ref != NULL;
    draft->ask.flags = S3_EXPECT_ETAG;
}

static const char *version(const struct object_answer *answer)
{
    return answer->response->header(answer->response, "etag");
}

int s3_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    static const struct object_get_protocol of_get = {.ask = ask, .version = version};
    return object_get_start(&s3_protocol, &of_get, get, ret_op, err);
}
