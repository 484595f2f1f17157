/* state.c - writing and reading the state of a run. */
#include "file/state.h"

#include "base/alloc.h"
#include "base/io.h"
#include "file/safetensors.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void sg_state_add(sg_state *s, const char *kind, const char *name, float *data, size_t count)
{
    if (!sg_grow(&s->array, &s->cap, s->n + 1, sizeof *s->array)) {
        s->failed = true;
        return;
    }
    snprintf(s->array[s->n].name, sizeof s->array->name, "%s.%s", kind, name);
    s->array[s->n].data = data;
    s->array[s->n++].count = count;
}

void sg_state_free(sg_state *s)
{
    sg_buf_free(&s->same);
    sg_free(s->array);
    *s = (sg_state){0};
}

static char *state_path(const char *dir)
{
    char *folder = sg_path_join(dir, "checkpoint");
    char *path = folder ? sg_path_join(folder, "state.safetensors") : NULL;

    sg_free(folder);
    return path;
}

sg_status sg_state_save(const sg_state *s, const char *log, const char *dir, sg_error *err)
{
    sg_tensor_desc *desc = sg_alloc_zero(s->n, sizeof *desc);
    char *path = state_path(dir), *folder = sg_path_join(dir, "checkpoint");
    const sg_meta meta[] = {{"format", s->format},
                            {"identity", s->same.data ? s->same.data : ""},
                            {"log", log ? log : ""},
                            {"numbers", s->numbers}};
    sg_status st =
        !desc || !path || !folder || s->failed || s->same.failed ? sg_fail_memory(err, "checkpoint") : SG_OK;

    for (size_t i = 0; i < s->n && !st; i++)
        desc[i] = (sg_tensor_desc){.name = s->array[i].name,
                                   .dtype = SG_DT_F32,
                                   .rank = 1,
                                   .dim = {s->array[i].count},
                                   .data = s->array[i].data};
    if (!st && !(st = sg_dir_make(folder, err)))
        st = sg_tensors_write(path, desc, s->n, meta, sizeof meta / sizeof *meta, err);
    sg_free(folder);
    sg_free(path);
    sg_free(desc);
    return st;
}

static sg_status read_state(sg_state *s, sg_buf *log, const sg_tensors *t, sg_error *err)
{
    const char *format = sg_tensors_meta(t, "format"), *found = sg_tensors_meta(t, "identity"),
               *path = sg_tensors_name(t);
    const char *numbers = sg_tensors_meta(t, "numbers"), *said = sg_tensors_meta(t, "log"),
               *same = s->same.data ? s->same.data : "";
    sg_status st;

    if (!format || strcmp(format, s->format) != 0 || !found || !numbers || !said ||
        strlen(numbers) >= sizeof s->numbers)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a checkpoint of this version, found another file",
                       path);
    if (strcmp(found, same) != 0) {
        size_t at = 0, word = 0;

        for (; found[at] && found[at] == same[at]; at++)
            if (found[at] == ' ')
                word = at + 1;
        return sg_fail(
            err, SG_ERR_USAGE, "%s: cannot resume with other options: checkpoint has %.*s, now asked %.*s",
            path, (int)strcspn(found + word, " "), found + word, (int)strcspn(same + word, " "), same + word);
    }
    for (size_t i = 0; i < s->n; i++) {
        const sg_file_tensor *f;

        if ((st = sg_tensors_need(&f, t, s->array[i].name, SG_DT_F32, 1,
                                  (int64_t[]){(int64_t)s->array[i].count}, err)))
            return st;
        memcpy(s->array[i].data, f->data, f->bytes);
    }
    snprintf(s->numbers, sizeof s->numbers, "%s", numbers);
    sg_buf_puts(log, said);
    return log->failed ? sg_fail_memory(err, "training log") : SG_OK;
}

sg_status sg_state_load(sg_state *s, sg_buf *log, bool *found, const char *dir, sg_error *err)
{
    char *path = state_path(dir);
    sg_tensors *t = NULL;
    sg_status st = SG_OK;

    *found = path && sg_file_exists(path);
    if (!path || s->failed || s->same.failed)
        st = sg_fail_memory(err, "checkpoint");
    else if (*found && !(st = sg_tensors_open(&t, path, err)))
        st = read_state(s, log, t, err);
    sg_tensors_close(t);
    sg_free(path);
    return st;
}

bool sg_state_exists(const char *dir)
{
    char *folder = sg_path_join(dir, "checkpoint");
    const bool exists = folder && sg_dir_exists(folder);

    sg_free(folder);
    return exists;
}

void sg_state_sweep(const char *dir)
{
    char *folder = sg_path_join(dir, "checkpoint"), *path = state_path(dir);

    if (folder && path && !sg_file_exists(path)) {
        sg_file_sweep(path);
        rmdir(folder); /* stays when there is anything in it */
    }
    sg_free(folder);
    sg_free(path);
}

sg_status sg_state_remove(const char *dir, sg_error *err)
{
    char *folder = sg_path_join(dir, "checkpoint");
    const sg_status st = folder ? sg_dir_remove(folder, err) : sg_fail_memory(err, "path");

    sg_free(folder);
    return st;
}
