/* Where images run: one small interface, one row a kind of cluster. To add a kind, copy target_local.c and add its row in target.c. */
#ifndef PUSHWRIGHT_TARGET_TARGET_H
#define PUSHWRIGHT_TARGET_TARGET_H

#include "shared/config/config.h"
#include "shared/target/workload.h"

struct target; /* one thread at a time */

struct target_options {
    bool (*cancelled)(void *context); /* ends waiting; NULL: never */
    void *context;
    const char *kubeconfig, *kubeconfig_context; /* a person's own, instead of the configuration's; NULL: that */
};

/* Borrows all of it. options NULL: defaults. ERROR_INVALID, ERROR_NOT_FOUND, ERROR_DENIED: the cluster's credentials are not usable. */
struct target *target_open(const struct config_target *where, const struct target_options *options, struct error *err);
void target_close(struct target *target);
AUTO_FREE(struct target, target_close)

/* ERROR_CONFLICT: the cluster makes no workloads, and there is none of that name (yet). */
bool target_read(struct target *target, struct arena *arena, struct workload *out, struct error *err);

struct wish {
    const char *image;  /* with digest where it has one; NULL: what stands there stays, only the marks change */
    struct marks marks; /* all of them: what is NULL is removed */
};

/* Ask for the image, guarded by `now`, which is what was read or waited for last; then *now is what there is after it. ERROR_CONFLICT: it changed
 * meanwhile, read again. ERROR_UNCERTAIN: read again, too. ERROR_INVALID: the cluster does not take this image, and never will. */
bool target_apply(struct target *target, struct arena *arena, const struct wish *wish, struct workload *now,
                  struct error *err);

/* The change that would be made, admitted by the cluster but not made. Trees live until the target's next call. ERROR_UNSUPPORTED: the cluster
 * cannot tell. */
struct target_trial {
    const char *kind;  /* "strategic merge patch", "JSON patch" */
    const char *patch; /* its text */
    const struct json *before, *after;
};
bool target_try(struct target *target, struct arena *arena, const struct wish *wish, struct target_trial *out,
                struct error *err);

/* Wait until what *now was asked for runs or failed, or something else is asked for, at most timeout_ms; then as target_read. */
bool target_wait(struct target *target, struct arena *arena, struct workload *now, int64_t timeout_ms,
                 struct error *err);

/* Add these marks ("" removes one) where the workload is still what *now was asked for. ERROR_CONFLICT: something else is wanted by now. */
bool target_note(struct target *target, struct arena *arena, const struct workload *now, const struct marks *more,
                 struct error *err);

/* Leave a sentence where people of that cluster look (a Kubernetes Event); once for the same marks.event and reason. */
struct target_record {
    const char *reason; /* "Deployed", in CamelCase */
    bool warning;
    const char *text;
};
bool target_record(struct target *target, const struct workload *now, const struct target_record *record,
                   struct error *err);

/* A kind of cluster. */
struct target_kind {
    const char *cluster; /* NULL: every other */
    void *(*open)(const struct config_target *where, const struct target_options *options, struct error *err);
    void (*close)(void *self);
    bool (*read)(void *self, struct arena *arena, struct workload *out, struct error *err);
    bool (*apply)(void *self, struct arena *arena, const struct wish *wish, struct workload *now, struct error *err);
    bool (*try)(void *self, struct arena *arena, const struct wish *wish, struct target_trial *out, struct error *err);
    bool (*wait)(void *self, struct arena *arena, struct workload *now, int64_t timeout_ms, struct error *err);
    bool (*note)(void *self, struct arena *arena, const struct workload *now, const struct marks *more,
                 struct error *err);
    bool (*record)(void *self, const struct workload *now, const struct target_record *record,
                   struct error *err); /* NULL: nobody looks */
};

extern const struct target_kind target_local, target_kubernetes;

#endif
