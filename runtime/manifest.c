#include "runtime/manifest.h"

#include "runtime/event.h"
#include "shared/base/json.h"

#include <stdint.h>
#include <string.h>

enum {
    MANIFEST_MEMORY_MAX = 256 * 1024,
    CONCURRENCY_DEFAULT = 4,
    CONCURRENCY_MAX = 1000,
    TIMEOUT_DEFAULT_S = 60,
    TIMEOUT_MAX_S = 24 * 3600,
    BODY_LIMIT = 256 * 1024 * 1024,
    MEMORY_BODIES = 4,
    MEMORY_LIMIT = 1024 * 1024 * 1024,
};

static bool read_list(const struct manifest *manifest, const struct json *root, const char *key,
                      struct manifest_list *list, struct error *err)
{
    const struct json *array = json_get(root, key);
    if (!array)
        return true;
    if (json_type(array) != JSON_ARRAY)
        return error_set(err, ERROR_INVALID, "'%s' must be an array", key);
    list->items = arena_take(manifest->arena, (json_count(array) + 1) * sizeof *list->items);
    if (!list->items)
        return arena_no_room(manifest->arena, key, err);
    for (const struct json *item = json_first(array); item; item = json_next(item)) {
        const char *text = json_string(item);
        if (!text || !*text)
            return error_set(err, ERROR_INVALID, "'%s' must hold texts", key);
        list->items[list->count++] = text;
    }
    return true;
}

static bool read_number(const struct json *root, const char *key, int64_t fallback, int64_t max, int64_t *out,
                        struct error *err)
{
    const struct json *value = json_get(root, key);
    *out = fallback;
    if (!value)
        return true;
    if (!json_integer(value, out) || *out < 1 || *out > max)
        return error_set(err, ERROR_INVALID, "'%s' must be a whole number from 1 to %lld", key, (long long)max);
    return true;
}

static bool read_numbers(struct manifest *manifest, const struct json *root, struct error *err)
{
    int64_t concurrency, timeout_s, body_max, memory_max;
    if (!read_number(root, "concurrency", CONCURRENCY_DEFAULT, CONCURRENCY_MAX, &concurrency, err) ||
        !read_number(root, "timeoutSeconds", TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S, &timeout_s, err) ||
        !read_number(root, "bodyBytes", EVENT_MAX, BODY_LIMIT, &body_max, err) ||
        !read_number(root, "memoryBytes", MEMORY_BODIES * body_max, MEMORY_LIMIT, &memory_max, err))
        return false;
    if (memory_max < body_max)
        return error_set(err, ERROR_INVALID, "'memoryBytes' must hold one body of 'bodyBytes' at least");
    manifest->concurrency = (unsigned)concurrency;
    manifest->timeout_s = (long)timeout_s;
    manifest->body_max = (size_t)body_max;
    manifest->memory_max = (size_t)memory_max;
    return true;
}

static bool read_names(struct manifest *manifest, const struct json *root, struct error *err)
{
    manifest->name = json_get_string(root, "name");
    if (!manifest->name || !*manifest->name ||
        manifest->name[strspn(manifest->name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
        return error_set(err, ERROR_INVALID, "'name' must be lower-case letters, digits and hyphens");
    manifest->summary = json_get_string(root, "summary");
    if (!manifest->summary)
        manifest->summary = "";
    const struct json *serves = json_get(root, "serves");
    if (serves && (!json_string(serves) || strcmp(json_string(serves), "http") != 0))
        return error_set(err, ERROR_INVALID, "'serves' can only be \"http\"");
    manifest->serves_http = serves != NULL;
    manifest->is_blocking = json_boolean(json_get(root, "blocking"), true);
    manifest->is_signed = json_boolean(json_get(root, "signed"), false);
    return true;
}

static bool fill(struct manifest *manifest, const char *text, struct error *err)
{
    const struct json *root = json_parse(manifest->arena, span_of(text), err);
    if (!root)
        return false;
    if (json_type(root) != JSON_OBJECT)
        return error_set(err, ERROR_INVALID, "must be an object");
    return read_names(manifest, root, err) && read_numbers(manifest, root, err) &&
           read_list(manifest, root, "in", &manifest->in, err) &&
           read_list(manifest, root, "out", &manifest->out, err) &&
           read_list(manifest, root, "timer", &manifest->timer, err) &&
           read_list(manifest, root, "secrets", &manifest->secrets, err);
}

struct manifest *manifest_parse(const char *text, struct error *err)
{
    AUTO(manifest_free) struct manifest *manifest = calloc(1, sizeof *manifest);
    if (!manifest || !(manifest->arena = arena_new(MANIFEST_MEMORY_MAX))) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    if (!fill(manifest, text, err)) {
        error_wrap(err, "fn.json");
        return NULL;
    }
    return TAKE(manifest);
}

void manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return;
    arena_free(manifest->arena);
    free(manifest);
}

bool manifest_lists(const struct manifest_list *list, const char *item)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], item) == 0)
            return true;
    return false;
}
