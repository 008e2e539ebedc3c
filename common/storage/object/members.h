/*
 * The members of storage_config that a driver knows, declared as a table, read and checked one by one into a
 * struct of the driver's. What they mean together is the driver's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"

/* NULL, 0 and SAID_NOT: storage_config doesn't say it (null counts as not said). */
enum object_said { SAID_NOT, SAID_FALSE, SAID_TRUE };

enum object_member_kind {
    OBJECT_MEMBER_TEXT,   /* const char *, points into storage_config */
    OBJECT_MEMBER_SWITCH, /* enum object_said */
    OBJECT_MEMBER_NUMBER, /* int64_t */
    OBJECT_MEMBER_SIZE,   /* int64_t: a number, or "64MiB" */
    OBJECT_MEMBER_MAP,    /* const json_t *: an object of strings */
    OBJECT_MEMBER_RAW,    /* const char *: text as it is, lines and all; max: bytes */
};

struct object_member {
    const char *name;
    enum object_member_kind kind;
    size_t offset;                      /* in the driver's struct */
    const char *may_be;                 /* for the message '"x" must be <may_be>' */
    bool (*is_valid)(const char *text); /* TEXT; after it was found clean */
    const char *choices;                /* TEXT: separated by blanks */
    int64_t min, max;                   /* NUMBER, SIZE; max of MAP: how many entries */
    bool sealed;                        /* not offered to people: only encrypted configurations hold it */
    bool may_be_empty;                  /* "" says nothing */
};

/* config: an object, or NULL. ret: the driver's struct, zeroed by the caller. ERROR_INPUT names the member
 * and what it may be, never its value; an unknown member is an error that lists the known ones. */
int object_members_read(const struct object_member *members, size_t n_members, const json_t *config,
                        void *ret, struct error *err);

/* Checks that several drivers need. */
bool object_is_absolute_path(const char *text);
bool object_is_printable_ascii(const char *text); /* without blanks: goes into a header */
/* A beginning of keys: as a key, but '/' may stand at both its ends. */
bool object_is_prefix(const char *text);
/* No control character, UTF-8, at most max (and 2048) bytes. */
bool object_text_is_clean(const char *text, size_t max);
