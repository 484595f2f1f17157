/* checkpoint.c - weights, best weights, average, optimizer moments and counters in one safetensors file.
 *
 * Doubles are kept as hexadecimal floats, so that nothing is rounded on the way. */
#include "train/checkpoint.h"

#include "base/alloc.h"
#include "base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

sg_status sg_train_state_init(sg_train_state *s, const sg_params *ps, bool average, sg_error *err)
{
    *s = (sg_train_state){.best_step = -1};
    s->best = sg_alloc_zero(ps->n, sizeof *s->best);
    if (average)
        s->average = sg_alloc_zero(ps->n, sizeof *s->average);
    if (!s->best || (average && !s->average))
        return sg_fail_memory(err, "best weights");
    for (size_t i = 0; i < ps->n; i++) {
        const size_t bytes = ps->list[i]->count * sizeof(float);

        if (!(s->best[i] = sg_alloc_zero(1, bytes)) || (average && !(s->average[i] = sg_alloc(bytes))))
            return sg_fail_memory(err, "best weights");
        if (average)
            memcpy(s->average[i], ps->list[i]->value, bytes);
    }
    return SG_OK;
}

void sg_train_state_fini(sg_train_state *s, const sg_params *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        if (s->best)
            sg_free(s->best[i]);
        if (s->average)
            sg_free(s->average[i]);
    }
    sg_free(s->best);
    sg_free(s->average);
    sg_buf_free(&s->log);
    *s = (sg_train_state){0};
}

/* Every array of a checkpoint under its name, for saving and for loading alike. */
typedef struct array {
    char name[160];
    float *data;
    size_t count;
} array;

static array *list_arrays(size_t *n, const sg_model *m, const sg_optim *o, const sg_train_state *s)
{
    const sg_params *ps = &m->params;
    const size_t slots = sg_optim_slots(o, NULL, 0);
    sg_optim_slot *slot = sg_alloc_zero(slots, sizeof *slot);
    array *a = sg_alloc_zero(3 * ps->n + slots, sizeof *a);

    *n = 0;
    if (slot && a) {
        sg_optim_slots(o, slot, slots);
        for (size_t i = 0; i < ps->n; i++) {
            const sg_param *p = ps->list[i];

            snprintf(a[*n].name, sizeof a->name, "weight.%s", p->name);
            a[*n].data = p->value;
            a[(*n)++].count = p->count;
            snprintf(a[*n].name, sizeof a->name, "best.%s", p->name);
            a[*n].data = s->best[i];
            a[(*n)++].count = p->count;
            if (s->average) {
                snprintf(a[*n].name, sizeof a->name, "average.%s", p->name);
                a[*n].data = s->average[i];
                a[(*n)++].count = p->count;
            }
        }
        for (size_t i = 0; i < slots; i++) {
            snprintf(a[*n].name, sizeof a->name, "optim.%s", slot[i].name);
            a[*n].data = slot[i].data;
            a[(*n)++].count = slot[i].count;
        }
    }
    sg_free(slot);
    if (slot && a)
        return a;
    sg_free(a);
    return NULL;
}

/* What must be equal for a resume to continue the same run, as one text. */
static void identity(sg_buf *out, const sg_model *m, const sg_train_spec *spec)
{
    sg_buf_printf(out, "model=%s items=%d seed=%" PRIu64 " precision=%d", m->class->name, m->n_items, spec->seed,
                  (int)spec->precision);
    for (size_t i = 0; i < m->class->n_options; i++) {
        sg_buf_printf(out, " %s=", m->class->options[i].name);
        sg_options_print(out, m->config, &m->class->options[i]);
    }
    for (size_t i = 0; i < sg_n_train_options; i++) {
        sg_buf_printf(out, " %s=", sg_train_options[i].name);
        sg_options_print(out, &spec->config, &sg_train_options[i]);
    }
}

static char *state_path(const char *dir)
{
    char *folder = sg_path_join(dir, "checkpoint");
    char *path = folder ? sg_path_join(folder, "state.safetensors") : NULL;

    sg_free(folder);
    return path;
}

