#include "queue/job.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const char *const op_names[] = {"upload", "verify", "repair", "delete"};

const char *job_op_name(enum job_op op)
{
    return op_names[op];
}

void job_key(enum job_op op, int64_t id, char *out)
{
    snprintf(out, JOB_KEY_SIZE, "%s:%lld", op_names[op], (long long)id);
}

/* Row ids are PostgreSQL integers: a larger one names no row. */
static int whole(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *ret,
                 struct error *err)
{
    const json_t *value = json_object_get(object, name);
    int64_t number;
    if (value == NULL)
        return min > 0 ? error_set(err, ERROR_PROTOCOL, false, "malformed job: no %s", name) : 0;
    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (json_is_real(value) && json_real_value(value) >= 0 && json_real_value(value) <= INT32_MAX &&
             json_real_value(value) == (double)(int64_t)json_real_value(value))
        number = (int64_t)json_real_value(value); /* 1e3, 7.0 */
    else
        number = -1;
    if (number < min || number > max)
        return error_set(err, ERROR_PROTOCOL, false,
                         "malformed job: %s is not a whole number from %lld to %lld", name, (long long)min,
                         (long long)max);
    *ret = number;
    return 0;
}

int job_parse(const char *line, size_t size, struct job *ret_job, struct error *err)
{
    json_error_t why;
    json_t *root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return error_set(err, ERROR_PROTOCOL, false, "malformed job: %s", why.text);
    struct job job = {0};
    const char *op = json_string_value(json_object_get(root, "op"));
    int rc = 0;
    int known = -1;
    for (int i = 0; op && i < 4; i++)
        if (strcmp(op, op_names[i]) == 0)
            known = i;
    if (!json_is_object(root))
        rc = error_set(err, ERROR_PROTOCOL, false, "malformed job: not a JSON object");
    else if (known < 0) {
        char shown[41];
        snprintf(shown, sizeof shown, "%s", op ? op : "");
        utf8_clean(shown);
        rc = error_set(err, ERROR_PROTOCOL, false,
                       "malformed job: op '%s' is not upload, verify, repair or delete", shown);
    }
    if (rc == 0)
        rc = whole(root, "id", 1, INT32_MAX, &job.id, err);
    if (rc == 0)
        rc = whole(root, "backup_id", 0, INT32_MAX, &job.backup_id, err);
    if (rc == 0)
        rc = whole(root, "priority", 0, INT32_MAX, &job.priority, err);
    if (rc == 0)
        rc = whole(root, "attempt", 0, INT32_MAX, &job.attempt, err);
    json_decref(root);
    if (rc)
        return rc;
    job.op = (enum job_op)known;
    *ret_job = job;
    return 0;
}

char *job_with_attempt(const char *line, int64_t attempt)
{
    json_t *root = json_loads(line, 0, NULL);
    char *changed = NULL;
    if (json_object_set_new(root, "attempt", json_integer(attempt)) == 0)
        changed = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(root);
    return changed;
}

static json_t *text_or_empty(const char *text)
{
    json_t *value = json_string(text ? text : "");
    return value ? value : json_string("?"); /* not UTF-8 */
}

char *job_format(const struct job_text *t)
{
    json_t *root = json_pack(
        "{s:I, s:s, s:I, s:o, s:o, s:o, s:I, s:I, s:s}", "id", (json_int_t)t->id, "op", op_names[t->op],
        "backup_id", (json_int_t)t->backup_id, "backup", text_or_empty(t->backup), "storage_type",
        text_or_empty(t->storage_type), "storage_name", text_or_empty(t->storage_name), "priority",
        (json_int_t)t->priority, "attempt", (json_int_t)t->attempt, "enqueued_at", t->enqueued_at);
    if (root == NULL)
        return NULL;
    char *line = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(root);
    return line;
}
