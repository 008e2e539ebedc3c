/* Shared by the commands on backups. */
#pragma once

#include "cli.h"

/* By id or name, with its copies; new reference. */
int backup_find(struct cli *cli, const char *reference, json_t **ret_backup, struct error *err);
