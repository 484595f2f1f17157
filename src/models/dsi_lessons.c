/* dsi_lessons.c - one lesson after the other, each drawn from (seed, step, example). */
#include "models/dsi_lessons.h"

#include "base/rng.h"

enum { SPAN = 3 }; /* words of a span that is taken out */
enum { RNG_DROP = SG_RNG_USER + 50, RNG_SPAN, RNG_HALF };

bool sg_dsi_lessons_take(sg_dsi_lessons *l, sg_graph *g, int n)
{
    enum { PARTS = 6 };
    const size_t most =
        (size_t)l->texts->length + (size_t)l->names->levels + 2 * SG_DSI_GAPS + 2; /* tokens of a lesson */
    int32_t **const part[PARTS] = {&l->enc, &l->dec, &l->begin, &l->size, &l->target, &l->prefix};
    int32_t *room = sg_scratch(g, PARTS * (size_t)n, most * sizeof *room);
    int32_t *ids = sg_scratch(g, 2 * (size_t)n, sizeof *ids);

    l->enc_at = sg_scratch(g, (size_t)n + 1, sizeof *l->enc_at);
    l->dec_at = sg_scratch(g, (size_t)n + 1, sizeof *l->dec_at);
    l->text = sg_scratch(g, (size_t)l->texts->length, sizeof *l->text);
    if (!room || !ids || !l->enc_at || !l->dec_at || !l->text)
        return false;
    for (size_t i = 0; i < PARTS; i++)
        *part[i] = room + i * (size_t)n * most;
    l->id_row = ids;
    l->id_doc = ids + n;
    l->n = l->n_enc = l->n_dec = l->n_ids = 0;
    l->enc_at[0] = l->dec_at[0] = 0;
    return true;
}

static void read_token(sg_dsi_lessons *l, int32_t token)
{
    l->enc[l->n_enc++] = token;
}

/* The decoder, having read `token`, is to say `target`, one of begin .. begin + size - 1. */
static void say(sg_dsi_lessons *l, int32_t token, int32_t prefix, int32_t begin, int32_t size, int32_t target)
{
    l->dec[l->n_dec] = token;
    l->prefix[l->n_dec] = prefix;
    l->begin[l->n_dec] = begin;
    l->size[l->n_dec] = size;
    l->target[l->n_dec++] = target;
}

/* The ID, after the token `before`. Returns its last token. */
static int32_t say_id(sg_dsi_lessons *l, int32_t doc, int32_t before)
{
    const sg_names *w = l->names;
    const int32_t *code = l->codes + (size_t)doc * (size_t)w->levels;

    l->id_row[l->n_ids] = l->n_dec;
    l->id_doc[l->n_ids++] = doc;
    for (int i = 0; i < w->levels; i++) {
        const bool prefix = w->prefix && i;

        say(l, before, prefix ? w->node[(size_t)doc * (size_t)w->levels + (size_t)i - 1] : -1, w->first[i],
            w->size[i], w->first[i] + code[i]);
        before = w->first[i] + code[i];
    }
    return before;
}

static int32_t say_words(sg_dsi_lessons *l, const int32_t *word, int n, int32_t before)
{
    const sg_dsi_tokens *s = &l->tokens;

    for (int i = 0; i < n; i++) {
        say(l, before, -1, s->word, s->n_words, s->word + word[i]);
        before = s->word + word[i];
    }
    return before;
}

static void read_id(sg_dsi_lessons *l, int32_t doc)
{
    const sg_names *w = l->names;

    for (int i = 0; i < w->levels; i++)
        read_token(l, w->first[i] + l->codes[(size_t)doc * (size_t)w->levels + (size_t)i]);
}

/* Leaves words out, but never all of them. */
static int drop_words(sg_dsi_lessons *l, int n, double drop, uint64_t draw)
{
    int kept = 0;

    for (int i = 0; drop > 0 && i < n; i++)
        if ((double)sg_rng_float(l->seed, RNG_DROP, draw, (uint64_t)i) >= drop)
            l->text[kept++] = l->text[i];
    return kept ? kept : n;
}

/* ID and text with spans taken out: a gap is read in the place of each, and said before what was there. About 15 of 100 words go, in
 * spans of SPAN. */
static void teach_spans(sg_dsi_lessons *l, int32_t doc, int n, uint64_t draw)
{
    const sg_dsi_tokens *s = &l->tokens;
    int32_t gap = s->gap, before = s->bos;

    if (sg_rng_u64(l->seed, RNG_HALF, draw, 0) & 1) {
        read_token(l, gap);
        say(l, before, -1, 0, 1, -1);
        before = say_id(l, doc, gap++);
    } else {
        read_id(l, doc);
    }
    for (int i = 0; i < n;) {
        const int span = n - i < SPAN ? n - i : SPAN;

        if (gap < s->gap + SG_DSI_GAPS &&
            (double)sg_rng_float(l->seed, RNG_SPAN, draw, (uint64_t)i) < 0.15 / SPAN) {
            read_token(l, gap);
            say(l, before, -1, 0, 1, -1);
            before = say_words(l, l->text + i, span, gap++);
            i += span;
        } else {
            read_token(l, s->word + l->text[i++]);
        }
    }
    say(l, before, -1, 0, 1, -1);
}

void sg_dsi_teach(sg_dsi_lessons *l, uint32_t number)
{
    const sg_dsi_tokens *s = &l->tokens;
    const size_t docs = (size_t)l->texts->n_docs;
    const uint64_t draw = l->step << 32 | number;
    bool query = true, backwards = l->task == SG_DSI_TO_TEXT || number >= docs;
    int32_t doc = (int32_t)(number % docs);
    int n;

    if (number >= l->n_index) {
        n = sg_dsi_draw_query(l->text, &doc, l->texts, l->seed, draw);
        backwards = false;
    } else {
        n = sg_dsi_draw(l->text, l->texts, doc, l->form, l->seed, draw, &query);
        query = query && !backwards;
    }
    if (!backwards)
        n = drop_words(l, n, l->drop, draw);
    if (backwards) {
        read_token(l, s->first + SG_DSI_WRITE);
        read_id(l, doc);
        say_words(l, l->text, n, s->bos);
        if (n == 0) /* a document without words: every lesson has a row */
            say(l, s->bos, -1, 0, 1, -1);
    } else if (!query && l->task == SG_DSI_SPANS) {
        read_token(l, s->first + SG_DSI_FILL);
        teach_spans(l, doc, n, draw);
    } else {
        read_token(l, s->first + (query ? SG_DSI_RETRIEVE : SG_DSI_INDEX));
        for (int i = 0; i < n; i++)
            read_token(l, s->word + l->text[i]);
        say_id(l, doc, s->bos);
    }
    l->n++;
    l->enc_at[l->n] = l->n_enc;
    l->dec_at[l->n] = l->n_dec;
}
