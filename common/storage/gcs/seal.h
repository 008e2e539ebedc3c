/*
 * The URL of an upload's session, encrypted for the resume state: who has it can write the object without any
 * credentials. With the program's own key (BM_ENCRYPTION_KEY_REF); without one, with a key that whoever holds
 * the credentials' long-lived secret can make, which is who may write there anyway.
 */
#pragma once

#include "storage/gcs/protocol.h"

/* *ret: "KEY_ID:BASE64", malloc'ed; NULL: there is no key. key: of the object; it is bound to it. */
int gcs_seal(const struct gcs_session *session, const char *key, const char *url, char **ret,
             struct error *err);
/* *ret: malloc'ed, to be freed by secret_free. ERROR_NOT_FOUND: encrypted with a key that isn't here;
 * ERROR_CORRUPT: changed, of another object, or not such a text. */
int gcs_unseal(const struct gcs_session *session, const char *key, const char *sealed, char **ret,
               struct error *err);
