/*
 * resume_state of an upload in blocks, JSON: under which name an earlier attempt has sent blocks. Pure.
 *
 *   {"uncommitted": "0123...ef" | null, "endpoint": ..., "container": ..., "key": ..., "sha256": ...,
 *    "size": ..., "part_size": 0 = the default plan}
 *
 * uncommitted: what the ids of the blocks begin with (block_id.h), recorded before the first one is sent;
 * which blocks there are, and of which bytes, the store's list proves. The member's name is what list_start
 * calls such uploads (AZURE_UNCOMMITTED): `destination sweep` sees by it that a row goes on with one.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define AZURE_RESUME_MAX ((size_t)16 << 10)

struct azure_resume {
    const char *session; /* NULL = an intent only */
    const char *endpoint, *container, *key, *sha256;
    uint64_t size, part_size;
    json_t *json; /* owns the strings above */
};

/* ERROR_INPUT: not such a state. Undone by azure_resume_deinit, which takes a zeroed one too. */
int azure_resume_parse(const char *text, struct azure_resume *ret, struct error *err);
void azure_resume_deinit(struct azure_resume *resume);
/* Whether both are of the same artifact, cut in the same way, at the same place. session isn't looked at. */
bool azure_resume_same(const struct azure_resume *a, const struct azure_resume *b);
/* malloc'ed; NULL when memory is out. */
char *azure_resume_text(const struct azure_resume *resume);
