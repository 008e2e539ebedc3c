#include "auth/google_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/google_text.h"
#include "auth/secret.h"
#include "base/timestamp.h"
#include "base/utf8.h"

enum {
    TEXT_MAX = 64 * 1024,
    NAME_SIZE = 400,
    MIN_LIFETIME_S = 600,
    LIFETIME_S = 3600,
    MAX_LIFETIME_S = 43200
};

static const char *const default_token_url = "https://oauth2.googleapis.com/token";
static const char *const default_exchange_url = "https://sts.googleapis.com/v1/token";

/* ---- members ---- */

struct member {
    const char *name;
    bool must;
    const char **into;
};

static int wrong(const char *what, const char *member, const char *how, struct error *err)
{
    return error_set(err, ERROR_INPUT, false, "%.300s: \"%s\" %s", what, member, how);
}

/* A member that is missing, null or empty is NULL. */
static int read_text(const json_t *object, const struct member *member, const char *what, struct error *err)
{
    const json_t *value = json_object_get(object, member->name);
    bool none = value == NULL || json_is_null(value) || (json_is_string(value) && !json_string_length(value));
    if (none && member->must)
        return wrong(what, member->name, "is missing", err);
    if (!none && !json_is_string(value))
        return wrong(what, member->name, "isn't a text", err);
    *member->into = none ? NULL : json_string_value(value);
    return 0;
}

static int read_texts(const json_t *object, const struct member *members, size_t n, const char *what,
                      struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        int rc = read_text(object, &members[i], what, err);
        if (rc)
            return rc;
    }
    return 0;
}

#define READ_TEXTS(object, members, what, err)                                                               \
    read_texts(object, members, sizeof(members) / sizeof *(members), what, err)

static int check_address(const char *url, const char *member, bool link_local, const char *what,
                         struct error *err)
{
    if (url == NULL || google_text_is_safe_address(url, link_local))
        return 0;
    return wrong(what, member, "must begin with https:// (http:// only to this machine)", err);
}

