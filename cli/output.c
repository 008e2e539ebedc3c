#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { CELL_SIZE = 2048, MAX_COLUMNS = 16 };

/* The next character of text as it will be shown: its bytes and its columns. main() has set a UTF-8 locale.
 */
static size_t next_character(const char *text, int *ret_columns, bool *ret_printable)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t n = mbrtowc(&wide, text, strlen(text), &state);
    int columns = n == 0 || n > 8 ? -1 : wcwidth(wide);
    *ret_printable = columns >= 0;
    *ret_columns = columns >= 0 ? columns : 1;
    return n == 0 || n > 8 ? 1 : n;
}

int output_width(const char *text)
{
    int width = 0;
    while (*text) {
        int columns;
        bool printable;
        text += next_character(text, &columns, &printable);
        width += columns;
    }
    return width;
}

/* What other people named must not steer the terminal. */
static void print_clean(const char *text)
{
    while (*text) {
        int columns;
        bool printable;
        size_t n = next_character(text, &columns, &printable);
        if (printable)
            fwrite(text, 1, n, stdout);
        else
            putchar('?');
        text += n;
    }
}

const char *output_size(int64_t bytes, char *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double size = (double)bytes;
    int unit = 0;
    while (size >= 1024 && unit < 5) {
        size /= 1024;
        unit++;
    }
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return out;
}

static void format_seconds(int64_t s, char *out, size_t size)
{
    if (s < 60)
        snprintf(out, size, "%lld s", (long long)s);
    else if (s < 3600)
        snprintf(out, size, "%lld m %02lld s", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(out, size, "%lld h %02lld m", (long long)(s / 3600), (long long)(s / 60 % 60));
}

/* {"order": 2, "paused": 1} -> "order 2, paused 1" */
static void format_counts(const json_t *object, char *out, size_t size)
{
    size_t used = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        int n = snprintf(out + used, size - used, "%s%s %lld", used ? ", " : "", key,
                         (long long)json_integer_value(value));
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}

/* "" for null. */
static void format_value(const json_t *value, enum output_format format, bool exact, char *out, size_t size)
{
    out[0] = '\0';
    if (value == NULL || json_is_null(value))
        return;
    const char *text = json_string_value(value);
    char human[32];
    switch (format) {
    case OUTPUT_SIZE:
        output_size(json_integer_value(value), human);
        if (exact && json_integer_value(value) >= 1024)
            snprintf(out, size, "%s (%lld bytes)", human, (long long)json_integer_value(value));
        else
            snprintf(out, size, "%s", human);
        return;
    case OUTPUT_SECONDS:
        format_seconds((int64_t)(json_number_value(value) + 0.5), out, size);
        return;
    case OUTPUT_YESNO:
        snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
        return;
    case OUTPUT_TIME:
        if (text && strlen(text) >= 19) {
            snprintf(out, size, "%.10s %.8s%s", text, text + 11, exact ? " UTC" : "");
            return;
        }
        break;
    case OUTPUT_CHECKSUM:
        if (text && !exact) {
            snprintf(out, size, "%.12s", text);
            return;
        }
        break;
    case OUTPUT_TEXT:
    case OUTPUT_NUMBER:
        break;
    }
    if (text) {
        snprintf(out, size, "%s", text);
    } else if (json_is_integer(value)) {
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_object(value)) {
        format_counts(value, out, size);
    } else {
        char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        snprintf(out, size, "%s", dump ? dump : "");
        free(dump);
    }
}

static bool to_the_right(enum output_format format)
{
    return format == OUTPUT_NUMBER || format == OUTPUT_SIZE || format == OUTPUT_SECONDS;
}

static void print_cell(const char *text, int width, bool right, bool last)
{
    int pad = width - output_width(text);
    if (right)
        printf("%*s", pad, "");
    print_clean(text);
    if (!right && !last)
        printf("%*s", pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

void output_table(const json_t *rows, const struct output_column *columns, const char *empty)
{
    if (json_array_size(rows) == 0) {
        puts(empty);
        return;
    }
    int n = 0;
    int widths[MAX_COLUMNS] = {0};
    char cell[CELL_SIZE];
    size_t i;
    const json_t *row;
    for (; columns[n].title && n < MAX_COLUMNS; n++) {
        widths[n] = output_width(columns[n].title);
        json_array_foreach(rows, i, row)
        {
            format_value(json_object_get(row, columns[n].key), columns[n].format, false, cell, sizeof cell);
            int width = output_width(cell);
            if (width > widths[n])
                widths[n] = width;
        }
    }
    for (int c = 0; c < n; c++)
        print_cell(columns[c].title, widths[c], to_the_right(columns[c].format), c == n - 1);
    json_array_foreach(rows, i, row)
    {
        for (int c = 0; c < n; c++) {
            format_value(json_object_get(row, columns[c].key), columns[c].format, false, cell, sizeof cell);
            print_cell(*cell ? cell : "-", widths[c], to_the_right(columns[c].format), c == n - 1);
        }
    }
}

void output_facts(const json_t *row, const struct output_column *columns)
{
    int width = 0;
    for (int i = 0; columns[i].title; i++)
        if (output_width(columns[i].title) > width)
            width = output_width(columns[i].title);
    char cell[CELL_SIZE];
    for (int i = 0; columns[i].title; i++) {
        format_value(json_object_get(row, columns[i].key), columns[i].format, true, cell, sizeof cell);
        if (*cell == '\0')
            continue;
        printf("%s:%*s", columns[i].title, width - output_width(columns[i].title) + 2, "");
        print_clean(cell);
        putchar('\n');
    }
}

void output_json(const json_t *value)
{
    char *dump = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    puts(dump ? dump : "null");
    free(dump);
}
