/* A push to a plain bare repository, told to `webhook` the way Gitea tells its own: signed JSON over HTTP. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_PUSH_H
#define PUSHWRIGHT_RUNTIME_CLI_PUSH_H

#include "shared/base/error.h"

#include <stdio.h>

struct push_options {
    const char *to;          /* URL of the hook */
    const char *repository;  /* full name, as the build rule says it */
    const char *clone;
    const char *secret_file; /* HMAC secret */
};

/* Every line "OLD NEW REF" of the post-receive hook, one delivery each. Runs in the repository: git is asked for the commit's message. */
bool push_send(const struct push_options *options, FILE *lines, struct error *err);

#endif
