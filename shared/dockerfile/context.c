#include "shared/dockerfile/context.h"

#include "shared/dockerfile/imagename.h"
#include "shared/dockerfile/platform.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *prefix;
    enum named_context_kind kind;
    bool kept; /* the prefix is part of the value */
} kinds[] = {
    { "docker-image://", NAMED_CONTEXT_IMAGE, false }, { "oci-layout://", NAMED_CONTEXT_LAYOUT, false },
    { "target:", NAMED_CONTEXT_TARGET, false },        { "http://", NAMED_CONTEXT_DOWNLOAD, true },
    { "https://", NAMED_CONTEXT_DOWNLOAD, true },
};

/* "name" or "name::platform" */
static bool parse_name(struct arena *arena, const char *key, struct named_context *out, struct error *err)
{
    const char *colons = strstr(key, "::");
    const char *name = arena_dup(arena, (struct span){ key, colons ? (size_t)(colons - key) : strlen(key) });
    if (!name)
        return no_memory(err);
    if (!image_name_check(name, err))
        return error_wrap(err, "invalid context name %.300s", name);
    out->name = image_name_short(arena, name);
    out->platform = colons ? platform_parse(arena, colons + 2, colons + 2, err) : NULL;
    return out->name ? out->platform || !colons : no_memory(err);
}

bool named_context_parse(struct arena *arena, struct dockerfile_pair pair, struct named_context *out, struct error *err)
{
    struct named_context made = { .kind = NAMED_CONTEXT_DIRECTORY, .value = pair.value };
    struct error why = { 0 };
    bool is_git = false;
    if (!pair.value || !*pair.value)
        return error_set(err, ERROR_INVALID, "invalid context value: %.300s, expected key=value", pair.key);
    if (!parse_name(arena, pair.key, &made, err))
        return false;
    if (git_ref_parse(arena, pair.value, &made.git, &is_git, &why))
        made.kind = NAMED_CONTEXT_GIT;
    else if (is_git || why.kind != ERROR_INVALID)
        return error_set(err, why.kind, "context %s: %s", made.name, why.message);
    for (size_t i = 0; !is_git && i < sizeof kinds / sizeof *kinds; i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncasecmp(pair.value, kinds[i].prefix, length) != 0)
            continue;
        made.kind = kinds[i].kind;
        made.value = kinds[i].kept ? pair.value : pair.value + length;
        if (!*made.value)
            return error_set(err, ERROR_INVALID, "context %s: nothing stands behind %s", made.name, kinds[i].prefix);
        break;
    }
    *out = made;
    return true;
}
