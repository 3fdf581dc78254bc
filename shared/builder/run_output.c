#include "shared/builder/run_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct run_output {
    struct progress_step *step;
    int ends[2];
    size_t told, len;
    bool clipped;
    char line[RUN_LINE_MAX + 1];
};

struct run_output *run_output_new(struct progress_step *step, struct error *err)
{
    struct run_output *output = calloc(1, sizeof(*output));

    if (!output) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    output->step = step;
    if (pipe2(output->ends, O_CLOEXEC) < 0 || fcntl(output->ends[0], F_SETFL, O_NONBLOCK) < 0) {
        error_set_errno(err, errno, "make a pipe");
        free(output);
        return NULL;
    }
    return output;
}

void run_output_free(struct run_output *output)
{
    if (!output)
        return;
    close(output->ends[0]);
    close(output->ends[1]);
    free(output);
}

int run_output_write_end(const struct run_output *output)
{
    return output->ends[1];
}

int run_output_fd(const struct run_output *output)
{
    return output->ends[0];
}

static void flush(struct run_output *output)
{
    output->line[output->len] = '\0';
    output->told += output->len + 1;
    output->len = 0;
    if (!output->clipped)
        progress_say(output->step,
                     output->told > RUN_OUTPUT_MAX ? "[output clipped, log limit 2MiB reached]" : output->line);
    output->clipped = output->told > RUN_OUTPUT_MAX;
}

/* A line that is too long is cut; what may be the beginning of a secret stays for the next part. */
static void cut(struct run_output *output)
{
    size_t whole = output->len, kept = progress_overlap(output->step->progress);
    char tail[RUN_LINE_MAX];

    progress_mask(output->step->progress, output->line, &whole);
    if (kept > whole / 2)
        kept = whole / 2;
    memcpy(tail, output->line + whole - kept, kept);
    output->len = whole - kept;
    flush(output);
    memcpy(output->line, tail, kept);
    output->len = kept;
}

static void take(struct run_output *output, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            flush(output);
            continue;
        }
        if (output->len == RUN_LINE_MAX)
            cut(output);
        output->line[output->len++] = data[i] ? data[i] : ' ';
    }
}

void run_output_read(struct run_output *output)
{
    enum { PIECES_A_TURN = 64 };
    char piece[4096];

    for (int i = 0; i < PIECES_A_TURN; i++) {
        ssize_t n = read(output->ends[0], piece, sizeof(piece));
        if (n <= 0 && errno != EINTR)
            return;
        take(output, piece, n > 0 ? (size_t)n : 0);
    }
}

void run_output_end(struct run_output *output)
{
    enum { TURNS = 64 }; /* a pipe holds less */

    for (int i = 0; i < TURNS; i++)
        run_output_read(output);
    if (output->len > 0)
        flush(output);
}
