/* What of downloads is written down: who took which copy, and what was found to be damaged. */
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "base/log.h"
#include "download.h"
#include "store/audit.h"

/*
 * A part of a copy adds no row while one of the same identity, address and copy, of a part or of the whole,
 * is younger than DOWNLOAD_ROW_SECONDS. It is looked for among the newest rows of the backup, so that it
 * costs the same however long the log is; where it is not found there, or has not been committed yet, there
 * are two.
 */
static const struct pg_statement taken = {
    .sql = AUDIT_INSERT
    "'download', 'backup', $1::bigint, $2::text, $3::jsonb" AUDIT_FROM
    " WHERE $4::bool OR NOT EXISTS (SELECT FROM (SELECT * FROM audit_log WHERE object_kind = 'backup'"
    "  AND object_id = $1::bigint ORDER BY id DESC LIMIT 100) AS l"
    "  WHERE l.action = 'download' AND l.changes -> 'copy' = $3::jsonb -> 'copy'"
    "   AND l.at > clock_timestamp() - $5::int * interval '1 s'"
    "   AND ROW(l.user_id, l.username, l.token_name, l.remote_address) IS NOT DISTINCT FROM"
    "    ROW((a.actor ->> 'user_id')::int, a.actor ->> 'username', a.actor ->> 'token',"
    "     a.actor ->> 'address'))",
    .n_params = 5};

int download_add_taken(struct download *d, struct pg_request *question, int64_t backup_id)
{
    const struct copy *c = download_source(d);
    bool whole = d->length == d->size;
    char number[24], seconds[24];
    snprintf(number, sizeof number, "%lld", (long long)backup_id);
    snprintf(seconds, sizeof seconds, "%d", DOWNLOAD_ROW_SECONDS);
    json_t *detail = json_pack("{s:I, s:s, s:I, s:I}", "copy", (json_int_t)c->id, "storage_name", c->name,
                               "first_byte", (json_int_t)d->first, "bytes", (json_int_t)d->length);
    int rc = detail ? 0 : -1;
    if (rc == 0 && !whole)
        rc = json_object_set_new(detail, "other_parts_for_seconds", json_integer(DOWNLOAD_ROW_SECONDS));
    char *text = rc == 0 ? json_dumps(detail, JSON_COMPACT) : NULL;
    json_decref(detail);
    if (text == NULL)
        return -1;
    rc = pg_request_add(
        question, &taken,
        (const char *const[]){number, d->backup_name, text, whole ? "true" : "false", seconds});
    free(text);
    return rc;
}

static void on_recorded(void *data, const struct pg_results *results, const struct error *err)
{
    (void)data;
    (void)results;
    if (err)
        log_warn("what a download found could not be recorded: %s", err->message);
}

void download_record_damage(struct download *d, const struct error *found)
{
    const struct copy *c = download_source(d);
    char verdict[COPY_VERDICT_SIZE];
    struct pg_request *question = d->api->pg ? pg_request_new(d->api->pg) : NULL;
    if (question == NULL)
        return;
    copy_verdict(c, true, found, verdict);
    json_t *detail = json_pack("{s:I, s:s, s:s}", "copy", (json_int_t)c->id, "storage_name", c->name, "found",
                               found->message);
    copies_add_verified(question, c->id, verdict);
    audit_add_event(question, "download_damaged", "copy", c->id, d->backup_name, detail);
    json_decref(detail);
    pg_request_send(question, on_recorded, NULL);
}