/* Their names and values can be sent as headers. */
static bool are_headers(const json_t *headers)
{
    void *at = json_object_iter((json_t *)headers);
    for (; at; at = json_object_iter_next((json_t *)headers, at)) {
        const char *name = json_object_iter_key(at);
        const char *value = json_string_value(json_object_iter_value(at));
        if (value == NULL || name[0] == '\0' ||
            name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0')
            return false;
        for (; *value; value++) {
            if ((unsigned char)*value < ' ' || *value == 0x7f)
                return false;
        }
    }
    return true;
}

/* ---- one kind each ---- */

static int read_given_token(struct google_source *s, const json_t *object, const char *what,
                            struct error *err)
{
    const struct member members[] = {{"access_token", true, &s->token.value}};
    int rc = READ_TEXTS(object, members, what, err);
    if (rc)
        return rc;
    if (!google_text_is_token(s->token.value))
        return wrong(what, "access_token", "holds what no token does, or is too long", err);
    const json_t *expires = json_object_get(object, "expires_at");
    int64_t at_ms = 0;
    if (json_is_string(expires))
        at_ms = timestamp_parse(json_string_value(expires));
    else if (json_is_integer(expires))
        at_ms = json_integer_value(expires) < INT64_MAX / 1000 ? json_integer_value(expires) * 1000 : -1;
    else if (expires && !json_is_null(expires))
        at_ms = -1;
    if (at_ms < 0 || (at_ms == 0 && expires && !json_is_null(expires)))
        return wrong(what, "expires_at", "is neither 2026-01-02T03:04:05Z nor seconds since 1970", err);
    s->kind = GOOGLE_ACCESS_TOKEN;
    s->token.expires_at_ms = at_ms;
    return 0;
}

static int read_service_account(struct google_source *s, const json_t *object, const char *what,
                                struct error *err)
{
    const struct member members[] = {
        {"client_email", true, &s->account.email},
        {"private_key", true, &s->account.private_key},
        {"private_key_id", false, &s->account.key_id},
        {"token_uri", false, &s->token_url},
        {"project_id", false, &s->project},
    };
    s->kind = GOOGLE_SERVICE_ACCOUNT;
    int rc = READ_TEXTS(object, members, what, err);
    if (rc == 0)
        rc = check_address(s->token_url, "token_uri", false, what, err);
    if (s->token_url == NULL)
        s->token_url = default_token_url;
    return rc;
}

static int read_user(struct google_source *s, const json_t *object, const char *what, struct error *err)
{
    const struct member members[] = {
        {"client_id", true, &s->client.id},
        {"client_secret", true, &s->client.secret},
        {"refresh_token", true, &s->client.refresh_token},
        {"token_uri", false, &s->token_url},
    };
    s->kind = GOOGLE_USER;
    int rc = READ_TEXTS(object, members, what, err);
    if (rc == 0)
        rc = check_address(s->token_url, "token_uri", false, what, err);
    if (s->token_url == NULL)
        s->token_url = default_token_url;
    return rc;
}

/* What can't be done here, by the member that asks for it. */
static int refuse_sources(const json_t *source, const char *what, struct error *err)
{
    static const char *const refused[][2] = {
        {"environment_id", "the AWS of this machine"}, {"executable", "a program"}, {"certificate", "X.509"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (json_object_get(source, refused[i][0]))
            return error_set(err, ERROR_UNSUPPORTED, false,
                             "%.300s: \"credential_source\" with \"%s\" (%s) isn't served; have the token "
                             "written to a file and name it in \"file\", or use a service account's key",
                             what, refused[i][0], refused[i][1]);
    }
    return 0;
}

static int read_format(struct google_source *s, const json_t *source, const char *what, struct error *err)
{
    const json_t *format = json_object_get(source, "format");
    const char *type = NULL;
    const struct member type_member[] = {{"type", false, &type}};
    const struct member field[] = {{"subject_token_field_name", true, &s->federation.field}};
    if (format && !json_is_object(format))
        return wrong(what, "format", "isn't an object", err);
    int rc = READ_TEXTS(format, type_member, what, err);
    if (rc || type == NULL || strcmp(type, "text") == 0)
        return rc;
    if (strcmp(type, "json") != 0)
        return wrong(what, "format", "is neither text nor json", err);
    return READ_TEXTS(format, field, what, err);
}

static int read_credential_source(struct google_source *s, const json_t *source, const char *what,
                                  struct error *err)
{
    const struct member members[] = {{"file", false, &s->federation.file},
                                     {"url", false, &s->federation.url}};
    if (!json_is_object(source))
        return wrong(what, "credential_source", "is missing, or isn't an object", err);
    int rc = refuse_sources(source, what, err);
    if (rc == 0)
        rc = READ_TEXTS(source, members, what, err);
    if (rc)
        return rc;
    if ((s->federation.file == NULL) == (s->federation.url == NULL))
        return wrong(what, "credential_source", "must name either a file or a url", err);
    const json_t *headers = json_object_get(source, "headers");
    if (headers && !json_is_null(headers) &&
        (!json_is_object(headers) || json_object_size(headers) > GOOGLE_MAX_SUBJECT_HEADERS ||
         !are_headers(headers)))
        return wrong(what, "headers", "must be an object of at most 4 headers", err);
    s->federation.headers = json_is_object(headers) ? headers : NULL;
    rc = check_address(s->federation.url, "url", true, what, err);
    return rc ? rc : read_format(s, source, what, err);
}

static int read_lifetime(struct google_source *s, const json_t *object, const char *what, struct error *err)
{
    const json_t *options = json_object_get(object, "service_account_impersonation");
    const json_t *lifetime = json_object_get(options, "token_lifetime_seconds");
    s->impersonation.lifetime_s = LIFETIME_S;
    if (lifetime == NULL || json_is_null(lifetime))
        return 0;
    json_int_t seconds = json_integer_value(lifetime); /* 0 for what isn't a number */
    if (seconds < MIN_LIFETIME_S || seconds > MAX_LIFETIME_S)
        return wrong(what, "token_lifetime_seconds", "must be a number from 600 to 43200", err);
    s->impersonation.lifetime_s = (int)seconds;
    return 0;
}

static int read_federation(struct google_source *s, const json_t *object, const char *what, struct error *err)
{
    const struct member members[] = {
        {"audience", true, &s->federation.audience},
        {"subject_token_type", true, &s->federation.token_type},
        {"token_url", false, &s->token_url},
        {"client_id", false, &s->client.id},
        {"client_secret", false, &s->client.secret},
        {"workforce_pool_user_project", false, &s->federation.user_project},
        {"service_account_impersonation_url", false, &s->impersonation.url},
    };
    s->kind = GOOGLE_FEDERATION;
    int rc = READ_TEXTS(object, members, what, err);
    if (rc == 0)
        rc = check_address(s->token_url, "token_url", false, what, err);
    if (rc == 0)
        rc = check_address(s->impersonation.url, "service_account_impersonation_url", false, what, err);
    if (rc == 0)
        rc = read_lifetime(s, object, what, err);
    if (rc == 0 && (s->client.id == NULL) != (s->client.secret == NULL))
        rc = wrong(what, "client_id", "and \"client_secret\" go together", err);
    if (s->token_url == NULL)
        s->token_url = default_exchange_url;
    return rc ? rc : read_credential_source(s, json_object_get(object, "credential_source"), what, err);
}

static bool are_texts(const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (!json_is_string(json_array_get(array, i)))
            return false;
    }
    return json_is_array(array);
}

static int read_impersonation(struct google_source *s, const json_t *object, const char *what,
                              struct error *err)
{
    const struct member members[] = {{"service_account_impersonation_url", true, &s->impersonation.url}};
    const json_t *source = json_object_get(object, "source_credentials"),
                 *delegates = json_object_get(object, "delegates");
    const char *type = json_string_value(json_object_get(source, "type"));
    int rc = READ_TEXTS(object, members, what, err);
    if (rc == 0)
        rc = check_address(s->impersonation.url, "service_account_impersonation_url", false, what, err);
    if (rc == 0 && delegates && !json_is_null(delegates) && !are_texts(delegates))
        rc = wrong(what, "delegates", "must be an array of texts", err);
    if (rc)
        return rc;
    s->impersonation.delegates = json_is_array(delegates) ? delegates : NULL;
    s->impersonation.lifetime_s = LIFETIME_S;
    if (type && strcmp(type, "service_account") == 0)
        return read_service_account(s, source, what, err);
    if (type && strcmp(type, "authorized_user") == 0)
        return read_user(s, source, what, err);
    return wrong(what, "source_credentials", "must be of type service_account or authorized_user", err);
}

/* ---- which kind ---- */

static const struct {
    const char *type;
    int (*read)(struct google_source *s, const json_t *object, const char *what, struct error *err);
} types[] = {
    {"service_account", read_service_account},
    {"authorized_user", read_user},
    {"external_account", read_federation},
    {"impersonated_service_account", read_impersonation},
};

static int unknown_form(const char *what, const char *why, struct error *err)
{
    return error_set(
        err, ERROR_INPUT, false,
        "%.300s: %s; it must be the JSON of a service account's key, or of type authorized_user, "
        "external_account or impersonated_service_account, or {\"access_token\": \"...\"}",
        what, why);
}

static int read_typed(struct google_source *s, const json_t *object, const char *type, const char *what,
                      struct error *err)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i].type) == 0)
            return types[i].read(s, object, what, err);
    }
    char shown[48];
    google_text_copy_code(type, shown, sizeof shown);
    if (strcmp(type, "external_account_authorized_user") == 0 || strcmp(type, "gdch_service_account") == 0)
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "%.300s: credentials of type %s aren't served; use a service account's key or an "
                         "external_account",
                         what, type);
    char why[96];
    snprintf(why, sizeof why, "its \"type\" is %s", shown);
    return unknown_form(what, why, err);
}

