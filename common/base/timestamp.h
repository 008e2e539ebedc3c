/* Times as services write them: RFC 3339, and ISO 8601 near it. */
#pragma once

#include <stdint.h>

/* "2026-01-02T03:04:05Z", with a fraction or an offset too: Unix time in ms; -1 for anything else. */
int64_t timestamp_parse(const char *text);
