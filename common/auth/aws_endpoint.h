/* Private to the AWS clients: the address of a regional service. */
#pragma once

#include "auth/aws_environment.h"
#include "base/error.h"
#include "base/strbuf.h"

/*
 * Appends "https://SERVICE.REGION.amazonaws.com/" (amazonaws.com.cn in China); or, where they are set, the
 * value of own or of AWS_ENDPOINT_URL, ending in '/'. region NULL: the service's global address,
 * "https://SERVICE.amazonaws.com/". ERROR_INPUT: what isn't a region's name, an address without http:// or
 * https://.
 */
int aws_endpoint_write(struct strbuf *url, enum aws_variable own, const char *service, const char *region,
                       struct error *err);
