/* identity.h - which model it is, by the bytes of the files that decide what it says: for keys of caches, and for runs that go on. */
#ifndef SG_LM_IDENTITY_H
#define SG_LM_IDENTITY_H

#include "base/status.h"

/* model: a folder or a .gguf file; adapter: a folder, or NULL. Reads all of them. */
sg_status sg_model_identify(char hex[65], const char *model, const char *adapter, sg_error *err);

#endif
