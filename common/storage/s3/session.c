/* What the S3 driver keeps for the calls of one operation: its configuration, the SSE-C key. */
#include <stdlib.h>

#include "auth/aws_plan.h"
#include "storage/object/learned.h"
#include "storage/s3/config_members.h"
#include "storage/s3/protocol.h"

/* AWS's own configuration may name the region where ours doesn't. A guess that is wrong, or a file that can't
 * be read, costs one request more: the service tells. */
static void find_region(struct s3_config *config)
{
    char *region = NULL;
    if (config->region_said || config->preset->chain != AWS_CHAIN_FULL ||
        object_learned_word(config->endpoint, config->bucket))
        return;
    aws_plan_region(&region, NULL);
    if (region && s3_region_is_valid(region))
        s3_config_set_region(config, region);
    free(region);
}

int s3_session_init(struct object_session *session, const struct storage_location *location,
                    struct error *err)
{
    struct s3_config *config = &((struct s3_session *)session)->config;
    int rc = s3_config_load(location, config, err);
    if (rc < 0)
        return rc;
    find_region(config);
    session->container = config->bucket;
    session->endpoint = config->endpoint;
    session->ca_file = config->ca_file;
    session->credentials_ref = config->credentials_ref;
    session->max_requests = config->max_requests;
    session->secret_ref = config->sse_customer_key_ref;
    session->secret_for = "the key of sse \"customer\"";
    return 0;
}

int s3_session_take_secret(struct object_session *session, const char *secret, struct error *err)
{
    struct s3_session *self = (struct s3_session *)session;
    return object_customer_key_init(&self->customer_key, secret, "MD5", "sse_customer_key_ref", err);
}

void s3_session_deinit(struct object_session *session)
{
    object_customer_key_deinit(&((struct s3_session *)session)->customer_key);
}
