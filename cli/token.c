/* backupctl token: what scripts show backup-api. */
#include <stdio.h>
#include <string.h>

#include "auth/bearer.h"
#include "auth/secret.h"
#include "catalog_commands.h"
#include "store/json_rows.h"
#include "store/tokens.h"

static int memory(struct pg_request *request, struct error *err)
{
    pg_request_free(request);
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int insert(struct cli *cli, const char *name, const char *hash, const char *role, int64_t days,
                  json_t **ret_token, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result;
    if (request == NULL)
        return err->code;
    if (token_add_insert(request, name, hash, role, 0, days))
        return memory(request, err);
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    rc = token_read_inserted(result, name, ret_token, err);
    PQclear(result);
    return rc;
}

static void print_created(const struct arguments *args, json_t *token, const char *secret)
{
    if (args->json) {
        json_object_set_new(token, "token", json_string(secret));
        output_json(token);
        return;
    }
    const char *end = json_string_value(json_object_get(token, "expires_at"));
    fprintf(stderr, "token '%s' (%s) created%s%s; it is shown this once:\n", args->operands[0],
            json_string_value(json_object_get(token, "role")), end ? ", ends " : "", end ? end : "");
    puts(secret);
}

static int run_create(struct cli *cli, const struct arguments *args, struct error *err)
{
    const char *name = args->operands[0], *role = arguments_get(args, "role");
    char secret[BEARER_SIZE], hash[DIGEST_SHA256_SIZE];
    enum role parsed;
    int64_t days = 0;
    json_t *token;
    if (!role_parse(role, &parsed))
        return error_set(err, ERROR_INPUT, false, "token create needs --role viewer, operator or admin");
    if (arguments_number(args, "expires", 1, TOKEN_MAX_DAYS, &days, err) || token_check_name(name, err))
        return err->code;
    int rc = bearer_make(BEARER_TOKEN_PREFIX, secret, err);
    if (rc)
        return rc;
    if (!bearer_hash(secret, hash))
        return error_set(err, ERROR_SYSTEM, false, "SHA-256 is not available");
    rc = insert(cli, name, hash, role, days, &token, err);
    if (rc == 0) {
        print_created(args, token, secret);
        secret_json_free(token);
    }
    explicit_bzero(secret, sizeof secret);
    return rc;
}

static int run_list(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"ID", "id", OUTPUT_NUMBER},
                                                   {"NAME", "name", OUTPUT_TEXT},
                                                   {"ROLE", "role", OUTPUT_TEXT},
                                                   {"MADE BY", "created_by", OUTPUT_TEXT},
                                                   {"ACTIVE", "is_active", OUTPUT_YESNO},
                                                   {"ENDS (UTC)", "expires_at", OUTPUT_TIME},
                                                   {"LAST USED (UTC)", "last_used_at", OUTPUT_TIME},
                                                   {"REVOKED (UTC)", "revoked_at", OUTPUT_TIME},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result;
    if (request == NULL)
        return err->code;
    if (token_add_select(request, NULL, 0))
        return memory(request, err);
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    json_t *tokens = json_rows(result);
    PQclear(result);
    if (args->json)
        output_json(tokens);
    else
        output_table(tokens, columns, "no tokens yet; see backupctl token create --help");
    json_decref(tokens);
    return 0;
}

static int end_token(struct cli *cli, int64_t id, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result;
    if (request == NULL)
        return err->code;
    if (token_add_revoke(request, id))
        return memory(request, err);
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    if (PQntuples(result) == 0)
        rc = error_set(err, ERROR_NOT_FOUND, false, "the token is revoked already");
    PQclear(result);
    return rc;
}

static int run_revoke(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result;
    json_t *token;
    if (request == NULL)
        return err->code;
    if (token_add_select(request, args->operands[0], 0))
        return memory(request, err);
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    rc = token_read_one(result, args->operands[0], &token, err);
    PQclear(result);
    if (rc)
        return rc;
    rc = end_token(cli, catalog_row_id(token), err);
    if (rc == 0)
        printf("token '%s' revoked\n", json_string_value(json_object_get(token, "name")));
    json_decref(token);
    return rc;
}

static const struct flag create_flags[] = {
    {"role", "ROLE", "viewer reads, operator runs and retries too, admin configures too", NULL, false},
    {"expires", "DAYS", "when it ends; without it, never", NULL, false},
    {0}};

static const struct command commands[] = {
    {"create", "NAME", "Make a token for a script and print it, once",
     "Send it as `Authorization: Bearer TOKEN`. Only its SHA-256 is kept.", 1, 1, false, true, 0,
     create_flags, run_create},
    {"list", "", "List the tokens, without themselves", NULL, 0, 0, false, true, 0, NULL, run_list},
    {"revoke", "NAME", "End a token; refused within five seconds", NULL, 1, 1, false, false, 0, NULL,
     run_revoke},
    {0}};

const struct group group_token = {"token", "Tokens: what scripts show backup-api", commands};
