/* A JSON body: what is accepted keeps its table's promises; what is refused says why, and is told as JSON. */
#include <string.h>

#include "fuzz.h"
#include "input.h"

enum { NAME, COUNT, KIND, TAGS, CONFIG, NOTE, FIELDS };
static const char *const kinds[] = {"local", "s3", NULL};
static const struct input_field fields[FIELDS] = {
    [NAME] = {"name", INPUT_TEXT, INPUT_REQUIRED, .min = 1, .max = 8},
    [COUNT] = {"count", INPUT_INTEGER, .min = -3, .max = 9},
    [KIND] = {"kind", INPUT_CHOICE, INPUT_NULLABLE, .choices = kinds},
    [TAGS] = {"tags", INPUT_TEXTS, .max = 4},
    [CONFIG] = {"config", INPUT_OBJECT, .max = 200},
    [NOTE] = {"note", INPUT_TEXT, INPUT_LINES | INPUT_SECRET},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problem problem;
    struct input *in = input_parse_body((const char *)data, size, fields, FIELDS, &problem);
    if (in) {
        const char *name = in->values[NAME].text;
        MUST(in->values[NAME].given && strlen(name) >= 1 && strlen(name) <= 8);
        for (const char *p = name; *p; p++)
            MUST((unsigned char)*p >= 0x20);
        MUST(in->values[COUNT].integer >= -3 && in->values[COUNT].integer <= 9);
        MUST(in->values[KIND].integer >= 0 && in->values[KIND].integer <= 1);
        MUST(in->n_given >= 1 && in->n_given <= FIELDS);
        input_free(in);
        return 0;
    }
    json_t *document = problem_document(&problem);
    char *text = json_dumps(document, JSON_COMPACT);
    MUST(text && (problem.status == 422) == problem_has_errors(&problem));
    MUST(problem.status == 400 || problem.status == 422);
    free(text);
    json_decref(document);
    problem_deinit(&problem);
    return 0;
}
