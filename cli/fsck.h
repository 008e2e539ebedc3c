/* backupctl queue fsck */
#pragma once

#include "cli.h"

int run_fsck(struct cli *cli, const struct arguments *args, struct error *err);
