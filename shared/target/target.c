#include "shared/target/target.h"

#include <string.h>

static const struct target_kind *const kinds[] = { &target_local };

struct target {
    const struct target_kind *kind;
    void *self;
};

struct target *target_open(const struct config_target *where, struct error *err)
{
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i]->cluster, where->cluster) != 0)
        i++;
    if (i == sizeof kinds / sizeof kinds[0]) {
        error_set(err, ERROR_INVALID, "cluster '%s' is not known", where->cluster);
        return NULL;
    }
    AUTO(target_close) struct target *target = calloc(1, sizeof *target);
    if (!target) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    target->kind = kinds[i];
    target->self = kinds[i]->open(where, err);
    return target->self ? TAKE(target) : NULL;
}

void target_close(struct target *target)
{
    if (!target)
        return;
    if (target->self)
        target->kind->close(target->self);
    free(target);
}

bool target_read(struct target *target, struct arena *arena, struct workload *out, struct error *err)
{
    return target->kind->read(target->self, arena, out, err);
}

bool target_apply(struct target *target, const struct wish *wish, int64_t guard, int64_t *generation, struct error *err)
{
    return target->kind->apply(target->self, wish, guard, generation, err);
}

bool target_wait(struct target *target, struct arena *arena, int64_t generation, int64_t timeout_ms,
                 struct workload *out, struct error *err)
{
    return target->kind->wait(target->self, arena, generation, timeout_ms, out, err);
}

bool target_note_told(struct target *target, int64_t generation, const char *event, struct error *err)
{
    return target->kind->note_told(target->self, generation, event, err);
}
