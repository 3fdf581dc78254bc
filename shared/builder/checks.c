#include "shared/builder/checks.h"

#include <string.h>

static const char *platform_of(struct build *build, const struct base *base)
{
    const char *os = json_get_string(base->config, "os"), *machine = json_get_string(base->config, "architecture");
    const char *variant = json_get_string(base->config, "variant");

    return os && machine
               ? arena_printf(build->arena, "%s/%s%s%s", os, machine, variant ? "/" : "", variant ? variant : "")
               : NULL;
}

/* Of an image that no stage stands on nothing is told. */
static bool find_image(void *context, const char *image, const char *platform, struct dockerfile_image *out,
                       struct error *err)
{
    struct build *build = context;

    for (size_t i = 0; i < build->stage_count; i++) {
        const struct stage *stage = &build->stages[i];

        if (!stage->base || strcmp(stage->base->name, image) != 0 ||
            strcmp(stage->base->platform, platform ? platform : build->platform) != 0)
            continue;
        out->platform = platform_of(build, stage->base);
        out->base.workdir = imageconfig_text(stage->config, "WorkingDir");
        return imageconfig_words(stage->config, "Env", &out->base.env, err) &&
               imageconfig_words(stage->config, "Shell", &out->base.shell, err) &&
               imageconfig_words(stage->config, "OnBuild", &out->onbuild, err);
    }
    return true;
}

bool checks_run(struct build *build, const struct dockerfile_options *options, struct arena *arena,
                struct dockerfile_warnings *out, struct error *err)
{
    const struct dockerfile_lint_options lint = {
        .build = *options, .ignore = build->context->ignore, .find = find_image, .context = build
    };
    struct error failed = { 0 };

    if (dockerfile_lint(build->dockerfile, &lint, arena, out, &failed) || !out->refused)
        return true;
    *err = failed;
    return false;
}
