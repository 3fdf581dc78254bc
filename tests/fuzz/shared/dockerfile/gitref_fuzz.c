/* Git sources, alone and as named contexts; what is understood stays inside. */
#include "shared/dockerfile/context.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct git_ref ref;
    bool is_git = false;
    AUTO(arena_free) struct arena *arena = arena_new(16 << 20);
    const char *text = arena ? arena_dup(arena, (struct span){ (const char *)data, size }) : NULL;
    struct named_context context;
    if (text)
        named_context_parse(arena, (struct dockerfile_pair){ text, text }, &context, &err);
    if (!text || !git_ref_parse(arena, text, &ref, &is_git, &err))
        return 0;
    if (!is_git || *ref.directory == '/' || !strncmp(ref.directory, "..", 3) || !strncmp(ref.directory, "../", 3))
        __builtin_trap();
    return 0;
}
