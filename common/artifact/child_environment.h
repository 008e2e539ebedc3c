/*
 * The environment of children. It is made of what is on a list, not of what is left after taking secrets
 * away: any variable of this program may be one (env: references, VAULT_TOKEN, AWS_SECRET_ACCESS_KEY,
 * PGPASSWORD, our own BM_ settings, which hold connection strings), and which they are isn't known before
 * they are asked for.
 */
#pragma once

#include "artifact/source.h"

/*
 * NULL-terminated, in the form of environ; free it with child_environment_free. NULL when memory is out.
 *
 * Handed on where set: who and where we are (PATH, HOME, USER, LOGNAME, SHELL, TMPDIR, TZ), language (LANG,
 * LANGUAGE, LC_*), how programs are loaded (LD_LIBRARY_PATH, LD_PRELOAD, the sanitizers' options),
 * certificates and Kerberos tickets (SSL_CERT_FILE, SSL_CERT_DIR, KRB5CCNAME, KRB5_CONFIG), libpq's settings
 * without PGPASSWORD (PGHOST, PGSSLMODE, PGSERVICEFILE, PGPASSFILE, ...), tar's TAR_OPTIONS. Besides, to a
 * source of type command: the names in command_environment (BM_COMMAND_ENVIRONMENT, comma-separated; NULL or
 * "" = none), BM_ names excepted. Never the variable that the source's env: reference names.
 */
char **child_environment_new(const struct source *source, const char *command_environment);
void child_environment_free(char **environment); /* NULL is fine */
