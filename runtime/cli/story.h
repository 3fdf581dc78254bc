/* An event told in one line for people: `up` and `history` say the same words. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_STORY_H
#define PUSHWRIGHT_RUNTIME_CLI_STORY_H

#include "runtime/event.h"
#include "shared/base/arena.h"

#include <stdio.h>

#define STATE_DEFAULT ".pushwright"
#define LISTEN_DEFAULT "127.0.0.1:8787"
#define LISTEN_DEFAULT_URL "http://" LISTEN_DEFAULT

struct story {
    const char *actor; /* "webhook", "build", ... */
    const char *text;  /* NULL: of no interest to people */
    const char *about; /* the rule or workload; NULL: none */
    const char *url;   /* of a service that now answers; NULL: none */
    bool bad;          /* something did not work */
};

/* Strings are made in the arena; an unknown event gets its type as text. */
void story_of(struct arena *arena, const struct event *event, struct story *out);

/* Is it about NAME: the build, the trigger, or the workload, with or without its cluster and namespace? */
bool story_is_about(const char *about, const char *name);

/* Text that may come from outside, on one line and without control characters: nobody writes to the terminal but we. */
void story_print(FILE *out, const char *text);

#endif
