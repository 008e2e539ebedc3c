/* What somebody may do: each role may do what those before it may. */
#pragma once

#include <stdbool.h>

enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

/* "viewer", "operator", "admin"; "none". */
const char *role_name(enum role role);
/* Those that people are given, ends with NULL. */
extern const char *const role_names[];
/* False, and nothing written, for any other text, "none" and NULL. */
bool role_parse(const char *text, enum role *ret_role);
/* What a token of role `token` may do whose maker has role `maker`. */
enum role role_lesser(enum role token, enum role maker);
