/* The --mount flags of RUN: fields of a line of comma-separated values. */
#ifndef PUSHWRIGHT_DOCKERFILE_MOUNT_H
#define PUSHWRIGHT_DOCKERFILE_MOUNT_H

#include "shared/dockerfile/text.h"

/* A mount as its fields say it, without the defaults; texts that are not said are NULL. */
struct mount_fields {
    enum dockerfile_mount_type type;
    const char *from, *source, *target, *id, *env;
    const char *sharing; /* lower case */
    int64_t size;
    uint32_t uid, gid, mode;
    bool uid_set, gid_set, mode_set;
    bool readonly, required;
};

/* Replaces the variables of one value. */
struct mount_expander {
    bool (*expand)(void *context, const char *value, const char **out, struct error *err);
    void *context;
};

/* What can be told of mount->text before variables have values: its form, `from`, which may hold none, and how the target
 * is written. */
bool mount_check(struct arena *arena, struct dockerfile_mount *mount, struct error *err);

bool mount_parse(struct arena *arena, const char *text, const struct mount_expander *expander, struct mount_fields *out,
                 struct error *err);

/* The fields with the defaults put in and paths made absolute. `agents` counts the ssh mounts of the instruction. */
bool mount_finish(struct arena *arena, const struct mount_fields *fields, const char *workdir, unsigned *agents,
                  struct dockerfile_mount *out, struct error *err);

const char *mount_type_name(enum dockerfile_mount_type type);

#endif
