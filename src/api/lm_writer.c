/* lm_writer.c - what a folder or file holds, opened. */
#include "api/lm_writer.h"

sg_status api_writer_open(api_writer *m, const char *path, const char *adapter, sg_error *err)
{
    bool t5;
    sg_status st;

    if ((st = sg_t5_is_at(&t5, path, err)) ||
        (st = t5 ? sg_t5_open(&m->t5, path, err) : sg_llama_open(&m->llama, path, err)) || !adapter)
        return st;
    const sg_adapter_host host = t5 ? sg_t5_host(m->t5) : sg_llama_host(m->llama);
    if ((st = sg_adapter_open(&m->adapter, adapter, &host, err)))
        return st;
    if (t5)
        sg_t5_adapt(m->t5, m->adapter);
    else
        sg_llama_adapt(m->llama, m->adapter);
    return SG_OK;
}

void api_writer_close(api_writer *m)
{
    sg_t5_close(m->t5);
    sg_llama_close(m->llama);
    sg_adapter_free(m->adapter);
}

const sg_tokenizer *api_writer_tokenizer(const api_writer *m)
{
    return m->t5 ? sg_t5_tokenizer(m->t5) : sg_llama_tokenizer(m->llama);
}

sg_status api_writer_desk(sg_desk **out, const api_writer *m, int length, sg_pool *pool, sg_error *err)
{
    if (m->t5)
        return sg_t5_desk(out, m->t5, length + 1, pool, err); /* the token that it begins with */
    return sg_llama_desk(out, m->llama, sg_llama_places(m->llama), pool, err);
}
