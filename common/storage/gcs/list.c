/* Objects below a prefix. Uploads that were begun can't be listed: Google has no request for it, and ends
 * them after a week. */
#include "storage/gcs/gcs.h"
#include "storage/gcs/list_page.h"
#include "storage/gcs/protocol.h"

static void ask(const struct object_session *session, const char *prefix, enum storage_list_kind kind,
                const struct object_list_page *after, struct object_draft *draft)
{
    (void)session, (void)kind;
    object_draft_init(draft, "objects.list", "GET", NULL);
    object_draft_query(draft, "prefix", prefix);
    object_draft_query(draft, "maxResults", "1000");
    object_draft_query(draft, "fields", GCS_LIST_FIELDS);
    if (after->next)
        object_draft_query(draft, "pageToken", after->next);
    draft->ask.flags = GCS_WANT_LISTING;
}

static int read_page(const struct object_answer *answer, enum storage_list_kind kind, const char *prefix,
                     bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                     struct object_list_page *ret, struct error *err)
{
    (void)kind;
    return gcs_list_page_read(answer->response->body, answer->response->body_size, prefix, on_entry, data,
                              ret, err);
}

int gcs_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err)
{
    static const struct object_list_protocol protocol = {.ask = ask, .read = read_page};
    if (list->kind == STORAGE_LIST_UPLOADS)
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "Google Cloud Storage doesn't tell which uploads are open: it ends them by itself "
                         "a week after they began");
    return object_list_start(&gcs_protocol, &protocol, list, ret_op, err);
}
