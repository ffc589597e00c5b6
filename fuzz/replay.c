/* A fuzz target as a plain test: runs it over every file of a corpus directory, given as argv[1].
 * Crashes once found are kept there, so they are never found again. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FILE_MAX = 1 << 20 };

int main(int argc, char **argv) {
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        fprintf(stderr, "usage: %s corpus-directory\n", argv[0]);
        return 2;
    }
    unsigned files = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        FILE *f = entry->d_name[0] != '.' ? fopen(path, "rb") : NULL;
        if (f == NULL) {
            continue;
        }
        uint8_t *data = malloc(FILE_MAX);
        size_t n = fread(data, 1, FILE_MAX, f);
        fclose(f);
        printf("%s\n", entry->d_name);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, n);
        free(data);
        files++;
    }
    closedir(dir);
    return files > 0 ? 0 : 1;
}
