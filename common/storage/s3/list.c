/* Objects by ListObjectsV2, open uploads by ListMultipartUploads. */
#include "storage/s3/list_page.h"
#include "storage/s3/protocol.h"
#include "storage/s3/s3.h"

static void ask(const struct object_session *session, const char *prefix, enum storage_list_kind kind,
                const struct object_list_page *after, struct object_draft *draft)
{
    bool uploads = kind == STORAGE_LIST_UPLOADS;
    (void)session;
    object_draft_init(draft, uploads ? "ListMultipartUploads" : "ListObjectsV2", "GET", NULL);
    object_draft_query(draft, uploads ? "uploads" : "list-type", uploads ? NULL : "2");
    object_draft_query(draft, "encoding-type", "url");
    object_draft_query(draft, uploads ? "max-uploads" : "max-keys", "1000");
    object_draft_query(draft, "prefix", prefix);
    if (after->next)
        object_draft_query(draft, uploads ? "key-marker" : "continuation-token", after->next);
    if (after->next_upload)
        object_draft_query(draft, "upload-id-marker", after->next_upload);
    draft->ask.expect_root = uploads ? "ListMultipartUploadsResult" : "ListBucketResult";
}

static int read_answer(const struct object_answer *answer, enum storage_list_kind kind, const char *prefix,
                       bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                       struct object_list_page *ret, struct error *err)
{
    const struct http_response *response = answer->response;
    return s3_list_page_read(response->body, response->body_size, kind, prefix, on_entry, data, ret, err);
}

int s3_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err)
{
    static const struct object_list_protocol of_list = {.ask = ask, .read = read_answer};
    return object_list_start(&s3_protocol, &of_list, list, ret_op, err);
}
