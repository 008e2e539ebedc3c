/*
 * Error answers by class: Google's own reasons first, the HTTP status second. Pure. The table follows
 * "HTTP status and error codes for JSON" of Cloud Storage's documentation.
 */
#pragma once

#include "storage/object/errors.h"

/* code "" = none came. 401 is OBJECT_ERROR_KEYS: final, unless another token is to be had. */
enum object_error_class gcs_error_class(int status, const char *code, const char *message);

/* Fills err (code, retryable, native, message without context: "403 forbidden: ... does not have
 * storage.objects.create access; <way out>") and returns its code. */
int gcs_error_classify(int status, const char *code, const char *message, struct error *err);
