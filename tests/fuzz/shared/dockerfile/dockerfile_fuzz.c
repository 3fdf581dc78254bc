/* A whole build's worth of parsing: the file, its plan, every instruction expanded and described. */
#include "shared/dockerfile/plan.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool run_instruction(struct dockerfile_scope *scope, const struct dockerfile_instruction *it,
                            struct arena *arena)
{
    struct error err = { 0 };
    struct dockerfile_instruction expanded;
    AUTO(bytes_release) struct bytes history = BYTES(4 << 20);
    if (!dockerfile_expand(scope, it, arena, &expanded, &err) ||
        !dockerfile_created_by(scope, &expanded, &history, &err))
        return false;
    if ((it->op == DOCKERFILE_COPY || it->op == DOCKERFILE_ADD) && expanded.copy.chmod)
        dockerfile_chmod_apply(expanded.copy.chmod, 0644, false);
    if (it->op == DOCKERFILE_ONBUILD)
        dockerfile_parse_trigger(arena, expanded.value, &expanded, &err);
    return true;
}

static void run_stage(const struct dockerfile_scope *global, const struct dockerfile_stage *stage)
{
    static const char *const env[] = { "PATH=/bin", "FOO=foobarbaz", "EMPTY=" };
    const struct dockerfile_base base = { .env = { env, 3 } };
    struct error err = { 0 };
    AUTO(arena_free) struct arena *arena = arena_new(DOCKERFILE_MEMORY_MAX);
    AUTO(dockerfile_scope_free) struct dockerfile_scope *scope = dockerfile_scope_on_image(global, &base, &err);
    for (size_t i = 0; scope && i < stage->count; i++)
        run_instruction(scope, &stage->instructions[i], arena);
    if (scope)
        dockerfile_scope_free(dockerfile_scope_on_stage(scope, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    const struct dockerfile_options options = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse((struct span){ (const char *)data, size }, &err);
    if (!dockerfile)
        return 0;
    AUTO(dockerfile_scope_free) struct dockerfile_scope *global = dockerfile_scope_global(dockerfile, &options, &err);
    if (!global)
        return 0;
    dockerfile_plan_free(dockerfile_plan_new(dockerfile, global, &options, &err));
    for (size_t i = 0; i < dockerfile->stage_count; i++)
        run_stage(global, &dockerfile->stages[i]);
    return 0;
}
