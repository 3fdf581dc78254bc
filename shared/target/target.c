#include "shared/target/target.h"

#include <string.h>

static const struct target_kind *const kinds[] = { &target_local, &target_kubernetes };

struct target {
    const struct target_kind *kind;
    void *self;
};

struct target *target_open(const struct config_target *where, const struct target_options *options, struct error *err)
{
    static const struct target_options defaults = { 0 };
    size_t i = 0;
    while (kinds[i]->cluster && strcmp(kinds[i]->cluster, where->cluster) != 0)
        i++;
    AUTO(target_close) struct target *target = calloc(1, sizeof *target);
    if (!target) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    target->kind = kinds[i];
    target->self = kinds[i]->open(where, options ? options : &defaults, err);
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

bool target_apply(struct target *target, struct arena *arena, const struct wish *wish, struct workload *now,
                  struct error *err)
{
    return target->kind->apply(target->self, arena, wish, now, err);
}

bool target_try(struct target *target, struct arena *arena, const struct wish *wish, struct target_trial *out,
                struct error *err)
{
    return target->kind->try ? target->kind->try(target->self, arena, wish, out, err)
                             : error_set(err, ERROR_UNSUPPORTED, "this cluster cannot tell what it would do");
}

bool target_wait(struct target *target, struct arena *arena, struct workload *now, int64_t timeout_ms,
                 struct error *err)
{
    return target->kind->wait(target->self, arena, now, timeout_ms, err);
}

bool target_note(struct target *target, struct arena *arena, const struct workload *now, const struct marks *more,
                 struct error *err)
{
    return target->kind->note(target->self, arena, now, more, err);
}

bool target_record(struct target *target, const struct workload *now, const struct target_record *record,
                   struct error *err)
{
    return !target->kind->record || target->kind->record(target->self, now, record, err);
}
