/*
 * Private to the AWS credentials: where they will come from, decided before anything is asked over the
 * network. A plan is a base (keys at hand, or a service that gives some) and the roles to take with it, one
 * after the other.
 */
#pragma once

#include "auth/aws_credentials.h"
#include "base/strbuf.h"

enum aws_base {
    AWS_BASE_KEYS,         /* environment or profile: plan->keys */
    AWS_BASE_WEB_IDENTITY, /* STS AssumeRoleWithWebIdentity */
    AWS_BASE_CONTAINER,    /* ECS, EKS pod identity */
    AWS_BASE_METADATA,     /* the instance's role; may turn out not to exist */
};

enum { AWS_MAX_ROLES = 5 };

struct aws_role {
    char *arn;
    char *session_name, *external_id; /* NULL = none given */
    int duration_s;                   /* 0 = the service's own default */
    char *profile;                    /* where it stands; NULL = the environment */
};

struct aws_plan {
    enum aws_base base;
    struct aws_credentials keys; /* AWS_BASE_KEYS */
    char *keys_memory;
    struct aws_role web_identity; /* AWS_BASE_WEB_IDENTITY */
    char *token_file;
    struct aws_role roles[AWS_MAX_ROLES]; /* taken from the first to the last */
    int n_roles;
    char *region;         /* of STS; NULL = the global one */
    struct strbuf looked; /* where nothing was found, for messages */
};

/*
 * Reads the environment and the shared files (blocking, small, local). ret is deinitialised by
 * aws_plan_deinit also after an error. ERROR_INPUT names what is wrong in which profile and file;
 * ERROR_UNSUPPORTED: single sign-on and credential_process, and roles for AWS_CHAIN_ENVIRONMENT_FILES;
 * ERROR_DENIED: no credentials, lists where it looked.
 */
int aws_plan_make(struct aws_plan *ret, const char *profile, enum aws_chain chain, const char *region,
                  struct error *err);
void aws_plan_deinit(struct aws_plan *plan);

/* AWS_REGION, AWS_DEFAULT_REGION, or the region of the profile that AWS_PROFILE names, else of [default].
 * *ret: malloc'ed, NULL when none says one. */
int aws_plan_region(char **ret, struct error *err);
