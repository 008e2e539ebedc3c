#include "auth/aws_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_environment.h"
#include "auth/aws_keys.h"
#include "auth/aws_profile.h"

enum { LOOKED_MAX = 800, MIN_DURATION_S = 900, MAX_DURATION_S = 43200 };

/* What the pieces of one decision share. */
struct planning {
    struct aws_plan *plan;
    struct aws_profiles *profiles;
    const char *names[AWS_MAX_ROLES]; /* from the profile asked for to its sources */
    int n_names;
    bool found;
    struct error *err;
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

/* NULL stays NULL. */
static int copy(char **ret, const char *text, struct error *err)
{
    if (text == NULL)
        return 0;
    *ret = strdup(text);
    return *ret ? 0 : out_of_memory(err);
}

static void not_there(struct planning *p, const char *where)
{
    strbuf_printf(&p->plan->looked, "%s%s", p->plan->looked.size > 0 ? ", " : "", where);
}

/* ---- environment ---- */

static int use_environment(struct planning *p)
{
    struct aws_credentials found = {aws_environment(AWS_ACCESS_KEY_ID),
                                    aws_environment(AWS_SECRET_ACCESS_KEY),
                                    aws_environment(AWS_SESSION_TOKEN), 0, "environment"};
    if (found.access_key_id == NULL && found.secret_access_key == NULL) {
        not_there(p, "AWS_ACCESS_KEY_ID (not set)");
        return 0;
    }
    if (found.access_key_id == NULL || found.secret_access_key == NULL)
        return error_set(
            p->err, ERROR_INPUT, false, "environment: %s is set, but %s is not",
            aws_environment_name(found.access_key_id ? AWS_ACCESS_KEY_ID : AWS_SECRET_ACCESS_KEY),
            aws_environment_name(found.access_key_id ? AWS_SECRET_ACCESS_KEY : AWS_ACCESS_KEY_ID));
    p->plan->base = AWS_BASE_KEYS;
    p->found = true;
    return aws_keys_copy("environment", &found, &p->plan->keys, &p->plan->keys_memory, p->err);
}

static int use_web_identity(struct planning *p)
{
    const char *file = aws_environment(AWS_WEB_IDENTITY_TOKEN_FILE), *role = aws_environment(AWS_ROLE_ARN);
    if (file == NULL) {
        not_there(p, "AWS_WEB_IDENTITY_TOKEN_FILE (not set)");
        return 0;
    }
    if (role == NULL)
        return error_set(p->err, ERROR_INPUT, false,
                         "environment: AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    p->plan->base = AWS_BASE_WEB_IDENTITY;
    p->found = true;
    int rc = copy(&p->plan->token_file, file, p->err);
    if (rc == 0)
        rc = copy(&p->plan->web_identity.arn, role, p->err);
    if (rc == 0)
        rc = copy(&p->plan->web_identity.session_name, aws_environment(AWS_ROLE_SESSION_NAME), p->err);
    return rc;
}

/* ---- profiles ---- */

static int wrong_profile(struct planning *p, const char *name, const char *why)
{
    return error_set(p->err, ERROR_INPUT, false, "AWS profile \"%.100s\" (%s): %s", name,
                     aws_profiles_files(p->profiles), why);
}

static int read_duration(struct planning *p, const struct aws_profile *profile, int *ret)
{
    const char *text = profile->values[AWS_KEY_DURATION_SECONDS];
    if (text == NULL)
        return 0;
    char *end;
    long duration_s = strtol(text, &end, 10);
    if (*end != '\0' || duration_s < MIN_DURATION_S || duration_s > MAX_DURATION_S)
        return wrong_profile(p, profile->name, "duration_seconds must be 900 to 43200");
    *ret = (int)duration_s;
    return 0;
}

static int copy_role(struct planning *p, const struct aws_profile *profile, struct aws_role *role)
{
    int rc = read_duration(p, profile, &role->duration_s);
    if (rc == 0)
        rc = copy(&role->arn, profile->values[AWS_KEY_ROLE_ARN], p->err);
    if (rc == 0)
        rc = copy(&role->session_name, profile->values[AWS_KEY_ROLE_SESSION_NAME], p->err);
    if (rc == 0)
        rc = copy(&role->external_id, profile->values[AWS_KEY_EXTERNAL_ID], p->err);
    if (rc == 0)
        rc = copy(&role->profile, profile->name, p->err);
    return rc;
}

static int use_profile_keys(struct planning *p, const struct aws_profile *profile)
{
    char source[128];
    snprintf(source, sizeof source, "profile %.100s", profile->name);
    struct aws_credentials found = {profile->values[AWS_KEY_ID], profile->values[AWS_KEY_SECRET],
                                    profile->values[AWS_KEY_TOKEN], 0, source};
    p->plan->base = AWS_BASE_KEYS;
    p->found = true;
    int rc = aws_keys_copy(source, &found, &p->plan->keys, &p->plan->keys_memory, p->err);
    if (rc == ERROR_INPUT)
        error_context(p->err, "%s", aws_profiles_files(p->profiles));
    return rc;
}

static int use_credential_source(struct planning *p, const struct aws_profile *profile)
{
    const char *source = profile->values[AWS_KEY_CREDENTIAL_SOURCE];
    p->found = true;
    if (strcmp(source, "Ec2InstanceMetadata") == 0)
        p->plan->base = AWS_BASE_METADATA;
    else if (strcmp(source, "EcsContainer") == 0)
        p->plan->base = AWS_BASE_CONTAINER;
    else if (strcmp(source, "Environment") == 0) {
        p->found = false;
        int rc = use_environment(p);
        if (rc == 0 && !p->found)
            return wrong_profile(p, profile->name,
                                 "credential_source = Environment, and AWS_ACCESS_KEY_ID is not set");
        return rc;
    } else
        return wrong_profile(p, profile->name,
                             "credential_source must be Environment, EcsContainer or Ec2InstanceMetadata");
    return 0;
}

static int use_profile(struct planning *p, const char *name);

/* Where the profile gets what it takes its role with. */
static int use_source_of_role(struct planning *p, const struct aws_profile *profile)
{
    const char *source = profile->values[AWS_KEY_SOURCE_PROFILE];
    if (source && profile->values[AWS_KEY_CREDENTIAL_SOURCE])
        return wrong_profile(p, profile->name, "both source_profile and credential_source");
    if (source == NULL && profile->values[AWS_KEY_CREDENTIAL_SOURCE])
        return use_credential_source(p, profile);
    if (source == NULL)
        return wrong_profile(p, profile->name,
                             "role_arn needs source_profile, credential_source or web_identity_token_file");
    if (strcmp(source, profile->name) == 0 && profile->values[AWS_KEY_ID])
        return use_profile_keys(p, profile);
    return use_profile(p, source);
}

static int use_role(struct planning *p, const struct aws_profile *profile)
{
    if (profile->values[AWS_KEY_WEB_IDENTITY_TOKEN_FILE]) {
        p->plan->base = AWS_BASE_WEB_IDENTITY;
        p->found = true;
        int rc = copy(&p->plan->token_file, profile->values[AWS_KEY_WEB_IDENTITY_TOKEN_FILE], p->err);
        return rc ? rc : copy_role(p, profile, &p->plan->web_identity);
    }
    int rc = use_source_of_role(p, profile);
    if (rc)
        return rc;
    if (!p->found)
        return wrong_profile(p, profile->name, "its source_profile holds no credentials");
    return copy_role(p, profile, &p->plan->roles[p->plan->n_roles++]);
}

/* A profile that isn't there, that leads back to itself, or takes too many steps, is an error; one without
 * credentials leaves `found` false. */
static int use_profile(struct planning *p, const char *name)
{
    const struct aws_profile *profile = aws_profiles_find(p->profiles, name);
    if (profile == NULL)
        return wrong_profile(p, name, "there is no such profile");
    for (int i = 0; i < p->n_names; i++) {
        if (strcmp(p->names[i], name) == 0)
            return wrong_profile(p, name, "source_profile leads back to it");
    }
    if (p->n_names == AWS_MAX_ROLES)
        return wrong_profile(p, name, "too many source_profile steps");
    p->names[p->n_names++] = profile->name;
    if (profile->values[AWS_KEY_ROLE_ARN])
        return use_role(p, profile);
    if (profile->values[AWS_KEY_ID] || profile->values[AWS_KEY_SECRET])
        return use_profile_keys(p, profile);
    if (profile->values[AWS_KEY_CREDENTIAL_PROCESS] || profile->values[AWS_KEY_SSO_SESSION] ||
        profile->values[AWS_KEY_SSO_START_URL])
        return error_set(
            p->err, ERROR_UNSUPPORTED, false,
            "AWS profile \"%.100s\" (%s): single sign-on and credential_process are not used here: "
            "name a profile with keys or a role, or set credentials_ref",
            name, aws_profiles_files(p->profiles));
    return 0;
}

/* ---- the chain ---- */

/* A profile that somebody named must be there. */
static int use_shared_files(struct planning *p, const char *name, bool is_named)
{
    if (!is_named && aws_profiles_find(p->profiles, name) == NULL) {
        strbuf_printf(&p->plan->looked, "%sprofile default in %s (not there)",
                      p->plan->looked.size > 0 ? ", " : "", aws_profiles_files(p->profiles));
        return 0;
    }
    int rc = use_profile(p, name);
    if (rc == 0 && !p->found)
        strbuf_printf(&p->plan->looked, "%sprofile %.100s in %s (no keys and no role)",
                      p->plan->looked.size > 0 ? ", " : "", name, aws_profiles_files(p->profiles));
    return rc;
}

static void use_services(struct planning *p)
{
    bool container = aws_environment(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI) ||
                     aws_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI);
    p->found = true;
    p->plan->base = container ? AWS_BASE_CONTAINER : AWS_BASE_METADATA;
    if (container)
        return;
    not_there(p, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI (not set)");
    if (aws_environment_is_true(AWS_EC2_METADATA_DISABLED)) {
        not_there(p, "instance metadata (AWS_EC2_METADATA_DISABLED)");
        p->found = false;
    }
}

/* botocore's order: environment, the profile's role, web identity, the profile's keys, container, metadata.
 * The profile is looked at once, and gives way to the web identity when it takes no role. */
static int choose(struct planning *p, const char *profile, enum aws_chain chain)
{
    const char *named = profile ? profile : aws_environment(AWS_PROFILE);
    if (named == NULL)
        named = aws_environment(AWS_DEFAULT_PROFILE);
    int rc = 0;
    if (named == NULL)
        rc = use_environment(p);
    const char *name = named ? named : "default";
    const struct aws_profile *there = aws_profiles_find(p->profiles, name);
    bool takes_role = there && there->values[AWS_KEY_ROLE_ARN];
    if (rc == 0 && !p->found && !takes_role && profile == NULL && chain == AWS_CHAIN_FULL)
        rc = use_web_identity(p);
    if (rc == 0 && !p->found)
        rc = use_shared_files(p, name, named != NULL);
    if (rc == 0 && !p->found && chain == AWS_CHAIN_FULL)
        use_services(p);
    return rc;
}

static int check_chain(const struct planning *p, enum aws_chain chain)
{
    if (!p->found)
        return error_set(p->err, ERROR_DENIED, false,
                         "no AWS credentials: looked at %s; set credentials_ref, or one of these",
                         strbuf_cstr(&p->plan->looked));
    if (chain == AWS_CHAIN_ENVIRONMENT_FILES && (p->plan->base != AWS_BASE_KEYS || p->plan->n_roles > 0))
        return error_set(
            p->err, ERROR_UNSUPPORTED, false,
            "AWS profile \"%.100s\" takes a role, which this kind of store doesn't know: name a profile "
            "with keys, or set credentials_ref",
            p->n_names > 0 ? p->names[0] : "default");
    return 0;
}

static int choose_region(struct planning *p, const char *region)
{
    if (region == NULL || region[0] == '\0')
        region = aws_environment(AWS_REGION);
    if (region == NULL)
        region = aws_environment(AWS_DEFAULT_REGION);
    for (int i = 0; region == NULL && i < p->n_names; i++)
        region = aws_profiles_find(p->profiles, p->names[i])->values[AWS_KEY_REGION];
    return copy(&p->plan->region, region, p->err);
}

int aws_plan_make(struct aws_plan *ret, const char *profile, enum aws_chain chain, const char *region,
                  struct error *err)
{
    *ret = (struct aws_plan){0};
    strbuf_init(&ret->looked, LOOKED_MAX);
    struct planning p = {.plan = ret, .err = err};
    int rc = aws_profiles_read(&p.profiles, err);
    if (rc)
        return rc;
    rc = choose(&p, profile, chain);
    if (rc == 0)
        rc = check_chain(&p, chain);
    if (rc == 0)
        rc = choose_region(&p, region);
    aws_profiles_free(p.profiles);
    return rc;
}

static void role_deinit(struct aws_role *role)
{
    free(role->arn);
    free(role->session_name);
    free(role->external_id);
    free(role->profile);
}

void aws_plan_deinit(struct aws_plan *plan)
{
    aws_credentials_memory_free(plan->keys_memory);
    role_deinit(&plan->web_identity);
    for (int i = 0; i < plan->n_roles; i++)
        role_deinit(&plan->roles[i]);
    free(plan->token_file);
    free(plan->region);
    strbuf_deinit(&plan->looked);
    *plan = (struct aws_plan){0};
}

int aws_plan_region(char **ret, struct error *err)
{
    const char *region = aws_environment(AWS_REGION);
    if (region == NULL)
        region = aws_environment(AWS_DEFAULT_REGION);
    char *found = NULL;
    int rc = 0;
    if (region)
        rc = copy(&found, region, err);
    else {
        const char *name = aws_environment(AWS_PROFILE);
        if (name == NULL)
            name = aws_environment(AWS_DEFAULT_PROFILE);
        struct aws_profiles *profiles;
        rc = aws_profiles_read(&profiles, err);
        if (rc)
            return rc;
        const struct aws_profile *profile = aws_profiles_find(profiles, name ? name : "default");
        if (profile)
            rc = copy(&found, profile->values[AWS_KEY_REGION], err);
        aws_profiles_free(profiles);
    }
    if (rc == 0)
        *ret = found;
    return rc;
}
