/* GET /api/backups and GET /api/backups/{id}: one statement each. */
#include "backups.h"

#include <stdlib.h>

#include "api.h"
#include "ask.h"
#include "catalog.h"
#include "input.h"
#include "page.h"
#include "problem.h"
#include "store/backup_list.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 200 };

static json_t *all_shown(const PGresult *result)
{
    json_t *backups = backup_read_rows(result), *backup;
    size_t i;
    json_array_foreach(backups, i, backup) backup_fill_legacy_fields(backup);
    return backups;
}

json_t *backup_shown(const PGresult *result)
{
    json_t *backups = all_shown(result);
    json_t *backup = json_incref(json_array_get(backups, 0));
    json_decref(backups);
    return backup;
}

/* --- list --- */

struct listing {
    struct backup_filter filter;
    int64_t limit;
};

static void on_list(struct ask *ask, const struct pg_results *results)
{
    const struct listing *listing = ask->data;
    page_reply_newest(ask->request, listing->limit, "backups", all_shown(ask_result(ask, results, 0)));
}

void backups_list(struct api *api, struct http_request *request)
{
    enum { LIMIT, BEFORE, DATABASE, SCHEDULE, STATUS, ORIGIN, TEXT, FROM, UNTIL, PLACE, TYPE, COPY, FIELDS };
    static const char *const statuses[] = {"pending", "in_progress", "completed", "partial", "failed", NULL};
    static const char *const origins[] = {"native", "migrated", NULL};
    static const char *const copies[] = {"pending", "uploading", "completed", "failed", NULL};
    static const struct input_field fields[FIELDS] = {
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = LIMIT_MAX},
        [BEFORE] = {"before", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a backup's id"},
        [DATABASE] = {"database_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a database's id"},
        [SCHEDULE] = {"schedule_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a schedule's id"},
        [STATUS] = {"status", INPUT_CHOICE, .choices = statuses},
        [ORIGIN] = {"origin", INPUT_CHOICE, .choices = origins},
        [TEXT] = {"q", INPUT_TEXT, .min = 1, .max = 200},
        [FROM] = {"created_after", INPUT_TIME},
        [UNTIL] = {"created_before", INPUT_TIME},
        [PLACE] = {"destination_id", INPUT_INTEGER, .min = 1, .max = INT32_MAX, .hint = "a destination's id"},
        [TYPE] = {"storage_type", INPUT_CHOICE, .choices = catalog_storage_types},
        [COPY] = {"copy_status", INPUT_CHOICE, .choices = copies},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    if (input == NULL)
        return;
    const struct input_value *values = input->values;
    struct listing *listing = calloc(1, sizeof *listing);
    if (!http_keep(request, listing, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    listing->limit = values[LIMIT].given ? values[LIMIT].integer : LIMIT_DEFAULT;
    listing->filter = (struct backup_filter){
        .database_id = values[DATABASE].integer,
        .schedule_id = values[SCHEDULE].integer,
        .status = values[STATUS].text,
        .origin = values[ORIGIN].text,
        .text = values[TEXT].text,
        .created_from_ms = values[FROM].given ? &values[FROM].integer : NULL,
        .created_until_ms = values[UNTIL].given ? &values[UNTIL].integer : NULL,
        .destination_id = values[PLACE].integer,
        .storage_type = values[TYPE].text,
        .copy_status = values[COPY].text,
        .before = values[BEFORE].integer,
        .limit = listing->limit + 1,
    };
    const struct backup_filter *f = &listing->filter;
    bool searches = f->text || f->destination_id || f->storage_type || f->copy_status;
    struct ask *ask =
        searches ? ask_new_search(api, request, on_list, listing) : ask_new(api, request, on_list, listing);
    if (ask)
        ask_send(ask, backup_add_list(ask->question, &listing->filter));
}

/* --- show --- */

void backup_look(struct api *api, struct http_request *request, ask_fn done, void *data)
{
    struct ask *ask = ask_new(api, request, done, data);
    if (ask)
        ask_send(ask, backup_add_select_id(ask->question, http_request_id(request, 0)));
}

json_t *backup_looked(struct ask *ask, const struct pg_results *results)
{
    const PGresult *result = ask_result(ask, results, 0);
    json_t *backup = NULL;
    if (PQntuples(result) == 0)
        problem_reply(ask->request, 404, "there is no backup %lld",
                      (long long)http_request_id(ask->request, 0));
    else if ((backup = backup_shown(result)) == NULL)
        problem_reply(ask->request, 503, "out of memory");
    return backup;
}

static void on_one(struct ask *ask, const struct pg_results *results)
{
    json_t *backup = backup_looked(ask, results);
    if (backup)
        http_reply(ask->request, 200, backup);
}

void backups_show(struct api *api, struct http_request *request)
{
    if (input_query(request, NULL, 0))
        backup_look(api, request, on_one, NULL);
}
