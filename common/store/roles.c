#include "store/roles.h"

#include <string.h>

static const char *const names[] = {"none", "viewer", "operator", "admin"};

const char *role_name(enum role role)
{
    return names[role];
}

bool role_parse(const char *text, enum role *ret_role)
{
    for (int i = ROLE_VIEWER; text && i <= ROLE_ADMIN; i++) {
        if (strcmp(text, names[i]) == 0) {
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
