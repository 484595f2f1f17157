/* checkpoint.c - weights, best weights, average, optimizer moments and counters as the state of a run (file/state.h). */
#include "train/checkpoint.h"

#include "base/alloc.h"
#include "file/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* What must be equal for a resume to continue the same run, as one text. */
static void identity(sg_buf *out, const sg_model *m, const sg_train_spec *spec)
{
    sg_buf_printf(out, "model=%s items=%d seed=%" PRIu64 " precision=%d", m->class->name, m->n_items,
                  spec->seed, (int)spec->precision);
    for (size_t i = 0; i < m->class->n_options; i++) {
        sg_buf_printf(out, " %s=", m->class->options[i].name);
        sg_options_print(out, m->config, &m->class->options[i]);
    }
    for (size_t i = 0; i < sg_n_train_options; i++) {
        sg_buf_printf(out, " %s=", sg_train_options[i].name);
        sg_options_print(out, &spec->config, &sg_train_options[i]);
    }
}

/* The file's form of a run, for saving and for loading alike. */
static sg_status describe(sg_state *out, const sg_model *m, const sg_optim *o, const sg_train_state *s,
                          const sg_train_spec *spec, sg_error *err)
{
    const sg_params *ps = &m->params;
    const size_t slots = sg_optim_slots(o, NULL, 0);
    sg_optim_slot *slot = sg_alloc_zero(slots, sizeof *slot);

    *out = (sg_state){.format = "sedge-checkpoint-1"};
    if (!slot)
        return sg_fail_memory(err, "checkpoint");
    identity(&out->same, m, spec);
    for (size_t i = 0; i < ps->n; i++) {
        const sg_param *p = ps->list[i];

        sg_state_add(out, "weight", p->name, p->value, p->count);
        sg_state_add(out, "best", p->name, s->best[i], p->count);
        if (s->average)
            sg_state_add(out, "average", p->name, s->average[i], p->count);
    }
    sg_optim_slots(o, slot, slots);
    for (size_t i = 0; i < slots; i++)
        sg_state_add(out, "optim", slot[i].name, slot[i].data, slot[i].count);
    sg_free(slot);
    return SG_OK;
}

sg_status sg_checkpoint_save(const char *dir, const sg_model *m, const sg_optim *o, const sg_train_state *s,
                             const sg_train_spec *spec, sg_error *err)
{
    sg_state file;
    sg_status st = describe(&file, m, o, s, spec, err);

    snprintf(file.numbers, sizeof file.numbers,
             "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %a %a %a %a", s->step,
             s->best_step, s->since_best, s->skipped, s->loss_n, sg_optim_steps(o), s->best_metric[0],
             s->best_metric[1], s->loss_sum, s->seconds);
    if (!st)
        st = sg_state_save(&file, s->log.data, dir, err);
    sg_state_free(&file);
    return st;
}

sg_status sg_checkpoint_load(const char *dir, sg_model *m, sg_optim *o, sg_train_state *s,
                             const sg_train_spec *spec, sg_error *err)
{
    sg_state file;
    int64_t steps;
    bool found = false;
    sg_status st = describe(&file, m, o, s, spec, err);

    if (!st && !(st = sg_state_load(&file, &s->log, &found, dir, err)) && found &&
        sscanf(file.numbers,
               "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %la %la %la %la",
               &s->step, &s->best_step, &s->since_best, &s->skipped, &s->loss_n, &steps, &s->best_metric[0],
               &s->best_metric[1], &s->loss_sum, &s->seconds) != 10)
        st = sg_fail(err, SG_ERR_FORMAT, "%s/checkpoint: expected ten counters, found '%.100s'", dir,
                     file.numbers);
    if (found && !st) {
        sg_optim_set_steps(o, steps);
        for (size_t i = 0; i < m->params.n; i++)
            m->params.list[i]->version++;
    }
    sg_state_free(&file);
    return st;
}
