/*
 * Runs a target without libFuzzer: every file of a corpus directory, each of its prefixes, and each of its
 * bytes replaced by a few that parsers stumble over.
 *
 *   replay_<target> DIRECTORY|FILE...
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { MAX = 1 << 20, MUTATED = 512 };

static const uint8_t bytes[] = {0, '\n', '"', '\\', '{', '[', '9', '-', '*', '/', ',', 0x7f, 0x80, 0xff};

/* In memory of exactly this size, so that a read past the end is seen by AddressSanitizer. */
static void try(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    MUST(copy != NULL);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        exit(2);
    }
    uint8_t *data = malloc(MAX);
    MUST(data != NULL);
    size_t size = fread(data, 1, MAX, f);
    fclose(f);
    try(data, size);
    size_t end = size < MUTATED ? size : MUTATED;
    for (size_t n = 0; n < end; n++) {
        uint8_t was = data[n];
        try(data, n);
        for (size_t i = 0; i < sizeof bytes; i++) {
            data[n] = bytes[i];
            try(data, size);
        }
        data[n] = was;
    }
    free(data);
}

static int run_directory(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort), files = 0;
    if (count < 0) {
        perror(path);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') {
            run_file(file);
            files++;
        }
        free(names[i]);
    }
    free(names);
    return files;
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            files += run_directory(argv[i]);
        else {
            run_file(argv[i]);
            files++;
        }
    }
    if (files == 0) {
        fprintf(stderr, "nothing to replay\n");
        return 2;
    }
    printf("%d files, their prefixes and mutations\n", files);
    return 0;
}
