/* --config of backupctl destination: where its text comes from, and its encryption. */
#pragma once

#include "cli.h"

/*
 * The storage_config of changes, as arguments_columns took it from --config: @FILE and - (standard input) are
 * replaced by what stands there; with --encrypt-config its literal secrets are encrypted. What is sealed in
 * it is opened into opened_config, for the checks of catalog_apply. changes without storage_config: nothing
 * to do.
 */
int destination_config_settle(struct cli *cli, const struct arguments *args, json_t *changes,
                              struct error *err);
