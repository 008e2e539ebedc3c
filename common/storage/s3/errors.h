/*
 * S3's error answers by class. The table in errors.c follows AWS's list of error responses and what MinIO,
 * Ceph and Backblaze add to it. Pure.
 */
#pragma once

#include "storage/object/errors.h"

/* code "" = none came (HEAD has no body). */
enum object_error_class s3_error_class(int status, const char *code);

/* object_error_fill with the row of such an answer. */
int s3_error_classify(int status, const char *code, const char *message, struct error *err);
