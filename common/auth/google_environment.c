#include "auth/google_environment.h"

#include <stdlib.h>
#include <strings.h>

static const char *const names[] = {
    [GOOGLE_APPLICATION_CREDENTIALS] = "GOOGLE_APPLICATION_CREDENTIALS",
    [GOOGLE_CLOUD_QUOTA_PROJECT] = "GOOGLE_CLOUD_QUOTA_PROJECT",
    [GOOGLE_CLOUDSDK_CONFIG] = "CLOUDSDK_CONFIG",
    [GOOGLE_GCE_METADATA_HOST] = "GCE_METADATA_HOST",
    [GOOGLE_GCE_METADATA_ROOT] = "GCE_METADATA_ROOT",
    [GOOGLE_GCE_METADATA_IP] = "GCE_METADATA_IP",
    [GOOGLE_NO_GCE_CHECK] = "NO_GCE_CHECK",
    [GOOGLE_HOME] = "HOME",
};

const char *google_environment(enum google_variable variable)
{
    const char *value = getenv(names[variable]);
    return value && value[0] != '\0' ? value : NULL;
}

const char *google_environment_name(enum google_variable variable)
{
    return names[variable];
}

bool google_environment_is_true(enum google_variable variable)
{
    const char *value = google_environment(variable);
    return value && strcasecmp(value, "true") == 0;
}
