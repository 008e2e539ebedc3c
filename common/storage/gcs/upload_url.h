/* The session of a resumable upload: its URL, and how far it is. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "storage/gcs/config.h"

#define GCS_SESSION_MAX 4096 /* bytes of a session's URL; real ones have some 500 */

/*
 * *ret: malloc'ed, where the bytes of the upload go; secret_free it, it is a secret. text: Location, as the
 * store told it, or an attempt recorded it. Data goes nowhere but to the endpoint, or from one of Google's
 * endpoints to another: what else stands in front of the path (emulators and proxies tell the name that they
 * know themselves by) is replaced by the endpoint; if the endpoint is Google's, it is ERROR_PROTOCOL. The
 * message doesn't repeat it.
 */
int gcs_session_url(const struct gcs_config *config, const char *text, char **ret, struct error *err);

/* How many bytes are kept, by the Range of a 308: "bytes=0-N"; NULL: none. false: it makes no sense. */
bool gcs_kept_bytes(const char *range, uint64_t *ret);
