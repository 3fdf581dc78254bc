/* What a RUN prints, line by line. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_RUN_OUTPUT_H
#define PUSHWRIGHT_SHARED_BUILDER_RUN_OUTPUT_H

#include "shared/builder/progress.h"

enum {
    RUN_LINE_MAX = 16 * 1024,
    RUN_OUTPUT_MAX = 2 * 1024 * 1024
}; /* longer lines are cut in several; what comes after is dropped */

struct run_output;

/* The step is told each line; it must outlive the output. */
struct run_output *run_output_new(struct progress_step *step, struct error *err);
void run_output_free(struct run_output *output);
AUTO_FREE(struct run_output, run_output_free)

int run_output_write_end(const struct run_output *output); /* for the program */
int run_output_fd(const struct run_output *output);        /* readable: there is something to read */
void run_output_read(struct run_output *output);           /* what is there; never blocks */
void run_output_end(struct run_output *output);            /* the rest, and a last line without an end */

#endif
