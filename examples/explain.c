/* explain.c - why these items: explain DIR ITEM... prints one JSON object with, for each recommended item,
 * the way down its semantic ID and the events of the history that speak for it.
 *
 * Build:  make -C examples */
#include <sedge/sedge.h>

#include <stdio.h>

static int fail(const sedge_error *err, sedge_session *session, sedge_model *model)
{
    fprintf(stderr, "%s\n", err->message);
    sedge_session_free(session);
    sedge_model_free(model);
    return 1;
}

int main(int argc, char **argv)
{
    sedge_error err;
    sedge_model *model = NULL;
    sedge_session *session = NULL;
    char *json;

    if (argc < 3) {
        fprintf(stderr, "usage: %s DIR ITEM...\n", argv[0]);
        return 2;
    }
    if (sedge_model_open(&model, argv[1], &err) || sedge_session_new(&session, model, NULL, &err))
        return fail(&err, session, model);

    const sedge_request request = {
        .size = sizeof request,
        .history = (const char *const *)&argv[2],
        .n_history = (size_t)argc - 2,
        .k = 5,
    };

    if (sedge_session_explain(session, &request, &json, &err))
        return fail(&err, session, model);
    puts(json);
    sedge_free(json);
    sedge_session_free(session);
    sedge_model_free(model);
    return 0;
}
