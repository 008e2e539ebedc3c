#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { FLAG_HELP = 1000, FLAG_JSON, FLAG_FIRST };

static const char *words_of(const struct arguments *args, char *out, size_t size)
{
    const char *command = args->command->name;
    snprintf(out, size, "backupctl %s%s%s", args->group->name, command ? " " : "", command ? command : "");
    return out;
}

static int wrong(const struct arguments *args, struct error *err, const char *what, const char *word)
{
    char words[96];
    int n = strncmp(word, "--", 2) == 0 ? (int)strcspn(word, "=")
                                        : (int)strlen(word); /* its value may be secret */
    words_of(args, words, sizeof words);
    return error_set(err, ERROR_INPUT, false, "%s%s%.*s; see %s --help", what, n ? " " : "", n, word, words);
}

/* getopt takes abbreviations: --password would be --password-ref. */
static bool is_spelt_out(char **argv, const char *name)
{
    const char *word = argv[optind - 1];
    if (optarg && word == optarg)
        word = argv[optind - 2];
    size_t n = strlen(name);
    return strncmp(word, "--", 2) != 0 || (strncmp(word + 2, name, n) == 0 && strchr("=", word[2 + n]));
}

/* getopt's own order of looking: long options only, operands and flags mixed freely. */
static int parse_flags(struct arguments *args, int argc, char **argv, struct error *err)
{
    const struct command *command = args->command;
    struct option options[CLI_MAX_FLAGS + 3] = {{"help", no_argument, NULL, FLAG_HELP}};
    int n = 1;
    if (command->prints_data)
        options[n++] = (struct option){"json", no_argument, NULL, FLAG_JSON};
    for (int i = 0; command->flags && command->flags[i].name; i++) {
        assert(i < CLI_MAX_FLAGS);
        const struct flag *flag = &command->flags[i];
        options[n++] =
            (struct option){flag->name, flag->value ? required_argument : no_argument, NULL, FLAG_FIRST + i};
    }
    optind = 0; /* GNU: start afresh */
    opterr = 0;
    int c;
    int which = 0;
    while ((c = getopt_long(argc, argv, ":h", options, &which)) != -1) {
        if (c == ':')
            return wrong(args, err, "no value for", argv[optind - 1]);
        else if (c == '?')
            return wrong(args, err, "unknown or wrong option", argv[optind - 1]);
        else if (c != 'h' && !is_spelt_out(argv, options[which].name))
            return wrong(args, err, "unknown or wrong option",
                         optarg == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1]);
        else if (c == FLAG_HELP || c == 'h')
            args->help = true;
        else if (c == FLAG_JSON)
            args->json = true;
        else
            args->values[c - FLAG_FIRST] = optarg ? optarg : "";
    }
    args->operands = argv + optind;
    args->n_operands = argc - optind;
    return 0;
}

int arguments_parse(struct arguments *args, const struct group *group, const struct command *command,
                    int argc, char **argv, struct error *err)
{
    *args = (struct arguments){.group = group, .command = command};
    int n = argc;
    for (int i = 1; command->takes_rest && i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            n = i;
            args->rest = argv + i + 1;
            args->n_rest = argc - i - 1;
            break;
        }
    }
    int rc = parse_flags(args, n, argv, err);
    if (rc || args->help)
        return rc;
    if (args->n_operands < command->min_operands)
        return wrong(args, err, "missing:", command->operands);
    if (args->n_operands > command->max_operands)
        return wrong(args, err, "one word too many:", args->operands[command->max_operands]);
    return 0;
}

const char *arguments_get(const struct arguments *args, const char *flag)
{
    for (int i = 0; args->command->flags && args->command->flags[i].name; i++)
        if (strcmp(args->command->flags[i].name, flag) == 0)
            return args->values[i];
    return NULL;
}

bool arguments_has(const struct arguments *args, const char *flag)
{
    return arguments_get(args, flag) != NULL;
}

static int number_of(const char *flag, const char *text, int64_t min, int64_t max, int64_t *ret,
                     struct error *err)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < min || number > max)
        return error_set(err, ERROR_INPUT, false, "--%s: '%s' is not a whole number from %lld to %lld", flag,
                         text, (long long)min, (long long)max);
    *ret = number;
    return 0;
}

int arguments_number(const struct arguments *args, const char *flag, int64_t min, int64_t max,
                     int64_t *ret_number, struct error *err)
{
    const char *text = arguments_get(args, flag);
    return text ? number_of(flag, text, min, max, ret_number, err) : 0;
}

int arguments_columns(const struct arguments *args, json_t **ret_columns, struct error *err)
{
    json_t *columns = json_object();
    if (columns == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    for (int i = 0; args->command->flags && args->command->flags[i].name; i++) {
        const struct flag *flag = &args->command->flags[i];
        const char *text = args->values[i];
        if (flag->column == NULL || text == NULL)
            continue;
        json_t *value = NULL;
        int64_t number;
        if (*text == '\0') {
            value = json_null();
        } else if (flag->number) {
            int rc = number_of(flag->name, text, 0, INT64_MAX, &number, err);
            if (rc) {
                json_decref(columns);
                return rc;
            }
            value = json_integer(number);
        } else if ((value = json_string(text)) == NULL) {
            json_decref(columns);
            return error_set(err, ERROR_INPUT, false, "--%s: the value is not valid UTF-8", flag->name);
        }
        json_object_set_new(columns, flag->column, value);
    }
    *ret_columns = columns;
    return 0;
}
