/*
 * The scheduler's life: passes over the schedules, upkeep of the queue, until a signal or, with once, until
 * both are done.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/settings.h"

/* Runs to its end. *ret_status is the program's exit status. Errors are of the settings (ERROR_INPUT) or the
 * system; what goes wrong later is logged. */
int scheduler_main(const struct settings *settings, bool once, int *ret_status, struct error *err);
