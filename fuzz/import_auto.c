/* import_auto.c - any bytes as a file of events whose format has to be found first. */
#include "import.h"

static sg_status read_any(sg_intake *k, sg_error *err)
{
    const sg_import_format *format;
    const sg_status st = sg_import_format_find(&format, NULL, k->in, err);

    return st ? st : format->read(k, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_events(data, size, read_any);
    return 0;
}
