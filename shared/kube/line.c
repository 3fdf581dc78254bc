#include "shared/kube/line.h"

#include <string.h>

static const char *const kinds[] = {
    [KUBE_LINE_ADDED] = "ADDED",       [KUBE_LINE_MODIFIED] = "MODIFIED", [KUBE_LINE_DELETED] = "DELETED",
    [KUBE_LINE_BOOKMARK] = "BOOKMARK", [KUBE_LINE_ERROR] = "ERROR",
};

static bool find_kind(const char *type, enum kube_line_kind *out)
{
    for (size_t i = 0; type && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i], type) == 0) {
            *out = (enum kube_line_kind)i;
            return true;
        }
    return false;
}

bool kube_line_read(struct arena *arena, struct span text, struct kube_line *out, struct error *err)
{
    int64_t code = 0;
    char *kept = arena_dup(arena, text); /* strings of the tree point into it */
    const struct json *root = kept ? json_parse(arena, (struct span){ kept, text.len }, err) : NULL;
    *out = (struct kube_line){ 0 };
    if (!kept)
        return arena_no_room(arena, "a change", err);
    if (!root)
        return err->kind == ERROR_INVALID ? error_set(err, ERROR_UNAVAILABLE, "a watch with a line that is no JSON")
                                          : false;
    out->object = json_get(root, "object");
    if (!find_kind(json_get_string(root, "type"), &out->kind) || !out->object || json_type(out->object) != JSON_OBJECT)
        return error_set(err, ERROR_UNAVAILABLE, "a watch with a line that is no change");
    if (out->kind == KUBE_LINE_ERROR) {
        out->code = json_integer(json_get(out->object, "code"), &code) && code >= 400 && code <= 599 ? (int)code : 500;
        return true;
    }
    out->resource_version = json_get_string(json_get(out->object, "metadata"), "resourceVersion");
    return out->resource_version ||
           error_set(err, ERROR_UNAVAILABLE, "a watch with an object that has no resourceVersion");
}
