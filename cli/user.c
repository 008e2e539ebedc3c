/*
 * backupctl user: who may ask backup-api. The first admin comes from here.
 *
 * A new password is taken from --password-ref, read by --ask without showing it, or made up and printed once.
 * It never stands in an argument.
 */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "auth/password.h"
#include "auth/secret.h"
#include "catalog_commands.h"
#include "store/roles.h"
#include "store/users.h"

static const char *name_of(const json_t *user)
{
    return json_string_value(json_object_get(user, "username"));
}

/* --- passwords --- */

struct new_password {
    char text[PASSWORD_MAX_BYTES + 2];
    char hash[PASSWORD_HASH_SIZE];
    bool made_up; /* to be printed */
};

/* One line of standard input, unseen where that is a terminal. */
static int read_line(const char *prompt, char *out, size_t size, struct error *err)
{
    struct termios shown, hidden;
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
        fputs(prompt, stderr);
    }
    char *line = fgets(out, (int)size, stdin);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        fputc('\n', stderr);
    }
    if (line == NULL)
        return error_set(err, ERROR_INPUT, false, "no password on standard input");
    size_t n = strcspn(out, "\n");
    if (out[n] == '\0' && n == size - 1)
        return error_set(err, ERROR_INPUT, false, "the password is too long: use at most %d bytes",
                         PASSWORD_MAX_BYTES);
    out[n] = '\0';
    return 0;
}

static int ask(struct new_password *password, struct error *err)
{
    char again[sizeof password->text];
    int rc = read_line("Password: ", password->text, sizeof password->text, err);
    if (rc || !isatty(STDIN_FILENO))
        return rc;
    rc = read_line("Once more: ", again, sizeof again, err);
    if (rc == 0 && strcmp(again, password->text) != 0)
        rc = error_set(err, ERROR_INPUT, false, "the two passwords differ");
    explicit_bzero(again, sizeof again);
    return rc;
}

static int fetch(struct cli *cli, const char *reference, struct new_password *password, struct error *err)
{
    char *secret;
    int rc = cli_secret(cli, reference, &secret, err);
    if (rc)
        return rc;
    size_t n = strcspn(secret, "\r\n"); /* a file's last line end is no part of it */
    if (n >= sizeof password->text)
        rc = error_set(err, ERROR_INPUT, false, "the password is too long: use at most %d bytes",
                       PASSWORD_MAX_BYTES);
    else
        memcpy(password->text, secret, n);
    secret_free(secret);
    return rc;
}

static int choose_password(struct cli *cli, const struct arguments *args, struct new_password *password,
                           struct error *err)
{
    const char *reference = arguments_get(args, "password-ref");
    bool asks = arguments_has(args, "ask");
    int rc;
    if (reference && asks)
        return error_set(err, ERROR_INPUT, false, "give either --password-ref or --ask");
    if (reference) {
        rc = fetch(cli, reference, password, err);
    } else if (asks) {
        rc = ask(password, err);
    } else {
        password->made_up = true;
        rc = password_generate(password->text, err);
    }
    if (rc == 0)
        rc = password_acceptable(password->text, err);
    return rc ? rc : password_hash(password->text, password->hash, err);
}

/* --- commands --- */

static int memory(struct pg_request *request, struct error *err)
{
    pg_request_free(request);
    return error_set(err, ERROR_SYSTEM, true, "out of memory");
}

static int find(struct cli *cli, const char *reference, json_t **ret_user, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result;
    if (request == NULL)
        return err->code;
    if (user_add_select(request, reference))
        return memory(request, err);
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    rc = user_read_one(result, reference, ret_user, err);
    PQclear(result);
    if (rc == ERROR_NOT_FOUND)
        error_set(err, rc, false, "no user is called '%s'; see backupctl user list", reference);
    return rc;
}

static int print_saved(struct cli *cli, const struct arguments *args, const char *name, const char *verb,
                       const struct new_password *password, struct error *err)
{
    const char *shown = password && password->made_up ? password->text : NULL;
    json_t *user;
    if (!args->json) {
        printf("user '%s' %s\n", name, verb);
        if (shown)
            printf("password: %s\n(shown this once; backupctl user password %s makes another)\n", shown,
                   name);
        return 0;
    }
    int rc = find(cli, name, &user, err);
    if (rc)
        return rc;
    if (shown)
        json_object_set_new(user, "password", json_string(shown));
    output_json(user);
    secret_json_free(user);
    return 0;
}

