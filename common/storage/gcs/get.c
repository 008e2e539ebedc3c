/* Bytes of one generation of an object. */
#include "storage/object/get.h"
#include "storage/gcs/gcs.h"
#include "storage/gcs/protocol.h"

static void ask(const struct object_session *session, const char *key, const struct object_get_range *range,
                struct object_draft *draft)
{
    (void)session;
    object_draft_init(draft, "objects.get", "GET", key);
    object_draft_query(draft, "alt", "media");
    if (*range->version)
        object_draft_query(draft, "ifGenerationMatch", range->version);
    object_draft_header(draft, "Range", range->text);
    draft->ask.customer_key = true;
    draft->ask.flags = GCS_WANT_MEDIA;
}

static const char *version(const struct object_answer *answer)
{
    return answer->response->header(answer->response, "x-goog-generation");
}

int gcs_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    static const struct object_get_protocol protocol = {.ask = ask, .version = version};
    return object_get_start(&gcs_protocol, &protocol, get, ret_op, err);
}
