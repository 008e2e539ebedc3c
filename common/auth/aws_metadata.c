#include "auth/aws_metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/aws_environment.h"

enum { TOKEN_MAX = 1024, ROLE_MAX = 128 };

static const char *const role_letters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-";

static int write_url(struct strbuf *url, const char *path, struct error *err)
{
    const char *given = aws_environment(AWS_EC2_METADATA_SERVICE_ENDPOINT);
    if (given == NULL)
        given = "http://169.254.169.254";
    bool http = strncmp(given, "http://", 7) == 0 || strncmp(given, "https://", 8) == 0;
    if (!http || strpbrk(given, " \t\r\n?#@"))
        return error_set(err, ERROR_INPUT, false,
                         "AWS_EC2_METADATA_SERVICE_ENDPOINT: must be http://HOST, with a port");
    size_t n = strlen(given);
    while (n > 0 && given[n - 1] == '/')
        n--;
    strbuf_append(url, given, n);
    strbuf_puts(url, path);
    return 0;
}

int aws_metadata_prepare_token(struct service_request *request, struct error *err)
{
    request->method = "PUT";
    strbuf_puts(service_request_add_header(request, "X-aws-ec2-metadata-token-ttl-seconds"), "21600");
    return write_url(&request->url, "/latest/api/token", err);
}

int aws_metadata_prepare_role(struct service_request *request, const char *token, struct error *err)
{
    request->method = "GET";
    if (token)
        strbuf_puts(service_request_add_header(request, "X-aws-ec2-metadata-token"), token);
    return write_url(&request->url, "/latest/meta-data/iam/security-credentials/", err);
}

int aws_metadata_prepare_keys(struct service_request *request, const char *token, const char *role,
                              struct error *err)
{
    int rc = aws_metadata_prepare_role(request, token, err);
    if (rc == 0)
        strbuf_puts(&request->url, role); /* its letters need no encoding, see answer_role */
    return rc;
}

static int refused(int status, struct error *err)
{
    bool passing = aws_answer_is_throttling(status, "");
    int rc = error_set(err, passing ? ERROR_UNREACHABLE : ERROR_DENIED, passing, "instance metadata: HTTP %d",
                       status);
    if (err)
        snprintf(err->native, sizeof err->native, "%d", status);
    return rc;
}

/* The first line, without blanks at its ends, of at most max bytes; NULL: empty, longer, with control
 * characters, or no memory. */
static char *first_line(const struct http_response *response, size_t max)
{
    const char *text = response->body + strspn(response->body, " \t\r\n");
    size_t n = strcspn(text, "\r\n");
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return NULL;
    }
    return n > 0 && n <= max ? strndup(text, n) : NULL;
}

int aws_metadata_answer_token(const struct http_response *response, char **ret, struct error *err)
{
    int status = response->status;
    if (status == 403 || status == 404 || status == 405)
        return error_set(err, ERROR_UNSUPPORTED, false, "instance metadata gives no session tokens: HTTP %d",
                         status);
    if (status != 200)
        return refused(status, err);
    char *token = first_line(response, TOKEN_MAX);
    if (token == NULL)
        return error_set(err, ERROR_PROTOCOL, true, "instance metadata: the answer isn't a session token");
    *ret = token;
    return 0;
}

int aws_metadata_answer_role(const struct http_response *response, char **ret, struct error *err)
{
    if (response->status == 404)
        return error_set(err, ERROR_NOT_FOUND, false, "the instance has no role");
    if (response->status != 200)
        return refused(response->status, err);
    char *role = first_line(response, ROLE_MAX);
    if (role == NULL || role[strspn(role, role_letters)] != '\0') {
        free(role);
        return error_set(err, ERROR_PROTOCOL, true, "instance metadata: the answer isn't a role's name");
    }
    *ret = role;
    return 0;
}

int aws_metadata_answer_keys(struct aws_answer *answer, const struct http_response *response,
                             struct error *err)
{
    if (response->status != 200)
        return refused(response->status, err);
    return aws_answer_read_json(answer, response->body, response->body_size, err);
}
