#include "auth/aws_container.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "auth/aws_environment.h"
#include "auth/service_address.h"
#include "auth/small_file.h"

static bool is_allowed_host(const char *host)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23"};
    struct in6_addr ip, pod;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        if (strcmp(host, hosts[i]) == 0)
            return true;
    }
    if (inet_pton(AF_INET6, host, &ip) == 1 && inet_pton(AF_INET6, "fd00:ec2::23", &pod) == 1 &&
        memcmp(&ip, &pod, sizeof ip) == 0)
        return true;
    return service_address_is_loopback(host);
}

static bool is_allowed(const char *uri)
{
    static const char unsafe[] = "@\\ \t\r\n";
    if (strncasecmp(uri, "https://", 8) == 0)
        return strpbrk(uri, unsafe) == NULL;
    if (strncasecmp(uri, "http://", 7) != 0 || strpbrk(uri, unsafe))
        return false;
    char host[SERVICE_HOST_SIZE];
    const char *authority = uri + 7;
    return service_address_host(authority, strcspn(authority, "/?#"), host) && is_allowed_host(host);
}

static int write_url(struct strbuf *url, struct error *err)
{
    const char *relative = aws_environment(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI);
    const char *full = aws_environment(AWS_CONTAINER_CREDENTIALS_FULL_URI);
    if (relative && (relative[0] != '/' || strpbrk(relative, " \t\r\n")))
        return error_set(err, ERROR_INPUT, false, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: must be a path");
    if (relative) {
        strbuf_printf(url, "http://169.254.170.2%s", relative);
        return 0;
    }
    if (full == NULL)
        return error_set(
            err, ERROR_INPUT, false,
            "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set");
    if (!is_allowed(full))
        return error_set(
            err, ERROR_INPUT, false,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI: must be https, or http to this machine, 169.254.170.2, "
            "169.254.170.23 or [fd00:ec2::23]");
    strbuf_puts(url, full);
    return 0;
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    }
    return false;
}

static int add_authorization(struct service_request *request, struct error *err)
{
    const char *file = aws_environment(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE);
    const char *given = aws_environment(AWS_CONTAINER_AUTHORIZATION_TOKEN);
    char *token;
    if (file) {
        int rc = small_file_read_token(file, &token, err);
        if (rc)
            return rc;
        strbuf_puts(service_request_add_header(request, "Authorization"), token);
        small_file_free(token, strlen(token));
        return 0;
    }
    if (given && has_control(given))
        return error_set(err, ERROR_INPUT, false,
                         "AWS_CONTAINER_AUTHORIZATION_TOKEN: a control character in it");
    if (given)
        strbuf_puts(service_request_add_header(request, "Authorization"), given);
    return 0;
}

int aws_container_prepare(struct service_request *request, struct error *err)
{
    request->method = "GET";
    strbuf_puts(service_request_add_header(request, "Accept"), "application/json");
    int rc = write_url(&request->url, err);
    return rc ? rc : add_authorization(request, err);
}

int aws_container_answer(struct aws_answer *answer, const struct http_response *response, struct error *err)
{
    if (response->status == 200)
        return aws_answer_read_json(answer, response->body, response->body_size, err);
    bool passing = aws_answer_is_throttling(response->status, "");
    return error_set(err, passing ? ERROR_UNREACHABLE : ERROR_DENIED, passing, "%s: HTTP %d", answer->source,
                     response->status);
}
