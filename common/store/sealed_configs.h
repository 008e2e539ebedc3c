/*
 * Rows whose storage_config holds encrypted secrets (storage/config.h), for their re-encryption: configured
 * destinations, and the copies that were made from them. One statement each, put into a request of the
 * caller.
 */
#pragma once

#include "loop/pg.h"

enum sealed_table { SEALED_DESTINATIONS, SEALED_COPIES, SEALED_N_TABLES };

/* "destinations", "backup_destinations". */
const char *sealed_table_name(enum sealed_table table);

/* Result: (id, storage_config) of up to limit rows that may hold something sealed, id > after, in the order
 * of ids. */
int sealed_add_select(struct pg_request *request, enum sealed_table table, int64_t after, int limit);

/* Array literals of ids, texts as they were read, and texts to write; a row that has another text by now is
 * left alone. Result: the ids of the others. */
int sealed_add_replace(struct pg_request *request, enum sealed_table table, const char *ids,
                       const char *before, const char *after);

/* Result: (storage_config, how many rows have it). */
int sealed_add_count(struct pg_request *request, enum sealed_table table);
