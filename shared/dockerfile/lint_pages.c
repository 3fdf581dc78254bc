#include "shared/dockerfile/lint.h"

#include <string.h>

#define PAGE(name) "https://docs.docker.com/go/dockerfile/rule/" name "/"

static const struct dockerfile_rule rules[] = {
    { "StageNameCasing", "Stage names should be lowercase", PAGE("stage-name-casing") },
    { "FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword", PAGE("from-as-casing") },
    { "NoEmptyContinuation", "Empty continuation lines will become errors in a future release",
      PAGE("no-empty-continuation") },
    { "ConsistentInstructionCasing",
      "All commands within the Dockerfile should use the same casing (either "
      "upper or lower)",
      PAGE("consistent-instruction-casing") },
    { "DuplicateStageName", "Stage names should be unique", PAGE("duplicate-stage-name") },
    { "ReservedStageName", "Reserved words should not be used as stage names", PAGE("reserved-stage-name") },
    { "JSONArgsRecommended",
      "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior "
      "related to OS signals",
      PAGE("json-args-recommended") },
    { "MaintainerDeprecated",
      "The MAINTAINER instruction is deprecated, use a label instead to define an image "
      "author",
      PAGE("maintainer-deprecated") },
    { "UndefinedArgInFrom", "FROM command must use declared ARGs", PAGE("undefined-arg-in-from") },
    { "WorkdirRelativePath",
      "Relative workdir without an absolute workdir declared within the build can have "
      "unexpected results if the base image changes",
      PAGE("workdir-relative-path") },
    { "UndefinedVar", "Variables should be defined before their use", PAGE("undefined-var") },
    { "MultipleInstructionsDisallowed",
      "Multiple instructions of the same type should not be used in the same "
      "stage",
      PAGE("multiple-instructions-disallowed") },
    { "LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used",
      PAGE("legacy-key-value-format") },
    { "InvalidBaseImagePlatform", "Base image platform does not match expected target platform", "" },
    { "RedundantTargetPlatform",
      "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this "
      "is the default behavior",
      PAGE("redundant-target-platform") },
    { "SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands",
      PAGE("secrets-used-in-arg-or-env") },
    { "InvalidDefaultArgInFrom",
      "Default value for global ARG results in an empty or invalid base image "
      "name",
      PAGE("invalid-default-arg-in-from") },
    { "FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value",
      PAGE("from-platform-flag-const-disallowed") },
    { "CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore", PAGE("copy-ignored-file") },
    { "InvalidDefinitionDescription",
      "Comment for build stage or argument should follow the format: `# "
      "<arg/stage name> <description>`. If this is not intended to be a "
      "description comment, add an empty line or comment between the "
      "instruction and the comment.",
      PAGE("invalid-definition-description") },
    { "ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase", PAGE("expose-proto-casing") },
    { "ExposeInvalidFormat",
      "IP address and host-port mapping should not be used in EXPOSE instruction. This "
      "will become an error in a future release",
      PAGE("expose-invalid-format") },
};

const struct dockerfile_rule *dockerfile_rule_find(const char *name)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    }
    return NULL;
}
