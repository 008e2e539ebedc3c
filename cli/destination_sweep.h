/* backupctl destination sweep */
#pragma once

#include "cli.h"

int run_destination_sweep(struct cli *cli, const struct arguments *args, struct error *err);
