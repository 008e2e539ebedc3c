#include "auth/aws_sts.h"

#include <string.h>

#include "auth/aws_endpoint.h"
#include "auth/sigv4.h"
#include "auth/small_file.h"

static void add_field(struct strbuf *body, const char *name, const char *value)
{
    if (value == NULL)
        return;
    strbuf_printf(body, "&%s=", name);
    sigv4_encode(body, value, false);
}

static int prepare(struct service_request *request, const char *action, const struct aws_role *role,
                   const char *region, struct error *err)
{
    request->method = "POST";
    strbuf_puts(service_request_add_header(request, "Content-Type"),
                "application/x-www-form-urlencoded; charset=utf-8");
    strbuf_printf(&request->body, "Action=%s&Version=2011-06-15", action);
    add_field(&request->body, "RoleArn", role->arn);
    add_field(&request->body, "RoleSessionName", role->session_name ? role->session_name : "backupmanager");
    if (role->duration_s > 0)
        strbuf_printf(&request->body, "&DurationSeconds=%d", role->duration_s);
    return aws_endpoint_write(&request->url, AWS_ENDPOINT_URL_STS, "sts", region, err);
}

int aws_sts_prepare_web_identity(struct service_request *request, const struct aws_role *role,
                                 const char *token_file, const char *region, struct error *err)
{
    char *token;
    int rc = prepare(request, "AssumeRoleWithWebIdentity", role, region, err);
    if (rc == 0)
        rc = small_file_read_token(token_file, &token, err);
    if (rc) {
        error_context(err, "web identity");
        return rc;
    }
    add_field(&request->body, "WebIdentityToken", token);
    small_file_free(token, strlen(token));
    return 0;
}

int aws_sts_prepare_role(struct service_request *request, const struct aws_role *role, const char *region,
                         struct error *err)
{
    int rc = prepare(request, "AssumeRole", role, region, err);
    add_field(&request->body, "ExternalId", role->external_id);
    return rc;
}

const char *aws_sts_signing_region(const char *region)
{
    return region ? region : "us-east-1";
}
