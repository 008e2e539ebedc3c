#include "store/roles.h"

#include <string.h>

const char *const role_names[] = {"viewer", "operator", "admin", NULL};

const char *role_name(enum role role)
{
    return role == ROLE_NONE ? "none" : role_names[role - ROLE_VIEWER];
}

bool role_parse(const char *text, enum role *ret_role)
{
    for (int i = ROLE_VIEWER; text && i <= ROLE_ADMIN; i++) {
        if (strcmp(text, role_name((enum role)i)) == 0) {
            *ret_role = (enum role)i;
            return true;
        }
    }
    return false;
}

enum role role_lesser(enum role token, enum role maker)
{
    return token < maker ? token : maker;
}
