/* The driver of local and local_external: objects are files below base_path. See README.md. */
#pragma once

#include "storage/driver.h"

extern const struct storage_driver storage_posix;
