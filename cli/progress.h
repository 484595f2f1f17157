/* progress.h - where long work is, on stderr: a bar that is redrawn on a terminal, a line every few seconds elsewhere. */
#ifndef SEDGE_CLI_PROGRESS_H
#define SEDGE_CLI_PROGRESS_H

#include "opt.h"

#include "sedge/sedge.h"

/* Threads, and the progress function with what it needs; also takes over Ctrl-C. Valid until the program ends. */
const sedge_run *sg_progress_run(const sg_args *args);
void sg_progress_end(void);     /* takes the bar away: call before anything else is printed */
bool sg_progress_stopped(void); /* Ctrl-C or SIGTERM came */
/* A progress function that draws nothing and stops after a signal. */
int sg_progress_until_signal(void *user, const sedge_event *e);

#endif
