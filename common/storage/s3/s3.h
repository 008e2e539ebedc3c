/* The driver of s3, minio, spaces and backblaze. See README.md. */
#pragma once

#include "storage/driver.h"

extern const struct storage_driver storage_s3;

int s3_put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err);       /* put.c */
int s3_get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err);       /* get.c */
int s3_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err);    /* stat.c */
int s3_delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err); /* delete.c */
int s3_list_start(struct storage_list *list, struct storage_op **ret_op, struct error *err);    /* list.c */