static int check_common(struct google_source *s, const json_t *object, const char *what, struct error *err)
{
    const char *universe = NULL;
    const struct member members[] = {{"universe_domain", false, &universe},
                                     {"quota_project_id", false, &s->quota_project}};
    int rc = READ_TEXTS(object, members, what, err);
    if (rc == 0 && universe && strcmp(universe, "googleapis.com") != 0)
        rc = error_set(err, ERROR_UNSUPPORTED, false,
                       "%.300s: a \"universe_domain\" other than googleapis.com isn't served", what);
    if (rc == 0 && s->quota_project && !google_text_is_token(s->quota_project))
        rc = wrong(what, "quota_project_id", "isn't the id of a project", err);
    return rc;
}

static int read_object(struct google_source *s, const json_t *object, const char *what, struct error *err)
{
    const char *type = NULL;
    const struct member members[] = {{"type", false, &type}};
    if (!json_is_object(object))
        return unknown_form(what, "it isn't a JSON object", err);
    int rc = READ_TEXTS(object, members, what, err);
    if (rc == 0)
        rc = check_common(s, object, what, err);
    if (rc)
        return rc;
    if (type)
        return read_typed(s, object, type, what, err);
    if (json_object_get(object, "access_token"))
        return read_given_token(s, object, what, err);
    return unknown_form(what, "it has no \"type\"", err);
}

