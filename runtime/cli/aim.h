/* What a person means to do at the targets of a trigger, and how they are reached from here: those of the local chain by the socket of a running
 * `pushwright up`, those of Kubernetes by the configuration's clusters, or, where that says in-cluster, by the person's own kubeconfig. For
 * `plan`, `deploy` and `rollback`. */
#ifndef PUSHWRIGHT_RUNTIME_CLI_AIM_H
#define PUSHWRIGHT_RUNTIME_CLI_AIM_H

#include "runtime/cli/options.h"
#include "shared/target/wish.h"

/* What the command line says; texts are its own. */
struct aim {
    const char *config, *trigger, *image;
    const char *target;  /* one alone: its number in the trigger, or its workload's name; NULL: all */
    const char *state;   /* directory of the local chain */
    const char *context; /* of the person's kubeconfig; NULL: its current one */
    const char *person;  /* NULL: who runs this */
    const char *to;      /* a digest */
    bool wait;
};

#define AIM_HELP                                                                                                       \
    "  --target N       one target alone: its number in the trigger, from 0, or the name of its workload\n"            \
    "  --context NAME   of your kubeconfig ($KUBECONFIG or ~/.kube/config), for targets of cluster in-cluster\n"       \
    "  --state DIR      of the local chain, for targets of cluster local (default: .pushwright)\n"

/* Rows of a command's table of options. */
#define AIM_OPTIONS(aim)                                                                                               \
    OPTION("--target", &(aim)->target), OPTION("--context", &(aim)->context), OPTION("--state", &(aim)->state)

/* What its names stand for. */
struct aimed {
    const struct config *config;
    const struct config_trigger *trigger; /* NULL: none was named */
    struct arena *arena;
};
typedef bool aim_act_fn(void *context, const struct aimed *at, struct error *err);
/* The exit code: of what is wrong with the configuration, or of what is done there. */
int aim_act(const struct command *command, const struct aim *aim, aim_act_fn *act, void *context);

/* An image, as it goes into service: resolved at its registry. Texts live in the arena. */
struct aim_image {
    const char *name;  /* without tag and digest */
    const char *image; /* "name:tag@digest", "name@digest" */
    const char *tag;   /* NULL: was not named */
    char digest[DIGEST_TEXT_SIZE];
};
/* `text` is "name:tag", "name@digest", or one of them without the name, which is `name` (may be NULL) then. */
bool aim_resolve(struct arena *arena, const struct config *config, const char *name, const char *text,
                 struct aim_image *out, struct error *err);
/* Is it an image for all targets of the trigger, and signed where that is wanted? ERROR_INVALID: why not. */
bool aim_examine(const struct config *config, const struct config_trigger *trigger, const struct aim_image *image,
                 struct error *err);

/* Does it run there, or come up? */
bool aim_is_there(const struct aim_image *image, const struct workload *now);

bool aim_wants(const struct aim *aim, const struct config_trigger *trigger, size_t index);
const char *aim_subject(struct arena *arena, const struct config_target *where); /* "cluster/namespace/workload" */
struct target *aim_open(const struct aim *aim, const struct config_target *where, struct error *err);

/* Who asks, with an event's id of its own: what becomes of it is told by deploy, when the timer comes. NULL texts: no memory. */
struct asked aim_asked(const struct aim *aim, struct arena *arena, const struct config_trigger *trigger, size_t index,
                       const char *image);

/* Waits until what *now was asked for runs, or, where it was given up, what ran before is `back`; what does not come up is given up. False: it
 * is not so, and why. */
bool aim_wait(struct target *target, struct arena *arena, const char *subject, bool back, struct workload *now,
              struct error *err);
/* After a conflict: read again, a few times. */
bool aim_again(struct target *target, struct arena *arena, int attempt, struct workload *now, struct error *err);

/* Let the local chain tell at once what was done at a target of its own, when it has come up within a moment; else its timer does. */
void aim_tell_chain(const struct aim *aim, const struct config_target *where, struct target *target,
                    struct arena *arena, struct workload *now);

#endif
