/* Private to the Google credentials: Google's own variables, read here and nowhere else, by their names in
 * the table. */
#pragma once

#include <stdbool.h>

enum google_variable {
    GOOGLE_APPLICATION_CREDENTIALS,
    GOOGLE_CLOUD_QUOTA_PROJECT,
    GOOGLE_CLOUDSDK_CONFIG, /* CLOUDSDK_CONFIG: instead of ~/.config/gcloud */
    GOOGLE_GCE_METADATA_HOST,
    GOOGLE_GCE_METADATA_ROOT, /* its older name */
    GOOGLE_GCE_METADATA_IP,
    GOOGLE_NO_GCE_CHECK,
    GOOGLE_HOME, /* HOME */
};

/* The value now, NULL when it's not set or empty; copy what is kept. */
const char *google_environment(enum google_variable variable);
const char *google_environment_name(enum google_variable variable);
/* "true" in any case. */
bool google_environment_is_true(enum google_variable variable);
