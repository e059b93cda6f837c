/* Feeds every file of the folders named on the command line to the fuzz target: the form of a
 * fuzz target for compilers without libFuzzer. Fails when there is nothing to replay. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    size = fread(data, 1, sizeof(data), file);
    fclose(file);
    /* A heap copy of the exact size, so that a sanitizer sees a read past the end. */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL) {
        return 1;
    }
    for (size_t i = 0; i < size; i++) {
        exact[i] = data[i];
    }
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    for (int i = 1; i < argc; i++) {
        struct dirent **names = NULL;
        int n = scandir(argv[i], &names, NULL, alphasort);

        for (int k = 0; k < n; k++) {
            char path[4096];

            if (names[k]->d_name[0] != '.' &&
                snprintf(path, sizeof(path), "%s/%s", argv[i], names[k]->d_name) > 0) {
                if (replay_file(path) != 0) {
                    return 1;
                }
                count++;
            }
            free(names[k]);
        }
        free(names);
    }
    printf("replayed %u inputs\n", count);
    return count > 0 ? 0 : 1;
}
