/* Application Default Credentials: which file, or none. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/google_environment.h"
#include "auth/google_source.h"
#include "auth/google_text.h"
#include "auth/secret.h"
#include "auth/secret_local.h"

static const char file_name[] = "application_default_credentials.json";

enum { PATH_SIZE = 4096 };

static int read_source(const char *path, const char *what, struct google_source *ret, struct error *err)
{
    char *text;
    int rc = secret_read_file(path, what, &text, err);
    if (rc)
        return rc;
    rc = google_source_parse(text, what, ret, err);
    secret_free(text);
    return rc;
}

/* Where gcloud writes it: false when there's no such place. */
static bool well_known_path(struct strbuf *path)
{
    const char *folder = google_environment(GOOGLE_CLOUDSDK_CONFIG), *home = google_environment(GOOGLE_HOME);
    if (folder)
        strbuf_printf(path, "%s/%s", folder, file_name);
    else if (home)
        strbuf_printf(path, "%s/.config/gcloud/%s", home, file_name);
    return path->size > 0 && !path->failed;
}

static void add_looked(struct strbuf *looked, const char *where)
{
    strbuf_printf(looked, "%s%.200s", looked->size ? ", " : "", where);
}

/* A file that isn't there, or in a folder that isn't ours to look into, is no file. */
static int find_file(struct google_source *ret, struct strbuf *looked, struct error *err)
{
    const char *given = google_environment(GOOGLE_APPLICATION_CREDENTIALS);
    struct stat st;
    if (given) {
        int rc = read_source(given, given, ret, err);
        if (rc)
            error_context(err, "%s", google_environment_name(GOOGLE_APPLICATION_CREDENTIALS));
        return rc;
    }
    add_looked(looked, google_environment_name(GOOGLE_APPLICATION_CREDENTIALS));
    struct strbuf path;
    strbuf_init(&path, PATH_SIZE);
    int rc = 0;
    if (well_known_path(&path)) {
        if (stat(path.data, &st) == 0)
            rc = read_source(path.data, path.data, ret, err);
        else
            add_looked(looked, path.data);
    }
    strbuf_deinit(&path);
    return rc;
}

/* What the environment says about whom to bill goes before what the file says. */
static int use_quota_project(struct google_source *s, struct error *err)
{
    const char *given = google_environment(GOOGLE_CLOUD_QUOTA_PROJECT);
    if (given == NULL || s->json == NULL)
        return 0;
    if (!google_text_is_token(given))
        return error_set(err, ERROR_INPUT, false, "%s isn't the id of a project",
                         google_environment_name(GOOGLE_CLOUD_QUOTA_PROJECT));
    if (json_object_set_new(s->json, "quota_project_id", json_string(given)))
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    s->quota_project = json_string_value(json_object_get(s->json, "quota_project_id"));
    return 0;
}

int google_source_find(struct google_source *ret, struct strbuf *looked, struct error *err)
{
    struct google_source s = {0};
    int rc = find_file(&s, looked, err);
    if (rc == 0)
        rc = use_quota_project(&s, err);
    if (rc == 0 && s.json == NULL && google_environment_is_true(GOOGLE_NO_GCE_CHECK))
        rc =
            error_set(err, ERROR_DENIED, false,
                      "no Google credentials: looked at %s; the metadata server is left out by NO_GCE_CHECK; "
                      "set credentials_ref, or one of these",
                      strbuf_cstr(looked));
    if (rc == 0 && s.json == NULL) {
        s.kind = GOOGLE_METADATA;
        s.name = strdup("metadata server");
        if (s.name == NULL)
            rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    if (rc)
        google_source_deinit(&s);
    else
        *ret = s;
    return rc;
}
