/* A push to a plain bare repository, told to `webhook` the way Gitea tells its own: signed JSON over HTTP. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_PUSH_H
#define PUSHWRIGHT_RUNTIME_CLI_PUSH_H

#include "shared/base/error.h"

#include <stdio.h>

struct push_options {
    const char *to;         /* URL of the hook */
    const char *repository; /* full name, as the build rule says it */
    const char *clone;
    const char *secret_file; /* HMAC secret */
};

/* Every line "OLD NEW REF" of the post-receive hook, one delivery each; a short outage of the receiver is waited for. Runs in the repository:
 * git is asked for the commit and what it changes. Each ref that could not be told is named on standard error, with the command that
 * tells it again; the others are told nevertheless. False with the last of those errors, a temporary one before others. */
bool push_send(const struct push_options *options, FILE *lines, struct error *err);

#endif
