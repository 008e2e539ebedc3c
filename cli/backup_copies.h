/* backupctl backup restore, verify, delete: what reads and removes the copies themselves. */
#pragma once

#include "cli.h"

int run_restore(struct cli *cli, const struct arguments *args, struct error *err);
int run_verify(struct cli *cli, const struct arguments *args, struct error *err);
int run_delete(struct cli *cli, const struct arguments *args, struct error *err);
