/* What is particular to each kind of the catalog; of catalog.c and catalog_kinds.c only. */
#pragma once

#include <stdbool.h>

#include "store/catalog.h"

struct catalog_kind_facts {
    const char *name;
    const char *table;
    const char *const *columns; /* those that can be edited */
    bool has_creator;           /* created_by */
    bool has_change_time;       /* updated_at */
    const char *select;         /* up to WHERE; the table is t */
    const char *filter;         /* further conditions of a page: $3 to $8 as in struct catalog_filter */
    /* (field, message, taken) for each reason why the record r can't be written; ends without a semicolon */
    const char *obstacles;
    /* one text: what needs the row $1 and what to do about it, or NULL; NULL here = nothing ever does */
    const char *needed;
    const char *remove_first; /* a statement with $1, to which conditions with AND can be added */
    const char *remove;       /* the same; the row itself */
};

extern const struct catalog_kind_facts catalog_kinds[];
