/* What is left on a workload, so that the next delivery, or a person, knows without anybody remembering: annotations of the object itself,
 * never of its pods. */
#ifndef PUSHWRIGHT_TARGET_MARKS_H
#define PUSHWRIGHT_TARGET_MARKS_H

#include "shared/base/json.h"

#include <stdint.h>

enum { MARKS_BAD_MAX = 10 };

/* pushwright.dev/NAME; NULL, which "" stands for where it is left: there is none. */
struct marks {
    const char *event;    /* id of the event that asked; tells a redelivery from a new request */
    const char *source;   /* and its source */
    const char *chain;    /* and its chain */
    const char *rule;     /* "TRIGGER INDEX", whose target this is */
    const char *sequence; /* of the push, or of the event for what was uploaded by hand */
    const char *commit;   /* NULL: not known */
    const char *person;   /* who asked by hand; NULL: nobody did */
    const char *image;    /* that was asked for, with digest, however it stands in the object */
    const char *time;     /* when the change was made, milliseconds since 1970: deadlines begin here */
    const char *previous; /* digest that ran before; NULL: none, or not known */
    const char *previous_image;
    const char *good;   /* image that ran well last, before this one */
    const char *reason; /* why `image` was given up: what stands in the object then is `good`, where there is one */
    const char *bad;    /* digests that were given up, newest first, blanks between them */
    const char *parked; /* JSON: the request that waits for the end of a freeze */
    const char *told;   /* id of the event whose outcome the next hop has; NULL: of none */
    const char *cause;  /* kubernetes.io/change-cause: for `kubectl rollout history` */
};

/* A row for each. */
struct mark {
    const char *annotation;
    size_t offset;
};
extern const struct mark mark_table[];
extern const size_t mark_count;
const char **mark_in(struct marks *marks, const struct mark *mark);
const char *mark_of(const struct marks *marks, const struct mark *mark);

/* Copies in the arena. */
bool marks_read(struct arena *arena, const struct json *annotations, struct marks *out, struct error *err);

/* Milliseconds since such a time, 0 where a clock went back; -1: it is none. */
int64_t mark_age_ms(const char *time);

/* Has the list the digest; the list with it in front, or without it. NULL: no memory, or an empty list. */
bool bad_has(const char *bad, const char *digest);
const char *bad_with(struct arena *arena, const char *bad, const char *digest);
const char *bad_without(struct arena *arena, const char *bad, const char *digest);

#endif
