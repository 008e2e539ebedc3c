/* The driver of Google Cloud Storage, over its JSON API. */
#pragma once

#include "storage/driver.h"

extern const struct storage_driver storage_gcs;

int gcs_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err);
int gcs_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err);
int gcs_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err);
int gcs_delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err);
int gcs_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err);