sg_status sg_checkpoint_save(const char *dir, const sg_model *m, const sg_optim *o, const sg_train_state *s,
                             const sg_train_spec *spec, sg_error *err)
{
    size_t n = 0;
    array *a = list_arrays(&n, m, o, s);
    sg_tensor_desc *desc = a ? sg_alloc_zero(n, sizeof *desc) : NULL;
    char *path = state_path(dir), *folder = sg_path_join(dir, "checkpoint");
    char numbers[512];
    sg_buf same = {0};
    sg_status st;

    identity(&same, m, spec);
    if (!a || !desc || !path || !folder || same.failed) {
        st = sg_fail_memory(err, "checkpoint");
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        desc[i] = (sg_tensor_desc){.name = a[i].name, .dtype = SG_DT_F32, .rank = 1, .dim = {a[i].count}, .data = a[i].data};
    snprintf(numbers, sizeof numbers,
             "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %a %a %a %a", s->step, s->best_step,
             s->since_best, s->skipped, s->loss_n, sg_optim_steps(o), s->best_metric[0], s->best_metric[1], s->loss_sum, s->seconds);
    const sg_meta meta[] = {{"format", "sedge-checkpoint-1"},
                            {"identity", same.data},
                            {"log", s->log.data ? s->log.data : ""},
                            {"numbers", numbers}};
    if (!(st = sg_dir_make(folder, err)))
        st = sg_tensors_write(path, desc, n, meta, sizeof meta / sizeof *meta, err);
done:
    sg_buf_free(&same);
    sg_free(folder);
    sg_free(path);
    sg_free(desc);
    sg_free(a);
    return st;
}

static sg_status read_state(const char *path, const sg_tensors *t, const array *a, size_t n, const char *same, sg_optim *o,
                            sg_train_state *s, sg_error *err)
{
    const char *format = sg_tensors_meta(t, "format"), *found = sg_tensors_meta(t, "identity");
    const char *numbers = sg_tensors_meta(t, "numbers"), *log = sg_tensors_meta(t, "log");
    int64_t steps;

    if (!format || strcmp(format, "sedge-checkpoint-1") != 0 || !found || !numbers || !log)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected a checkpoint of this version, found another file", path);
    if (strcmp(found, same) != 0) {
        size_t at = 0, word = 0;

        for (; found[at] && found[at] == same[at]; at++)
            if (found[at] == ' ')
                word = at + 1;
        return sg_fail(err, SG_ERR_USAGE, "%s: cannot resume with other options: checkpoint has %.*s, now asked %.*s", path,
                       (int)strcspn(found + word, " "), found + word, (int)strcspn(same + word, " "), same + word);
    }
    if (sscanf(numbers, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %la %la %la %la", &s->step,
               &s->best_step, &s->since_best, &s->skipped, &s->loss_n, &steps, &s->best_metric[0], &s->best_metric[1], &s->loss_sum,
               &s->seconds) != 10)
        return sg_fail(err, SG_ERR_FORMAT, "%s: expected ten counters, found '%.100s'", path, numbers);
    for (size_t i = 0; i < n; i++) {
        const sg_file_tensor *f;
        sg_status st = sg_tensors_need(&f, t, a[i].name, SG_DT_F32, 1, (int64_t[]){(int64_t)a[i].count}, err);

        if (st)
            return st;
        memcpy(a[i].data, f->data, f->bytes);
    }
    sg_optim_set_steps(o, steps);
    sg_buf_puts(&s->log, log);
    return s->log.failed ? sg_fail_memory(err, "training log") : SG_OK;
}

sg_status sg_checkpoint_load(const char *dir, sg_model *m, sg_optim *o, sg_train_state *s, const sg_train_spec *spec,
                             sg_error *err)
{
    char *path = state_path(dir);
    sg_tensors *t = NULL;
    sg_buf same = {0};
    size_t n = 0;
    array *a = NULL;
    sg_status st = SG_OK;

    if (path && !sg_file_exists(path))
        goto done;
    identity(&same, m, spec);
    if (!path || same.failed || !(a = list_arrays(&n, m, o, s))) {
        st = sg_fail_memory(err, "checkpoint");
        goto done;
    }
    if ((st = sg_tensors_open(&t, path, err)) || (st = read_state(path, t, a, n, same.data, o, s, err)))
        goto done;
    for (size_t i = 0; i < m->params.n; i++)
        m->params.list[i]->version++;
done:
    sg_tensors_close(t);
    sg_free(a);
    sg_buf_free(&same);
    sg_free(path);
    return st;
}

void sg_checkpoint_sweep(const char *dir)
{
    char *folder = sg_path_join(dir, "checkpoint"), *path = state_path(dir);

    if (folder && path && !sg_file_exists(path)) {
        sg_file_sweep(path);
        rmdir(folder); /* stays when there is anything in it */
    }
    sg_free(folder);
    sg_free(path);
}

sg_status sg_checkpoint_remove(const char *dir, sg_error *err)
{
    char *folder = sg_path_join(dir, "checkpoint");
    const sg_status st = folder ? sg_dir_remove(folder, err) : sg_fail_memory(err, "path");

    sg_free(folder);
    return st;
}
