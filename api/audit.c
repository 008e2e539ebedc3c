/* GET /api/audit: who did what, newest first. */
#include "store/audit.h"

#include <stdlib.h>

#include "accounts.h"
#include "api.h"
#include "ask.h"
#include "input.h"
#include "page.h"
#include "problem.h"
#include "store/json_rows.h"

struct listing {
    struct audit_filter filter; /* its texts are the request's */
    int64_t limit;
};

static void on_rows(struct ask *ask, const struct pg_results *results)
{
    const struct listing *listing = ask->data;
    page_reply_newest(ask->request, listing->limit, "entries", json_rows(ask_result(ask, results, 0)));
}

void audit_list(struct api *api, struct http_request *request)
{
    enum { LIMIT, BEFORE, KIND, ID, USERNAME, ACTION, FIELDS };
    static const struct input_field fields[FIELDS] = {
        [LIMIT] = {"limit", INPUT_INTEGER, .min = 1, .max = 1000},
        [BEFORE] = {"before", INPUT_INTEGER, .min = 1, .max = INT64_MAX},
        [KIND] = {"object_kind", INPUT_TEXT, .min = 1, .max = 40},
        [ID] = {"object_id", INPUT_INTEGER, .min = 1, .max = INT64_MAX},
        [USERNAME] = {"username", INPUT_TEXT, .min = 1, .max = 100},
        [ACTION] = {"action", INPUT_TEXT, .min = 1, .max = 40},
    };
    const struct input *input = input_query(request, fields, FIELDS);
    if (input == NULL)
        return;
    struct listing *listing = calloc(1, sizeof *listing);
    if (!http_keep(request, listing, free)) {
        problem_reply(request, 503, "out of memory");
        return;
    }
    const struct input_value *values = input->values;
    listing->limit = values[LIMIT].given ? values[LIMIT].integer : 100;
    listing->filter = (struct audit_filter){.before = values[BEFORE].integer,
                                            .limit = listing->limit + 1,
                                            .kind = values[KIND].text,
                                            .object_id = values[ID].integer,
                                            .username = values[USERNAME].text,
                                            .action = values[ACTION].text};
    struct ask *ask = ask_new(api, request, on_rows, listing);
    if (ask)
        ask_send(ask, audit_add_select(ask->question, &listing->filter));
}
