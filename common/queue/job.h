/*
 * A job: one line of JSON in a Redis list (design.md 3). It names a row of backup_destinations and what to do
 * with it; everything else is read from PostgreSQL, so nothing in it is trusted beyond that, and no secret is
 * in it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define JOB_KEY_SIZE 48

enum job_op { JOB_UPLOAD, JOB_VERIFY, JOB_REPAIR, JOB_DELETE };

struct job {
    int64_t id; /* backup_destinations.id */
    enum job_op op;
    int64_t backup_id;
    int64_t priority;
    int64_t attempt;
};

/* What a job's line is made of. */
struct job_text {
    int64_t id;
    enum job_op op;
    int64_t backup_id;
    const char *backup; /* backups.name */
    const char *storage_type;
    const char *storage_name; /* may be NULL */
    int64_t priority;
    int64_t attempt;         /* the one that this job will begin: 1 on the first */
    const char *enqueued_at; /* ISO 8601 UTC */
};

/* "upload:301" into out[JOB_KEY_SIZE]. */
void job_key(enum job_op op, int64_t id, char *out);
const char *job_op_name(enum job_op op);

/* ERROR_PROTOCOL (never retryable) says what is wrong with the line. Unknown members are ignored; backup_id,
 * priority and attempt may be missing (0). */
int job_parse(const char *line, size_t size, struct job *ret_job, struct error *err);

/* The same line with another attempt, malloc'ed; NULL when it is no JSON object or memory is out. */
char *job_with_attempt(const char *line, int64_t attempt);

/* One line without a newline, malloc'ed; NULL when memory is out. Text that isn't UTF-8 is replaced. */
char *job_format(const struct job_text *text);
