/* backupctl destination test */
#pragma once

#include "cli.h"

int run_destination_test(struct cli *cli, const struct arguments *args, struct error *err);
