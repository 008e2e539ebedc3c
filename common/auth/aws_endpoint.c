#include "auth/aws_endpoint.h"

#include <string.h>

static int write_given(struct strbuf *url, enum aws_variable variable, const char *given, struct error *err)
{
    bool http = strncmp(given, "http://", 7) == 0 || strncmp(given, "https://", 8) == 0;
    if (!http || strpbrk(given, " \t\r\n?#@"))
        return error_set(err, ERROR_INPUT, false,
                         "%s: must be http://HOST or https://HOST, with a port or a path",
                         aws_environment_name(variable));
    strbuf_puts(url, given);
    if (given[strlen(given) - 1] != '/')
        strbuf_putc(url, '/');
    return 0;
}

int aws_endpoint_write(struct strbuf *url, enum aws_variable own, const char *service, const char *region,
                       struct error *err)
{
    enum aws_variable variable = aws_environment(own) ? own : AWS_ENDPOINT_URL;
    const char *given = aws_environment(variable);
    if (given)
        return write_given(url, variable, given, err);
    if (region == NULL) {
        strbuf_printf(url, "https://%s.amazonaws.com/", service);
        return 0;
    }
    if (region[0] == '\0' || strlen(region) > 40 ||
        region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
        return error_set(err, ERROR_INPUT, false, "AWS region \"%.40s\": not a region's name", region);
    strbuf_printf(url, "https://%s.%s.amazonaws.com%s/", service, region,
                  strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    return 0;
}
