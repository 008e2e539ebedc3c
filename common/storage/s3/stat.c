/* HEAD of the object, and of the bucket: a 404 without a body doesn't tell which of the two is missing. */
#include "storage/object/stat.h"
#include "storage/s3/protocol.h"
#include "storage/s3/s3.h"

static void ask(const struct object_session *session, const char *key, struct object_draft *draft)
{
    object_draft_init(draft, "HeadObject", "HEAD", key);
    draft->ask.customer_key = s3_config_of(session)->sse_customer_key_ref != NULL;
    draft->ask.flags = S3_EXPECT_ETAG;
}

static void ask_container(const struct object_session *session, struct object_draft *draft)
{
    (void)session;
    object_draft_init(draft, "HeadBucket", "HEAD", NULL);
}

int s3_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    static const struct object_stat_protocol of_stat = {
        .ask = ask, .size = object_stat_content_length, .ask_container = ask_container};
    return object_stat_start(&s3_protocol, &of_stat, stat, ret_op, err);
}
