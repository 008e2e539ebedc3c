#include "auth/aws_profile.h"

#include <stdlib.h>
#include <string.h>

#include "auth/aws_environment.h"
#include "auth/small_file.h"
#include "base/ini.h"

struct aws_profiles {
    struct aws_profile *list;
    int n, capacity;
    struct strbuf files;
    bool reading_config; /* its sections are "profile NAME" */
    int current;         /* whose values are being read; -1 = no profile's */
};

static const char *const key_names[AWS_KEYS] = {
    [AWS_KEY_ID] = "aws_access_key_id",
    [AWS_KEY_SECRET] = "aws_secret_access_key",
    [AWS_KEY_TOKEN] = "aws_session_token",
    [AWS_KEY_REGION] = "region",
    [AWS_KEY_ROLE_ARN] = "role_arn",
    [AWS_KEY_SOURCE_PROFILE] = "source_profile",
    [AWS_KEY_CREDENTIAL_SOURCE] = "credential_source",
    [AWS_KEY_WEB_IDENTITY_TOKEN_FILE] = "web_identity_token_file",
    [AWS_KEY_ROLE_SESSION_NAME] = "role_session_name",
    [AWS_KEY_EXTERNAL_ID] = "external_id",
    [AWS_KEY_DURATION_SECONDS] = "duration_seconds",
    [AWS_KEY_CREDENTIAL_PROCESS] = "credential_process",
    [AWS_KEY_SSO_SESSION] = "sso_session",
    [AWS_KEY_SSO_START_URL] = "sso_start_url",
};

static void value_free(char *value)
{
    small_file_free(value, value ? strlen(value) : 0);
}

static void profile_deinit(struct aws_profile *profile)
{
    for (int i = 0; i < AWS_KEYS; i++)
        value_free(profile->values[i]);
    free(profile->name);
}

void aws_profiles_free(struct aws_profiles *profiles)
{
    if (profiles == NULL)
        return;
    for (int i = 0; i < profiles->n; i++)
        profile_deinit(&profiles->list[i]);
    free(profiles->list);
    strbuf_deinit(&profiles->files);
    free(profiles);
}

static struct aws_profile *find(const struct aws_profiles *profiles, const char *name, size_t size)
{
    for (int i = 0; i < profiles->n; i++) {
        const char *have = profiles->list[i].name;
        if (strncmp(have, name, size) == 0 && have[size] == '\0')
            return &profiles->list[i];
    }
    return NULL;
}

const struct aws_profile *aws_profiles_find(const struct aws_profiles *profiles, const char *name)
{
    return find(profiles, name, strlen(name));
}

const char *aws_profiles_files(const struct aws_profiles *profiles)
{
    return strbuf_cstr(&profiles->files);
}

/* The profile's name in a section's, and its length: the config file writes [profile NAME], [profile "NAME"]
 * and [default], and has other sections ([sso-session X], [services X]), which are none: NULL. */
static const char *profile_name(const struct aws_profiles *profiles, const char *section, size_t *ret_size)
{
    *ret_size = strlen(section);
    if (!profiles->reading_config || strcmp(section, "default") == 0)
        return section;
    size_t word = strcspn(section, " \t");
    if (word != strlen("profile") || memcmp(section, "profile", word) != 0)
        return NULL;
    const char *name = section + word + strspn(section + word, " \t");
    *ret_size = strlen(name);
    if (*ret_size >= 2 && strchr("\"'", name[0]) && name[*ret_size - 1] == name[0]) {
        name++;
        *ret_size -= 2;
    }
    return *ret_size > 0 ? name : NULL;
}

static int add(struct aws_profiles *profiles, const char *name, size_t size, struct error *err)
{
    if (profiles->n == AWS_PROFILES_MAX)
        return error_set(err, ERROR_LIMIT, false, "more than %d profiles", AWS_PROFILES_MAX);
    if (profiles->n == profiles->capacity) {
        int capacity = profiles->capacity ? 2 * profiles->capacity : 8;
        struct aws_profile *list = realloc(profiles->list, (size_t)capacity * sizeof *list);
        if (list == NULL)
            return error_set(err, ERROR_SYSTEM, true, "out of memory");
        profiles->list = list;
        profiles->capacity = capacity;
    }
    struct aws_profile profile = {.name = strndup(name, size)};
    if (profile.name == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    profiles->list[profiles->n++] = profile;
    return 0;
}

static int on_section(void *data, const char *section, struct error *err)
{
    struct aws_profiles *profiles = data;
    size_t size;
    const char *name = profile_name(profiles, section, &size);
    const struct aws_profile *known = name ? find(profiles, name, size) : NULL;
    profiles->current = known ? (int)(known - profiles->list) : -1;
    if (name == NULL || known)
        return 0;
    int rc = add(profiles, name, size, err);
    if (rc == 0)
        profiles->current = profiles->n - 1;
    return rc;
}

static int on_value(void *data, const char *section, const char *key, const char *value, struct error *err)
{
    struct aws_profiles *profiles = data;
    (void)section;
    if (profiles->current < 0 || value[0] == '\0')
        return 0;
    char **values = profiles->list[profiles->current].values;
    for (int i = 0; i < AWS_KEYS; i++) {
        if (strcmp(key, key_names[i]) != 0)
            continue;
        char *copy = strdup(value);
        if (copy == NULL)
            return error_set(err, ERROR_SYSTEM, true, "out of memory");
        value_free(values[i]);
        values[i] = copy;
    }
    return 0;
}

static int read_file(struct aws_profiles *profiles, enum aws_variable variable, const char *in_home,
                     struct error *err)
{
    static const struct ini_events events = {on_section, on_value};
    const char *given = aws_environment(variable), *home = aws_environment(AWS_HOME);
    struct strbuf path;
    strbuf_init(&path, 4096);
    if (given)
        strbuf_puts(&path, given);
    else if (home)
        strbuf_printf(&path, "%s/.aws/%s", home, in_home);
    else
        strbuf_printf(&path, "~/.aws/%s (HOME is not set)", in_home);
    strbuf_printf(&profiles->files, "%s%.200s", profiles->files.size > 0 ? " and " : "", strbuf_cstr(&path));
    char *bytes = NULL;
    size_t size = 0;
    int rc = 0;
    if (path.failed)
        rc = error_set(err, ERROR_LIMIT, true, "%s: longer than %zu bytes, or memory is out",
                       aws_environment_name(variable), path.max);
    else if (given || home)
        rc = small_file_read(path.data, INI_MAX_SIZE, &bytes, &size, err);
    if (rc == ERROR_NOT_FOUND || (rc == ERROR_DENIED && !given))
        rc = 0;
    else if (rc == 0 && bytes) {
        rc = ini_parse(bytes, size, &events, profiles, err);
        if (rc)
            error_context(err, "%.300s", path.data);
    }
    small_file_free(bytes, size);
    strbuf_deinit(&path);
    return rc;
}

int aws_profiles_read(struct aws_profiles **ret, struct error *err)
{
    struct aws_profiles *profiles = calloc(1, sizeof *profiles);
    if (profiles == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    strbuf_init(&profiles->files, 1024);
    profiles->reading_config = true;
    int rc = read_file(profiles, AWS_CONFIG_FILE, "config", err);
    profiles->reading_config = false;
    if (rc == 0)
        rc = read_file(profiles, AWS_SHARED_CREDENTIALS_FILE, "credentials", err);
    if (rc) {
        aws_profiles_free(profiles);
        return rc;
    }
    *ret = profiles;
    return 0;
}
