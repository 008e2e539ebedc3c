/* Reading, looking and listing: what Azure's requests and answers are; the operations are object/'s. */
#include <inttypes.h>
#include <string.h>

#include "storage/azure/azure.h"
#include "storage/azure/list_page.h"
#include "storage/object/get.h"
#include "storage/object/stat.h"

static const char *header(const struct object_answer *answer, const char *name)
{
    return answer->response->header(answer->response, name);
}

/* --- Get Blob --- */

static void ask_range(const struct object_session *session, const char *key,
                      const struct object_get_range *range, struct object_draft *draft)
{
    azure_blob_draft(session, draft, "Get Blob", "GET", key);
    if (range->text)
        object_draft_header(draft, "Range", range->text);
    if (*range->version)
        object_draft_header(draft, "If-Match", range->version);
}

static const char *version(const struct object_answer *answer)
{
    return header(answer, "ETag");
}

static const struct object_get_protocol of_get = {.ask = ask_range, .version = version};

int azure_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    return object_get_start(&azure_protocol, &of_get, get, ret_op, err);
}

/* --- Get Blob Properties --- */

static void ask_properties(const struct object_session *session, const char *key, struct object_draft *draft)
{
    azure_blob_draft(session, draft, "Get Blob Properties", "HEAD", key);
}

static enum object_missing missing(const struct object_answer *answer)
{
    if (strcmp(answer->code, "BlobNotFound") == 0)
        return OBJECT_MISSING_KEY;
    return strcmp(answer->code, "ContainerNotFound") == 0 ? OBJECT_MISSING_CONTAINER : OBJECT_MISSING_UNKNOWN;
}

static void ask_container(const struct object_session *session, struct object_draft *draft)
{
    (void)session;
    object_draft_init(draft, "Get Container Properties", "HEAD", NULL);
    object_draft_query(draft, "restype", "container");
}

static const struct object_stat_protocol of_stat = {
    .ask = ask_properties,
    .size = object_stat_content_length,
    .missing = missing,
    .ask_container = ask_container,
};

int azure_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    return object_stat_start(&azure_protocol, &of_stat, stat, ret_op, err);
}

/* --- List Blobs --- */

static void ask_page(const struct object_session *session, const char *prefix, enum storage_list_kind kind,
                     const struct object_list_page *after, struct object_draft *draft)
{
    (void)session;
    object_draft_init(draft, "List Blobs", "GET", NULL);
    draft->ask.expect_root = "EnumerationResults";
    object_draft_query(draft, "restype", "container");
    object_draft_query(draft, "comp", "list");
    object_draft_query(draft, "maxresults", "1000");
    if (*prefix)
        object_draft_query(draft, "prefix", prefix);
    if (kind == STORAGE_LIST_UPLOADS)
        object_draft_query(draft, "include", "uncommittedblobs");
    if (after->next)
        object_draft_query(draft, "marker", after->next);
}

static int read_page(const struct object_answer *answer, enum storage_list_kind kind, const char *prefix,
                     bool (*on_entry)(void *data, const struct storage_entry *entry), void *data,
                     struct object_list_page *ret, struct error *err)
{
    const struct http_response *response = answer->response;
    return azure_list_page_read(response->body, response->body_size, kind, prefix, on_entry, data, ret, err);
}

static const struct object_list_protocol of_list = {.ask = ask_page, .read = read_page};

int azure_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err)
{
    return object_list_start(&azure_protocol, &of_list, list, ret_op, err);
}
