/* A job's line: whatever is accepted can be written and read again; whatever a row holds gives a line that
 * can be read. */
#include <string.h>

#include "fuzz.h"
#include "queue/job.h"

static void write_and_read(const struct job_text *text)
{
    char *line = job_format(text);
    struct job job;
    struct error err;
    MUST(line != NULL);
    for (const char *p = line; *p; p++)
        MUST((unsigned char)*p >= ' ');
    MUST(job_parse(line, strlen(line), &job, &err) == 0);
    MUST(job.id == text->id && job.op == text->op && job.backup_id == text->backup_id &&
         job.priority == text->priority && job.attempt == text->attempt);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job job;
    struct error err = {0};
    char *name = malloc(size + 1);
    MUST(name != NULL);
    memcpy(name, data, size);
    name[size] = '\0';
    struct job_text text = {.id = 1,
                            .op = JOB_UPLOAD,
                            .backup = name,
                            .storage_type = "local",
                            .storage_name = name,
                            .attempt = 1,
                            .enqueued_at = "2025-11-02T08:00:00Z"};
    int rc = job_parse((const char *)data, size, &job, &err);
    if (rc == 0) {
        MUST(job.id >= 1 && job.id <= INT32_MAX && job.op >= JOB_UPLOAD && job.op <= JOB_DELETE);
        MUST(job.backup_id >= 0 && job.priority >= 0 && job.attempt >= 0);
        text.id = job.id;
        text.op = job.op;
        text.backup_id = job.backup_id;
        text.priority = job.priority;
        text.attempt = job.attempt;
    } else
        MUST(rc == err.code && !err.retryable && err.message[0] != '\0' && strchr(err.message, '\n') == NULL);
    write_and_read(&text);
    free(name);
    return 0;
}
