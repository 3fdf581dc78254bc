/* What listeners are told of a stage, in BuildKit's words: its base, and each instruction that looks at files, is a step. */
#include "shared/builder/stage.h"

#include <string.h>

enum { NAME_MAX_BYTES = 4096 };

static bool is_step(const struct dockerfile_instruction *instruction)
{
    return instruction->op == DOCKERFILE_ADD || instruction->op == DOCKERFILE_COPY ||
           instruction->op == DOCKERFILE_RUN || instruction->op == DOCKERFILE_WORKDIR;
}

static unsigned count_steps(const struct dockerfile_instruction *instructions, size_t count)
{
    unsigned steps = 0;

    for (size_t i = 0; i < count; i++)
        steps += is_step(&instructions[i]);
    return steps;
}

/* "linux/arm64 build ": what of it is not plain. */
static const char *stage_label(const struct stage *stage)
{
    const struct build *build = stage->build;
    const char *name = build->dockerfile->stages[stage->index].from.written_name;
    char number[32];

    snprintf(number, sizeof(number), "stage-%zu", stage->index);
    return arena_printf(build->arena, "%s%s%s%s", build->options->name_platform ? build->platform : "",
                        build->options->name_platform ? " " : "",
                        build->stage_count < 2 ? ""
                        : name && *name        ? name
                                               : number,
                        build->stage_count < 2 ? "" : " ");
}

static void begin(struct stage *stage, const char *word, const char *rest)
{
    const char *label = stage_label(stage);
    unsigned total = stage->step_total;
    int width = total > 99 ? 3 : total > 9 ? 2 : 1;
    const char *name = arena_printf(stage->build->arena, "[%s%*u/%u] %s%.*s", label ? label : "", width,
                                    ++stage->step_count, total, word, NAME_MAX_BYTES, rest);

    progress_begin(stage->build->options->progress, &stage->step, name ? name : word);
}

void stage_step_base(struct stage *stage)
{
    const struct dockerfile_plan_stage *plan = dockerfile_plan_stage(stage->build->plan, stage->index);
    const struct dockerfile_stage *parsed = &stage->build->dockerfile->stages[stage->index];

    stage->step_total = (stage->base != NULL) + count_steps(plan->triggers, plan->trigger_count) +
                        count_steps(parsed->instructions, parsed->count);
    if (stage->base)
        begin(stage, "FROM ", stage->base->name);
}

void stage_step_begin(struct stage *stage, const struct dockerfile_instruction *parsed)
{
    const char *rest = parsed->text ? parsed->text + strcspn(parsed->text, " \t") : "";

    if (is_step(parsed))
        begin(stage, dockerfile_op_name(parsed->op), rest);
}
