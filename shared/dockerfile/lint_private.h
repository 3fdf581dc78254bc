/* The rules and who is told of a hit: for lint.c, which goes through the file, and for what only an expansion sees. */
#ifndef PUSHWRIGHT_DOCKERFILE_LINT_PRIVATE_H
#define PUSHWRIGHT_DOCKERFILE_LINT_PRIVATE_H

#include "shared/dockerfile/check.h"
#include "shared/dockerfile/lint.h"

enum lint_rule {
    LINT_STAGE_NAME_CASING,
    LINT_FROM_AS_CASING,
    LINT_NO_EMPTY_CONTINUATION,
    LINT_CONSISTENT_INSTRUCTION_CASING,
    LINT_DUPLICATE_STAGE_NAME,
    LINT_RESERVED_STAGE_NAME,
    LINT_JSON_ARGS_RECOMMENDED,
    LINT_MAINTAINER_DEPRECATED,
    LINT_UNDEFINED_ARG_IN_FROM,
    LINT_WORKDIR_RELATIVE_PATH,
    LINT_UNDEFINED_VAR,
    LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED,
    LINT_LEGACY_KEY_VALUE_FORMAT,
    LINT_INVALID_BASE_IMAGE_PLATFORM,
    LINT_REDUNDANT_TARGET_PLATFORM,
    LINT_SECRETS_USED_IN_ARG_OR_ENV,
    LINT_INVALID_DEFAULT_ARG_IN_FROM,
    LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    LINT_COPY_IGNORED_FILE,
    LINT_INVALID_DEFINITION_DESCRIPTION,
    LINT_EXPOSE_PROTO_CASING,
    LINT_EXPOSE_INVALID_FORMAT,
    LINT_RULES
};

struct lint {
    struct arena *arena;
    struct check file;    /* what the file says */
    struct check current; /* and the comments above the instruction at hand */
    unsigned line, last_line;
    struct dockerfile_warning *warnings; /* room for DOCKERFILE_WARNINGS_MAX */
    size_t count;
    bool images_unknown; /* the stage at hand stands on an image that nobody told of */
    bool out_of_memory;
};

/* What the next reports are about; its comments count. */
void lint_at(struct lint *lint, const struct dockerfile_instruction *it);
/* The same without its comments. */
void lint_at_plainly(struct lint *lint, const struct dockerfile_instruction *it);

/* The message of the rule with its texts put in; NULL lint: nobody asks. */
void lint_report(struct lint *lint, enum lint_rule rule, const char *first, const char *second, const char *third);

/* Names that expanding one word looked for. */
struct lint_names {
    struct lint *lint;
    struct word_list set, unset;
};
void lint_note(struct lint_names *names, struct span name, bool is_set);

#endif
