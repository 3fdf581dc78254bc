#include "shared/dockerfile/lint_private.h"

#include <string.h>

enum { NAMES_MAX = 100 }; /* of one word */

static const struct {
    const char *name;
    const char *format; /* %1, %2, %3: the texts; %q1 and so on: quoted as Go does */
    bool experimental;
} rules[] = {
    [LINT_STAGE_NAME_CASING] = { "StageNameCasing", "Stage name '%1' should be lowercase", false },
    [LINT_FROM_AS_CASING] = { "FromAsCasing", "'%2' and '%1' keywords' casing do not match", false },
    [LINT_NO_EMPTY_CONTINUATION] = { "NoEmptyContinuation", "Empty continuation line", false },
    [LINT_CONSISTENT_INSTRUCTION_CASING] = { "ConsistentInstructionCasing",
                                             "Command '%1' should match the case of the command majority (%2)", false },
    [LINT_DUPLICATE_STAGE_NAME] = { "DuplicateStageName", "Duplicate stage name %q1, stage names should be unique",
                                    false },
    [LINT_RESERVED_STAGE_NAME] = { "ReservedStageName", "Stage name should not use the same name as reserved stage %q1",
                                   false },
    [LINT_JSON_ARGS_RECOMMENDED] = { "JSONArgsRecommended",
                                     "JSON arguments recommended for %1 to prevent unintended behavior related to OS "
                                     "signals",
                                     false },
    [LINT_MAINTAINER_DEPRECATED] = { "MaintainerDeprecated",
                                     "Maintainer instruction is deprecated in favor of using label", false },
    [LINT_UNDEFINED_ARG_IN_FROM] = { "UndefinedArgInFrom", "FROM argument '%1' is not declared%2", false },
    [LINT_WORKDIR_RELATIVE_PATH] = { "WorkdirRelativePath",
                                     "Relative workdir %q1 can have unexpected results if the base image changes",
                                     false },
    [LINT_UNDEFINED_VAR] = { "UndefinedVar", "Usage of undefined variable '$%1'%2", false },
    [LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED] = { "MultipleInstructionsDisallowed",
                                                "Multiple %1 instructions should not be used in the same stage because "
                                                "only the last one will be used",
                                                false },
    [LINT_LEGACY_KEY_VALUE_FORMAT] = { "LegacyKeyValueFormat",
                                       "\"%1 key=value\" should be used instead of legacy \"%1 key value\" format",
                                       false },
    [LINT_INVALID_BASE_IMAGE_PLATFORM] = { "InvalidBaseImagePlatform",
                                           "Base image %1 was pulled with platform %q3, expected %q2 for current build",
                                           false },
    [LINT_REDUNDANT_TARGET_PLATFORM] = { "RedundantTargetPlatform",
                                         "Setting platform to predefined %1 in FROM is redundant as this is the "
                                         "default "
                                         "behavior",
                                         false },
    [LINT_SECRETS_USED_IN_ARG_OR_ENV] = { "SecretsUsedInArgOrEnv",
                                          "Do not use ARG or ENV instructions for sensitive data (%1 %q2)", false },
    [LINT_INVALID_DEFAULT_ARG_IN_FROM] = { "InvalidDefaultArgInFrom",
                                           "Default value for ARG %1 results in empty or invalid base image name",
                                           false },
    [LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED] = { "FromPlatformFlagConstDisallowed",
                                                   "FROM --platform flag should not use constant value %q1", false },
    [LINT_COPY_IGNORED_FILE] = { "CopyIgnoredFile", "Attempting to %1 file %q2 that is excluded by .dockerignore",
                                 false },
    [LINT_INVALID_DEFINITION_DESCRIPTION] = { "InvalidDefinitionDescription",
                                              "Comment for %1 should follow the format: `# %2 <description>`", true },
    [LINT_EXPOSE_PROTO_CASING] = { "ExposeProtoCasing",
                                   "Defined protocol '%1' in EXPOSE instruction should be lowercase", false },
    [LINT_EXPOSE_INVALID_FORMAT] = { "ExposeInvalidFormat",
                                     "EXPOSE instruction should not define an IP address or host-port mapping, found "
                                     "'%1'",
                                     false },
};
_Static_assert(sizeof rules / sizeof *rules == LINT_RULES, "a row for each rule");

void lint_at_plainly(struct lint *lint, const struct dockerfile_instruction *it)
{
    lint->current = lint->file;
    lint->line = it->line;
    lint->last_line = it->last_line;
}

void lint_at(struct lint *lint, const struct dockerfile_instruction *it)
{
    struct error ignored = { 0 };
    lint_at_plainly(lint, it);
    lint->out_of_memory = !check_merge(lint->arena, it->comments, &lint->current, &ignored) || lint->out_of_memory;
}

static bool append_message(struct bytes *out, const char *format, const char *const *texts, struct error *err)
{
    for (const char *p = format; *p; p++) {
        bool quoted = *p == '%' && p[1] == 'q';
        const char *text = *p == '%' ? texts[p[1 + quoted] - '1'] : NULL;
        if (!text) {
            if (!bytes_append_char(out, *p, err))
                return false;
            continue;
        }
        if (!(quoted ? quote_append(out, span_of(text), err) : bytes_append_text(out, text, err)))
            return false;
        p += 1 + quoted;
    }
    return true;
}

void lint_report(struct lint *lint, enum lint_rule rule, const char *first, const char *second, const char *third)
{
    if (!lint || lint->count == DOCKERFILE_WARNINGS_MAX ||
        !check_wants(&lint->current, rules[rule].name, rules[rule].experimental))
        return;
    AUTO(bytes_release) struct bytes text = BYTES(DOCKERFILE_WORD_MAX);
    const char *const texts[] = { first, second, third };
    struct error ignored = { 0 };
    bool ok = append_message(&text, rules[rule].format, texts, &ignored);
    const char *message = ok ? arena_dup(lint->arena, bytes_span(&text)) : NULL;
    if (!message) {
        lint->out_of_memory = true;
        return;
    }
    lint->warnings[lint->count++] = (struct dockerfile_warning){
        .rule = rules[rule].name, .message = message, .line = lint->line, .last_line = lint->last_line
    };
}

void lint_note(struct lint_names *names, struct span name, bool is_set)
{
    struct word_list *list = is_set ? &names->set : &names->unset;
    struct error ignored = { 0 };
    if (list->count == NAMES_MAX || names->lint->count == DOCKERFILE_WARNINGS_MAX)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (span_is(name, list->items[i]))
            return;
    names->lint->out_of_memory = !word_add(names->lint->arena, list, arena_dup(names->lint->arena, name), &ignored) ||
                                 names->lint->out_of_memory;
}
