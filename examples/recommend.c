/* recommend.c - asks a model folder what comes next: recommend DIR ITEM...
 *
 * Build:  cc recommend.c $(pkg-config --cflags --libs sedge) -o recommend */
#include <sedge/sedge.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    sedge_error err;
    sedge_model *model = NULL;
    sedge_session *session = NULL;
    sedge_hit hits[10];
    size_t n = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: %s DIR ITEM...\n", argv[0]);
        return 2;
    }
    if (sedge_model_open(&model, argv[1], &err) || sedge_session_new(&session, model, NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        sedge_model_free(model);
        return 1;
    }

    const sedge_request request = {
        .size = sizeof request,
        .history = (const char *const *)&argv[2],
        .n_history = (size_t)argc - 2,
        .k = 10,
    };

    if (sedge_session_recommend(session, &request, hits, &n, &err)) {
        fprintf(stderr, "%s\n", err.message);
        sedge_session_free(session);
        sedge_model_free(model);
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        printf("%2zu  %-20s %.4f\n", i + 1, hits[i].item, (double)hits[i].score);
    sedge_session_free(session);
    sedge_model_free(model);
    return 0;
}
