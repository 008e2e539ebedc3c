/* What put*.c share; protocols see put.h only. */
#pragma once

#include "storage/object/put.h"

/* put.c */
enum object_put_state object_put_next(struct object_put *self);         /* the state's work is over */
void object_put_fail(struct object_put *self, const struct error *err); /* the first one counts */

/* put_run.c */
void object_put_step(struct object_put *self);
/* The timer ends the wait; then step goes on, or again the state's hook where `again` is set. */
void object_put_wait(struct object_put *self, int64_t ms);

/* put_look.c */
int object_put_read_start(struct object_put *self, struct error *err);
void object_put_conflict(const struct object_put *self, struct error *err);

/* put_sums.c */
int object_put_sums_start(struct object_put *self, struct error *err);
/* What runs over all parts, from their first byte. */
int object_put_sums_begin(struct object_put *self, struct error *err);
void object_put_sums_deinit(struct object_put *self);
/* All parts have passed: the source's bytes as they were sent, against what was promised. */
void object_put_sums_check(struct object_put *self);

/* put_upload.c */
void object_put_save(struct object_put *self, bool null); /* at most one under way, the next one after it */
void object_put_forget_upload(
    struct object_put *self);                    /* of this attempt's: nothing of it is known any more */
void object_put_undoom(struct object_put *self); /* nothing is aborted */
int object_put_strays_start(struct object_put *self, struct error *err);
int object_put_abort_start(struct object_put *self, struct error *err);
void object_put_aborted(struct object_put *self, enum object_put_outcome outcome, const struct error *err);
/* true: it is tried again after a pause, once what came of it has been looked for. */
bool object_put_create_again(struct object_put *self, const struct error *err);

/* put_parts.c */
bool object_put_parts_step(struct object_put *self); /* true: all are done, or it failed and nothing runs */
void object_put_parts_cancel(struct object_put *self);
void object_put_parts_progress(struct object_put *self);
