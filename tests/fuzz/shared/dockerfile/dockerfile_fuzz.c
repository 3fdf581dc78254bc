/* A whole build's worth of parsing: the file, its plan, every instruction expanded and described, the linter. */
#include "shared/dockerfile/lint.h"
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

static bool find_image(void *context, const char *image, const char *platform, struct dockerfile_image *out,
                       struct error *err)
{
    static const char *const env[] = { "PATH=/bin", "FOO=foobarbaz" }, *const onbuild[] = { "RUN x",
                                                                                            "COPY --from=a b c",
                                                                                            "ENV A=$FOO" };
    (void)context;
    (void)err;
    *out = (struct dockerfile_image){ .base = { .env = { env, 2 }, .workdir = platform },
                                      .onbuild = { onbuild, image[0] == 'o' ? 3 : 0 },
                                      .platform = "linux/arm/v7" };
    return true;
}

static void run_lint(const struct dockerfile *dockerfile, struct span text)
{
    static const struct dockerfile_pair args[] = { { "A", "b c" }, { "SOURCE_DATE_EPOCH", "a" } };
    struct error err = { 0 };
    AUTO(ignore_free) struct ignore *ignore = ignore_parse(SPAN("a*\nb/**\n"), &err);
    AUTO(arena_free) struct arena *arena = arena_new(DOCKERFILE_MEMORY_MAX);
    const struct dockerfile_lint_options options = {
        .build = { .args = { args, text.len % 3 }, .all_stages = text.len % 2 },
        .ignore = ignore,
        .find = find_image,
    };
    struct dockerfile_warnings warnings;
    if (arena)
        dockerfile_lint(dockerfile, &options, arena, &warnings, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    const struct dockerfile_options options = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse((struct span){ (const char *)data, size }, &err);
    if (!dockerfile)
        return 0;
    run_lint(dockerfile, (struct span){ (const char *)data, size });
    AUTO(dockerfile_scope_free) struct dockerfile_scope *global = dockerfile_scope_global(dockerfile, &options, &err);
    if (!global)
        return 0;
    dockerfile_plan_free(dockerfile_plan_new(dockerfile, global, &options, &err));
    for (size_t i = 0; i < dockerfile->stage_count; i++)
        run_stage(global, &dockerfile->stages[i]);
    return 0;
}