/* ---- its name ---- */

/* ".../serviceAccounts/EMAIL:generateAccessToken" */
static void copy_impersonated(const char *url, char ret[NAME_SIZE])
{
    const char *at = strstr(url, "/serviceAccounts/");
    at = at ? at + strlen("/serviceAccounts/") : "";
    snprintf(ret, NAME_SIZE, "as %.*s", (int)(strcspn(at, ":/?") < 100 ? strcspn(at, ":/?") : 100), at);
}

static char *name_of(const struct google_source *s, const char *what)
{
    char who[NAME_SIZE] = "", name[NAME_SIZE];
    if (s->impersonation.url)
        copy_impersonated(s->impersonation.url, who);
    else if (s->kind == GOOGLE_SERVICE_ACCOUNT)
        snprintf(who, sizeof who, "%.100s", s->account.email);
    else if (s->kind == GOOGLE_USER)
        snprintf(who, sizeof who, "a user's login");
    else if (s->kind == GOOGLE_FEDERATION)
        snprintf(who, sizeof who, "federation");
    else
        snprintf(who, sizeof who, "a given token");
    snprintf(name, sizeof name, "%.240s (%.110s)", what, who);
    utf8_clean(name);
    return strdup(name);
}

int google_source_parse(const char *text, const char *what, struct google_source *ret, struct error *err)
{
    struct google_source s = {0};
    if (strlen(text) > TEXT_MAX)
        return error_set(err, ERROR_LIMIT, false, "%.300s: longer than %d bytes", what, TEXT_MAX);
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    s.json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int rc = read_object(&s, s.json, what, err);
    if (rc == 0) {
        s.name = name_of(&s, what);
        if (s.name == NULL)
            rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    if (rc)
        google_source_deinit(&s);
    else
        *ret = s;
    return rc;
}

void google_source_deinit(struct google_source *source)
{
    secret_json_free(source->json);
    free(source->name);
    *source = (struct google_source){0};
}

bool google_source_digest(const struct google_source *source, unsigned char ret[DIGEST_SHA256_BYTES])
{
    static const char purpose[] = "backupmanager gcs session"; /* its zero byte included */
    const char *secret = source->kind == GOOGLE_SERVICE_ACCOUNT ? source->account.private_key
                         : source->kind == GOOGLE_USER          ? source->client.refresh_token
                                                                : NULL;
    struct digest *digest = secret ? digest_new() : NULL;
    if (digest == NULL)
        return false;
    digest_update(digest, purpose, sizeof purpose);
    digest_update(digest, secret, strlen(secret));
    digest_final_bytes(digest, ret);
    digest_free(digest);
    return true;
}