static int insert(struct cli *cli, const json_t *user, const char *hash, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result;
    int64_t id;
    if (request == NULL)
        return err->code;
    if (user_add_insert(request, name_of(user), json_string_value(json_object_get(user, "email")),
                        json_string_value(json_object_get(user, "role")), hash))
        return memory(request, err);
    int rc = catalog_run(request, &result, err);
    if (rc)
        return err->code == ERROR_EXISTS
                   ? error_set(err, ERROR_EXISTS, false, "a user with that name or email exists already")
                   : rc;
    rc = user_read_inserted(result, name_of(user), &id, err);
    PQclear(result);
    return rc;
}

static int run_add(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct new_password password = {0};
    json_t *user;
    if (!arguments_has(args, "role"))
        return error_set(err, ERROR_INPUT, false, "user add needs --role viewer, operator or admin");
    int rc = arguments_columns(args, &user, err);
    if (rc)
        return rc;
    json_object_set_new(user, "username", json_string(args->operands[0]));
    rc = user_check(user, NULL, err);
    if (rc == 0)
        rc = choose_password(cli, args, &password, err);
    if (rc == 0)
        rc = insert(cli, user, password.hash, err);
    if (rc == 0)
        rc = print_saved(cli, args, name_of(user), "added", &password, err);
    explicit_bzero(&password, sizeof password);
    json_decref(user);
    return rc;
}

/* changes NULL: removes. */
static int change(struct cli *cli, const json_t *user, const json_t *changes, struct error *err)
{
    struct pg_request *request = catalog_request(cli, err);
    struct pg_copy copy = {0};
    int64_t id = catalog_row_id(user);
    if (request == NULL)
        return err->code;
    if (changes ? user_add_update(request, id, changes) : user_add_remove(request, id))
        return memory(request, err);
    int rc = pg_run(request, &copy, err);
    if (rc)
        return err->code == ERROR_EXISTS
                   ? error_set(err, ERROR_EXISTS, false, "another user has that name or email already")
                   : rc;
    rc = user_read_changed(copy.results, 0, name_of(user), err);
    pg_copy_clear(&copy);
    return rc;
}

/* Takes over changes. */
static int change_and_print(struct cli *cli, const struct arguments *args, json_t *changes, const char *verb,
                            const struct new_password *password, struct error *err)
{
    json_t *user = NULL;
    int rc = user_check(changes, NULL, err);
    if (rc == 0)
        rc = find(cli, args->operands[0], &user, err);
    if (rc == 0)
        rc = change(cli, user, changes, err);
    if (rc == 0) {
        const char *renamed = json_string_value(json_object_get(changes, "username"));
        rc = print_saved(cli, args, renamed ? renamed : name_of(user), verb, password, err);
    }
    json_decref(user);
    json_decref(changes);
    return rc;
}

static int run_update(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *changes;
    int rc = arguments_columns(args, &changes, err);
    if (rc)
        return rc;
    if (json_object_size(changes) == 0) {
        json_decref(changes);
        return error_set(err, ERROR_INPUT, false, "nothing to change; see backupctl user update --help");
    }
    return change_and_print(cli, args, changes, "updated", NULL, err);
}

static int run_password(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct new_password password = {0};
    int rc = choose_password(cli, args, &password, err);
    if (rc == 0)
        rc = change_and_print(cli, args, json_pack("{s:s}", "hashed_password", password.hash),
                              "has a new password, and is logged out everywhere", &password, err);
    explicit_bzero(&password, sizeof password);
    return rc;
}

static int run_enable(struct cli *cli, const struct arguments *args, struct error *err)
{
    return change_and_print(cli, args, json_pack("{s:b}", "is_active", 1), "enabled", NULL, err);
}

static int run_disable(struct cli *cli, const struct arguments *args, struct error *err)
{
    return change_and_print(cli, args, json_pack("{s:b}", "is_active", 0), "disabled", NULL, err);
}

static int run_remove(struct cli *cli, const struct arguments *args, struct error *err)
{
    json_t *user;
    int rc = find(cli, args->operands[0], &user, err);
    if (rc)
        return rc;
    rc = change(cli, user, NULL, err);
    if (rc == 0)
        printf("user '%s' removed\n", name_of(user));
    json_decref(user);
    return rc;
}

