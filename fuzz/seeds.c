/* seeds.c - a libFuzzer program writes its seeds as files to the folder SEDGE_FUZZ_SEEDS, before it reads its corpus. */
#include "fuzz.h"

#include "base/alloc.h"
#include "base/io.h"

static int write_seeds(const char *dir)
{
    sg_buf seed = {0};
    sg_error err;
    char *path = NULL;
    int failed = 0;

    for (size_t i = 0; !failed && fuzz_seed && fuzz_seed(i, &seed); i++) {
        char name[32];

        snprintf(name, sizeof name, "seed-%zu", i);
        FUZZ_CHECK(path = sg_path_join(dir, name));
        if ((failed = sg_dir_make(dir, &err) || sg_file_write(path, seed.data, seed.size, &err)))
            fprintf(stderr, "%s\n", err.message);
        sg_free(path);
        seed.size = 0;
    }
    sg_buf_free(&seed);
    return failed;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *dir = getenv("SEDGE_FUZZ_SEEDS");

    (void)argc;
    (void)argv;
    return dir && *dir ? write_seeds(dir) : 0;
}
