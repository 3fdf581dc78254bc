/* Where images run: one small interface, one row a kind of cluster. To add a kind, copy target_local.c and add its row in target.c. */
#ifndef PUSHWRIGHT_TARGET_TARGET_H
#define PUSHWRIGHT_TARGET_TARGET_H

#include "shared/base/arena.h"
#include "shared/base/error.h"
#include "shared/config/config.h"

/* What we leave on a workload, so that the next delivery knows without remembering: pushwright.dev/NAME. */
struct marks {
    const char *event;    /* id of the event that asked; tells a redelivery from a new request */
    const char *source;   /* and its source */
    const char *chain;    /* and its chain */
    const char *rule;     /* "TRIGGER INDEX", whose target this is */
    const char *sequence; /* of the push, or of the event for what was uploaded by hand */
    const char *commit;   /* NULL: not known */
    const char *previous; /* digest that ran before; NULL: none */
    const char *previous_image;
    const char *told; /* id of the event whose outcome the next hop has; NULL: of none */
};

enum rollout { ROLLOUT_NONE, ROLLOUT_RUNNING, ROLLOUT_STARTING, ROLLOUT_FAILED };

/* Strings live in the arena of the call; NULL where there is none. */
struct workload {
    enum rollout rollout; /* ROLLOUT_NONE: there is no such workload yet */
    int64_t generation;   /* guards the next change */
    const char *image;    /* that is wanted, with digest; NULL: the cluster does not keep it as it was written */
    const char *digest;
    const char *running_digest, *running_image;
    const char *reason; /* of a failure */
    const char *url;
    struct marks marks;
};

struct wish {
    const char *image; /* with digest */
    struct marks marks;
};

struct target; /* one thread at a time */

/* ERROR_INVALID: a cluster that this version does not know. */
struct target *target_open(const struct config_target *where, struct error *err);
void target_close(struct target *target);
AUTO_FREE(struct target, target_close)

bool target_read(struct target *target, struct arena *arena, struct workload *out, struct error *err);

/* Ask for the image, guarded by the generation that was read. ERROR_CONFLICT: it changed meanwhile, read again. *generation is
 * the new one. */
bool target_apply(struct target *target, const struct wish *wish, int64_t guard, int64_t *generation,
                  struct error *err);

/* Wait until that generation runs or failed, or another one is wanted, at most timeout_ms; then as target_read. */
bool target_wait(struct target *target, struct arena *arena, int64_t generation, int64_t timeout_ms,
                 struct workload *out, struct error *err);

/* Leave marks.told on that generation, which does not change it. ERROR_CONFLICT: another one is wanted by now. */
bool target_note_told(struct target *target, int64_t generation, const char *event, struct error *err);

/* A kind of cluster. */
struct target_kind {
    const char *cluster;
    void *(*open)(const struct config_target *where, struct error *err);
    void (*close)(void *self);
    bool (*read)(void *self, struct arena *arena, struct workload *out, struct error *err);
    bool (*apply)(void *self, const struct wish *wish, int64_t guard, int64_t *generation, struct error *err);
    bool (*wait)(void *self, struct arena *arena, int64_t generation, int64_t timeout_ms, struct workload *out,
                 struct error *err);
    bool (*note_told)(void *self, int64_t generation, const char *event, struct error *err);
};

extern const struct target_kind target_local;

#endif
