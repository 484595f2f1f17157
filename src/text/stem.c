/* stem.c - libstemmer, or the error that says that it is not there. */
#include "text/stem.h"

#ifdef SG_STEMMER

#include <limits.h>
#include <string.h>

#include <libstemmer.h>

/* An sg_stemmer is a struct sb_stemmer. */
static struct sb_stemmer *theirs(sg_stemmer *s)
{
    return (struct sb_stemmer *)(void *)s;
}

sg_status sg_stemmer_new(sg_stemmer **out, const char *algorithm, sg_error *err)
{
    const char **known = sb_stemmer_list();
    sg_buf list = {0};
    sg_status st;

    *out = NULL;
    while (*known && strcmp(*known, algorithm) != 0)
        known++;
    if (*known) {
        *out = (sg_stemmer *)(void *)sb_stemmer_new(algorithm, "UTF_8");
        return *out ? SG_OK : sg_fail_memory(err, "stemmer");
    }
    for (known = sb_stemmer_list(); *known; known++)
        sg_buf_printf(&list, "%s%s", list.size ? ", " : "", *known);
    st = list.failed
             ? sg_fail_memory(err, "stemmer")
             : sg_fail(err, SG_ERR_USAGE, "stemmer: expected one of %s; found '%s'", list.data, algorithm);
    sg_buf_free(&list);
    return st;
}

void sg_stemmer_free(sg_stemmer *s)
{
    sb_stemmer_delete(theirs(s));
}

sg_status sg_stem(sg_stemmer *s, sg_buf *word, sg_error *err)
{
    const sb_symbol *stem;

    if (word->size == 0 || word->size > INT_MAX / 4) /* no word of a language */
        return SG_OK;
    if (!(stem = sb_stemmer_stem(theirs(s), (const sb_symbol *)word->data, (int)word->size)))
        return sg_fail_memory(err, "stem");
    word->size = 0;
    sg_buf_add(word, stem, (size_t)sb_stemmer_length(theirs(s)));
    return word->failed ? sg_fail_memory(err, "stem") : SG_OK;
}

#else

sg_status sg_stemmer_new(sg_stemmer **out, const char *algorithm, sg_error *err)
{
    *out = NULL;
    return sg_fail(
        err, SG_ERR_MISSING,
        "stemmer %s: this build has no libstemmer: expected one made with it (Debian: libstemmer-dev)",
        algorithm);
}

void sg_stemmer_free(sg_stemmer *s)
{
    (void)s;
}

sg_status sg_stem(sg_stemmer *s, sg_buf *word, sg_error *err)
{
    (void)s;
    (void)word;
    return sg_fail(err, SG_ERR_MISSING, "stemmer: this build has no libstemmer");
}

#endif