static int run_list(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column columns[] = {{"ID", "id", OUTPUT_NUMBER},
                                                   {"NAME", "username", OUTPUT_TEXT},
                                                   {"ROLE", "role", OUTPUT_TEXT},
                                                   {"EMAIL", "email", OUTPUT_TEXT},
                                                   {"ACTIVE", "is_active", OUTPUT_YESNO},
                                                   {"LAST LOGIN (UTC)", "last_login_at", OUTPUT_TIME},
                                                   {NULL, NULL, OUTPUT_TEXT}};
    struct pg_request *request = catalog_request(cli, err);
    PGresult *result;
    if (request == NULL)
        return err->code;
    if (user_add_select(request, NULL))
        return memory(request, err);
    int rc = catalog_run(request, &result, err);
    if (rc)
        return rc;
    json_t *users = user_read_rows(result);
    PQclear(result);
    if (args->json)
        output_json(users);
    else
        output_table(users, columns, "no users yet; see backupctl user add --help");
    json_decref(users);
    return 0;
}

static int run_show(struct cli *cli, const struct arguments *args, struct error *err)
{
    static const struct output_column facts[] = {{"User", "username", OUTPUT_TEXT},
                                                 {"Id", "id", OUTPUT_NUMBER},
                                                 {"Role", "role", OUTPUT_TEXT},
                                                 {"Email", "email", OUTPUT_TEXT},
                                                 {"Active", "is_active", OUTPUT_YESNO},
                                                 {"Created", "created_at", OUTPUT_TIME},
                                                 {"Last login", "last_login_at", OUTPUT_TIME},
                                                 {NULL, NULL, OUTPUT_TEXT}};
    json_t *user;
    int rc = find(cli, args->operands[0], &user, err);
    if (rc)
        return rc;
    if (args->json)
        output_json(user);
    else
        output_facts(user, facts);
    json_decref(user);
    return 0;
}

#define ROLE_HELP "viewer reads, operator runs and retries too, admin configures too"
#define PASSWORD_FLAGS                                                                                       \
    {"password-ref", "REF", "where the password lives: file:/path, env:NAME, vault:..., aws-sm:...", NULL,   \
     false},                                                                                                 \
    {                                                                                                        \
        "ask", NULL, "read it from the terminal, or a line of standard input", NULL, false                   \
    }

static const struct flag add_flags[] = {{"role", "ROLE", ROLE_HELP, "role", false},
                                        {"email", "ADDRESS", "default NAME@localhost", "email", false},
                                        PASSWORD_FLAGS,
                                        {0}};
static const struct flag update_flags[] = {{"name", "NAME", "a new name", "username", false},
                                           {"role", "ROLE", ROLE_HELP, "role", false},
                                           {"email", "ADDRESS", "a new address", "email", false},
                                           {0}};
static const struct flag password_flags[] = {PASSWORD_FLAGS, {0}};

#define MADE_UP "Without --password-ref or --ask a password is made up and printed once."

static const struct command commands[] = {
    {"add", "NAME", "Let somebody use backup-api", MADE_UP, 1, 1, false, true, 0, add_flags, run_add},
    {"list", "", "List the users", NULL, 0, 0, false, true, 0, NULL, run_list},
    {"show", "NAME", "Show a user", NULL, 1, 1, false, true, 0, NULL, run_show},
    {"update", "NAME", "Change a user's name, role or email", NULL, 1, 1, false, true, 0, update_flags,
     run_update},
    {"password", "NAME", "Give a user another password; ends all sessions", MADE_UP, 1, 1, false, true, 0,
     password_flags, run_password},
    {"remove", "NAME", "Remove a user who made nothing that still stands, with the user's tokens", NULL, 1, 1,
     false, false, 0, NULL, run_remove},
    {"enable", "NAME", "Let a user in again", NULL, 1, 1, false, true, 0, NULL, run_enable},
    {"disable", "NAME", "Keep a user out: ends sessions, tokens rest", NULL, 1, 1, false, true, 0, NULL,
     run_disable},
    {0}};

const struct group group_user = {"user", "Users: people who may use backup-api", commands};
