/* The resource of an object. A 404 may mean its bucket: where it doesn't say, the bucket is asked for. */
#include "storage/object/stat.h"

#include "storage/gcs/gcs.h"
#include "storage/gcs/protocol.h"
#include "storage/gcs/resource.h"

static void ask(const struct object_session *session, const char *key, struct object_draft *draft)
{
    (void)session;
    gcs_ask_resource(key, draft);
}

static int size(const struct object_answer *answer, uint64_t *ret_size, struct error *err)
{
    struct gcs_resource resource;
    if (!gcs_resource_read(answer->response->body, answer->response->body_size, &resource))
        return error_set(err, ERROR_PROTOCOL, true, "no size came");
    *ret_size = resource.size;
    return 0;
}

static enum object_missing missing(const struct object_answer *answer)
{
    return gcs_says_no_bucket(answer) ? OBJECT_MISSING_CONTAINER : OBJECT_MISSING_UNKNOWN;
}

static void ask_container(const struct object_session *session, struct object_draft *draft)
{
    (void)session;
    gcs_ask_bucket(draft);
}

int gcs_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    static const struct object_stat_protocol protocol = {
        .ask = ask, .size = size, .missing = missing, .ask_container = ask_container};
    return object_stat_start(&gcs_protocol, &protocol, stat, ret_op, err);
}
