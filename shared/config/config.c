#include "shared/config/config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/file.h"
#include "shared/config/settings.h"

enum {
    CONFIG_ARENA_MAX = 64 * 1024 * 1024,
    TREE_ARENA_MAX = 256 * 1024 * 1024, /* the most values that CONFIG_MAX bytes can be */
};

static const char default_path[] = "/etc/pushwright/pushwright.json";

bool secret_reference_is_set(const struct secret_reference *reference)
{
    return reference->file || reference->env;
}

struct secret *secret_reference_load(const struct secret_reference *reference, struct error *err)
{
    if (reference->file)
        return secret_from_file(reference->file, err);
    if (reference->env)
        return secret_from_environment(reference->env, err);
    error_set(err, ERROR_NOT_FOUND, "no secret is configured");
    return NULL;
}

void config_mistakes_release(struct config_mistakes *mistakes)
{
    arena_free(mistakes->arena);
    *mistakes = (struct config_mistakes){ 0 };
}

static void loaded_free(struct loaded *loaded)
{
    if (!loaded)
        return;
    for (struct kept *kept = loaded->kept; kept; kept = kept->next) {
        patterns_free(kept->patterns);
        condition_free(kept->condition);
    }
    arena_free(loaded->arena);
    free(loaded);
}
AUTO_FREE(struct loaded, loaded_free)

static_assert(offsetof(struct loaded, config) == 0, "a configuration leads to what stands behind it");

void config_free(struct config *config)
{
    loaded_free((struct loaded *)(void *)config);
}

static struct loaded *loaded_new(struct error *err)
{
    struct loaded *loaded = calloc(1, sizeof *loaded);
    if (loaded)
        loaded->arena = arena_new(CONFIG_ARENA_MAX);
    if (loaded && loaded->arena)
        return loaded;
    loaded_free(loaded);
    error_set(err, ERROR_INTERNAL, "out of memory");
    return NULL;
}

/* "WORD NUMBER" at the front of *text is cut off. */
static bool cut_number(const char **text, const char *word, size_t *number)
{
    size_t len = strlen(word);
    char *end;
    if (strncmp(*text, word, len) != 0)
        return false;
    *number = strtoul(*text + len, &end, 10);
    *text = end;
    return true;
}

/* Text that is not JSON has one mistake, the one that the parser stopped at; its place stands in front of its sentence. */
static void note_malformed(struct reading *r, const struct error *err)
{
    size_t line, column;
    const char *sentence = err->message;
    bool placed = cut_number(&sentence, "line ", &line) && cut_number(&sentence, " column ", &column) &&
                  strncmp(sentence, ": ", 2) == 0;
    mistake(r, NULL, "%s", placed ? sentence + 2 : err->message);
    if (r->mistakes->count > 0) {
        r->mistakes->items[0].line = placed ? line : 1;
        r->mistakes->items[0].column = placed ? column : 1;
    }
}

static int compare_places(const void *a, const void *b)
{
    const struct config_mistake *left = a, *right = b;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    if (left->column != right->column)
        return left->column < right->column ? -1 : 1;
    return strcmp(left->text, right->text);
}

static bool read_root(struct reading *r, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(TREE_ARENA_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    const struct json *root = json_parse(arena, r->text, err);
    if (!root && err->kind == ERROR_INVALID)
        note_malformed(r, err);
    if (!root)
        return false;
    if (json_type(root) == JSON_OBJECT)
        read_members(r, &root_shape, root, &r->into->config);
    else
        mistake(r, NULL, "the configuration must be an object, not %s", json_type_name(json_type(root)));
    if (r->out_of_memory.kind)
        *err = r->out_of_memory;
    return !r->out_of_memory.kind;
}

struct config *config_parse(struct span text, struct config_mistakes *mistakes, struct error *err)
{
    *mistakes = (struct config_mistakes){ 0 };
    if (text.len > CONFIG_MAX) {
        error_set(err, ERROR_TOO_LARGE, "configuration of more than %d bytes", CONFIG_MAX);
        return NULL;
    }
    AUTO(loaded_free) struct loaded *loaded = loaded_new(err);
    if (!loaded)
        return NULL;
    struct reading r = { .text = text, .into = loaded, .mistakes = mistakes };
    bool read = read_root(&r, err);
    if (!read && mistakes->count == 0)
        return NULL;
    if (mistakes->count > 0) {
        qsort(mistakes->items, mistakes->count, sizeof *mistakes->items, compare_places);
        const struct config_mistake *first = &mistakes->items[0];
        error_set(err, ERROR_INVALID, "line %zu column %zu: %s", first->line, first->column, first->text);
        return NULL;
    }
    return &TAKE(loaded)->config;
}

const char *config_path(void)
{
    const char *named = getenv("PUSHWRIGHT_CONFIG");
    return named && *named ? named : default_path;
}

struct config *config_read(const char *path, struct config_mistakes *mistakes, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(CONFIG_MAX);
    *mistakes = (struct config_mistakes){ 0 };
    if (!file_read(&text, path, err)) {
        error_wrap(err, "configuration");
        return NULL;
    }
    struct config *config = config_parse(bytes_span(&text), mistakes, err);
    if (!config && mistakes->count > 1)
        error_wrap(err, "configuration '%s' has %zu mistakes, the first", path, mistakes->count);
    else if (!config)
        error_wrap(err, "configuration '%s'", path);
    return config;
}

struct config *config_load(const char *path, struct error *err)
{
    AUTO(config_mistakes_release) struct config_mistakes mistakes = { 0 };
    return config_read(path ? path : config_path(), &mistakes, err);
}

const struct config_build *config_find_build(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->build_count; i++)
        if (config->builds[i].name && strcmp(config->builds[i].name, name) == 0)
            return &config->builds[i];
    return NULL;
}

const struct config_trigger *config_find_trigger(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->trigger_count; i++)
        if (config->triggers[i].name && strcmp(config->triggers[i].name, name) == 0)
            return &config->triggers[i];
    return NULL;
}

const struct config_source *config_find_source(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++)
        if (config->sources[i].name && strcmp(config->sources[i].name, name) == 0)
            return &config->sources[i];
    return NULL;
}
