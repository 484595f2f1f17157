/* import_sequences.c - any bytes as a file of events in this format. */
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_events(data, size, sg_import_sequences);
    return 0;
}
