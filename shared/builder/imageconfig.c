#include "shared/builder/imageconfig.h"

#include "shared/base/clock.h"
#include "shared/dockerfile/platform.h"

#include <string.h>

enum { PLATFORM_MAX = 200 };

struct member {
    const char *key;
    struct span value; /* JSON */
    struct member *next;
};

struct history {
    struct span base;       /* an entry of the base, as it stands there; absent: one of ours */
    const char *created;    /* of a base's entry */
    const char *created_by; /* of one of ours */
    bool empty_layer;
    struct history *next;
};

struct imageconfig {
    struct arena *arena;
    struct member *config; /* members of "config" */
    struct member *others; /* members of the document that we do not write ourselves */
    const char *author, *created;
    const char *os, *architecture, *variant; /* of the base; NULL: it does not say */
    struct history *history, **history_end;
    size_t history_count;
    size_t layers; /* of the base */
};

/* Written by us, or about how the base itself was made. */
static const char *const not_kept[] = { "created",
                                        "author",
                                        "architecture",
                                        "os",
                                        "variant",
                                        "config",
                                        "rootfs",
                                        "history",
                                        "id",
                                        "parent",
                                        "container",
                                        "container_config",
                                        "docker_version",
                                        "throwaway",
                                        "moby.buildkit.cache.v0",
                                        "moby.buildkit.buildinfo.v1" };

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "the image's configuration is too large");
}

static struct span print(struct arena *arena, const struct json *value, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(IMAGECONFIG_MAX);

    if (!json_print(&text, value, err))
        return (struct span){ 0 };
    struct span copy = { arena_dup(arena, bytes_span(&text)), text.len };
    if (!copy.data)
        out_of_memory(err);
    return copy;
}

static struct member **find(struct member **list, const char *key)
{
    while (*list && strcmp((*list)->key, key) != 0)
        list = &(*list)->next;
    return list;
}

static bool set_member(struct arena *arena, struct member **list, const char *key, struct span value, struct error *err)
{
    struct member **place = find(list, key);
    char *copy = value.data ? arena_dup(arena, value) : NULL;

    if (value.data && !copy)
        return out_of_memory(err);
    if (!value.data) {
        if (*place)
            *place = (*place)->next;
        return true;
    }
    if (!*place) {
        *place = arena_take(arena, sizeof(**place));
        if (!*place)
            return out_of_memory(err);
        (*place)->key = arena_dup(arena, span_of(key));
        if (!(*place)->key)
            return out_of_memory(err);
    }
    (*place)->value = (struct span){ copy, value.len };
    return true;
}

static bool is_kept(const char *key)
{
    for (size_t i = 0; i < sizeof(not_kept) / sizeof(not_kept[0]); i++) {
        if (strcmp(key, not_kept[i]) == 0)
            return false;
    }
    return true;
}

static bool take_members(struct imageconfig *config, const struct json *base, struct error *err)
{
    for (const struct json *v = json_first(json_get(base, "config")); v; v = json_next(v)) {
        struct span value = print(config->arena, v, err);

        if (!value.data ||
            (json_type(v) != JSON_NULL && !set_member(config->arena, &config->config, json_key(v), value, err)))
            return false;
    }
    for (const struct json *v = json_first(base); v; v = json_next(v)) {
        if (!is_kept(json_key(v)))
            continue;
        struct span value = print(config->arena, v, err);
        if (!value.data || !set_member(config->arena, &config->others, json_key(v), value, err))
            return false;
    }
    return true;
}

static struct history *add_history(struct imageconfig *config, struct error *err)
{
    if (config->history_count == IMAGECONFIG_HISTORY_MAX) {
        error_set(err, ERROR_TOO_LARGE, "more than %d entries of history", IMAGECONFIG_HISTORY_MAX);
        return NULL;
    }
    struct history *entry = arena_take(config->arena, sizeof(*entry));
    if (!entry) {
        out_of_memory(err);
        return NULL;
    }
    *config->history_end = entry;
    config->history_end = &entry->next;
    config->history_count++;
    return entry;
}

/* A history that does not fit the layers is made to: each layer has one entry that is not empty. */
static bool fit_history(struct imageconfig *config, struct error *err)
{
    size_t filled = 0;

    for (const struct history *h = config->history; h; h = h->next)
        filled += !h->empty_layer;
    for (struct history *h = config->history; h && filled > config->layers; h = h->next) {
        filled -= !h->empty_layer;
        h->empty_layer = true;
    }
    for (; filled < config->layers; filled++) {
        struct history *entry = add_history(config, err);
        if (!entry)
            return false;
        entry->base = SPAN("{\"comment\":\"unknown layer of the base image\"}");
    }
    return true;
}

static bool take_history(struct imageconfig *config, const struct json *base, struct error *err)
{
    for (const struct json *v = json_first(json_get(base, "history")); v; v = json_next(v)) {
        struct history *entry = add_history(config, err);

        if (!entry)
            return false;
        entry->base = print(config->arena, v, err);
        entry->empty_layer = json_boolean(json_get(v, "empty_layer"), false);
        entry->created = json_get_string(v, "created");
        if (!entry->base.data)
            return false;
    }
    return fit_history(config, err);
}

struct imageconfig *imageconfig_new(struct arena *arena, const struct json *base, size_t layer_count, struct error *err)
{
    struct imageconfig *config = arena_take(arena, sizeof(*config));

    if (!config) {
        out_of_memory(err);
        return NULL;
    }
    config->arena = arena;
    config->history_end = &config->history;
    config->layers = layer_count;
    config->author = json_get_string(base, "author");
    config->created = json_get_string(base, "created");
    config->os = json_get_string(base, "os");
    config->architecture = json_get_string(base, "architecture");
    config->variant = json_get_string(base, "variant");
    if (!take_members(config, base, err) || !take_history(config, base, err))
        return NULL;
    if (!base && !imageconfig_set_text(config, "WorkingDir", "/", err))
        return NULL;
    return config;
}

struct imageconfig *imageconfig_clone(struct arena *arena, const struct imageconfig *config, struct error *err)
{
    struct imageconfig *clone = arena_take(arena, sizeof(*clone));

    if (!clone) {
        out_of_memory(err);
        return NULL;
    }
    *clone = *config;
    clone->arena = arena;
    clone->config = NULL;
    clone->history = NULL;
    clone->history_end = &clone->history;
    clone->history_count = 0;
    for (const struct member *m = config->config; m; m = m->next) {
        if (!set_member(arena, &clone->config, m->key, m->value, err))
            return NULL;
    }
    for (const struct history *h = config->history; h; h = h->next) {
        struct history *entry = add_history(clone, err);
        if (!entry)
            return NULL;
        struct history *next = entry->next;
        *entry = *h;
        entry->next = next;
    }
    return clone;
}

/* ---- reading ---- */

static const struct json *member_value(const struct imageconfig *config, const char *key, struct error *err)
{
    struct member *list = config->config, *member = *find(&list, key);

    return member ? json_parse(config->arena, member->value, err) : NULL;
}

bool imageconfig_has(const struct imageconfig *config, const char *key)
{
    struct member *list = config->config;

    return *find(&list, key) != NULL;
}

bool imageconfig_words(const struct imageconfig *config, const char *key, struct dockerfile_words *out,
                       struct error *err)
{
    const struct json *array = member_value(config, key, err);
    const char **words = array ? arena_take(config->arena, (json_count(array) + 1) * sizeof(char *)) : NULL;
    size_t count = 0;

    if (!array) {
        *out = (struct dockerfile_words){ 0 };
        return err->kind == ERROR_NONE;
    }
    if (!words)
        return out_of_memory(err);
    for (const struct json *v = json_first(array); v; v = json_next(v)) {
        if (!json_string(v))
            return error_set(err, ERROR_INVALID, "'%s' of the image's configuration is no list of texts", key);
        words[count++] = json_string(v);
    }
    *out = (struct dockerfile_words){ words, count };
    return true;
}

const char *imageconfig_text(const struct imageconfig *config, const char *key)
{
    struct error err = { 0 };
    const char *text = json_string(member_value(config, key, &err));

    return text && *text ? text : NULL;
}

/* ---- changing ---- */

bool imageconfig_set(struct imageconfig *config, const char *key, struct span value, struct error *err)
{
    return set_member(config->arena, &config->config, key, value, err);
}

bool imageconfig_set_text(struct imageconfig *config, const char *key, const char *text, struct error *err)
{
    AUTO(bytes_release) struct bytes value = BYTES(IMAGECONFIG_MAX);
    struct json_writer w = json_writer_on(&value);

    if (*text == '\0')
        return imageconfig_set(config, key, (struct span){ 0 }, err);
    json_add_string(&w, NULL, text);
    return json_writer_end(&w, err) && imageconfig_set(config, key, bytes_span(&value), err);
}

bool imageconfig_set_words(struct imageconfig *config, const char *key, struct dockerfile_words words,
                           struct error *err)
{
    AUTO(bytes_release) struct bytes value = BYTES(IMAGECONFIG_MAX);
    struct json_writer w = json_writer_on(&value);

    json_open_array(&w, NULL);
    for (size_t i = 0; i < words.count; i++)
        json_add_string(&w, NULL, words.items[i]);
    json_close_array(&w);
    return json_writer_end(&w, err) && imageconfig_set(config, key, bytes_span(&value), err);
}

bool imageconfig_append_word(struct imageconfig *config, const char *key, const char *word, struct error *err)
{
    struct dockerfile_words old;

    if (!imageconfig_words(config, key, &old, err))
        return false;
    const char **words = arena_take(config->arena, (old.count + 1) * sizeof(char *));
    if (!words)
        return out_of_memory(err);
    if (old.count > 0)
        memcpy(words, old.items, old.count * sizeof(char *));
    words[old.count] = word;
    return imageconfig_set_words(config, key, (struct dockerfile_words){ words, old.count + 1 }, err);
}

bool imageconfig_put(struct imageconfig *config, const char *key, const char *member, struct span value,
                     struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(IMAGECONFIG_MAX);
    const struct json *old = member_value(config, key, err);
    struct json_writer w = json_writer_on(&text);
    bool written = false;

    if (!old && err->kind != ERROR_NONE)
        return false;
    json_open_object(&w, NULL);
    for (const struct json *v = json_first(old); v; v = json_next(v)) {
        int order = strcmp(json_key(v), member);

        if (order >= 0 && !written) {
            json_add_raw(&w, member, value);
            written = true;
        }
        if (order != 0)
            json_add_raw(&w, json_key(v), print(config->arena, v, err));
    }
    if (!written)
        json_add_raw(&w, member, value);
    json_close_object(&w);
    return err->kind == ERROR_NONE && json_writer_end(&w, err) && imageconfig_set(config, key, bytes_span(&text), err);
}

bool imageconfig_put_text(struct imageconfig *config, const char *key, const char *member, const char *text,
                          struct error *err)
{
    AUTO(bytes_release) struct bytes value = BYTES(IMAGECONFIG_MAX);
    struct json_writer w = json_writer_on(&value);

    json_add_string(&w, NULL, text);
    return json_writer_end(&w, err) && imageconfig_put(config, key, member, bytes_span(&value), err);
}

void imageconfig_set_author(struct imageconfig *config, const char *author)
{
    config->author = author;
}

bool imageconfig_add_history(struct imageconfig *config, const char *created_by, bool empty_layer, struct error *err)
{
    struct history *entry = add_history(config, err);

    if (!entry)
        return false;
    entry->created_by = arena_dup(config->arena, span_of(created_by));
    entry->empty_layer = empty_layer;
    return entry->created_by || out_of_memory(err);
}

/* ---- writing ---- */

static void write_base_history(struct json_writer *w, const struct imageconfig *config, const struct history *entry,
                               struct error *err)
{
    const struct json *old = json_parse(config->arena, entry->base, err);
    bool was_empty = json_boolean(json_get(old, "empty_layer"), false);

    if (was_empty == entry->empty_layer) {
        json_add_raw(w, NULL, entry->base);
        return;
    }
    json_open_object(w, NULL);
    for (const struct json *v = json_first(old); v; v = json_next(v)) {
        if (strcmp(json_key(v), "empty_layer") != 0)
            json_add_raw(w, json_key(v), print(config->arena, v, err));
    }
    json_add_boolean(w, "empty_layer", entry->empty_layer);
    json_close_object(w);
}

/* Entries of ours have the time of the new layers; when there are none, that of the base's last layer. */
static void write_history(struct json_writer *w, const struct imageconfig *config, const char *time, struct error *err)
{
    json_open_array(w, "history");
    for (const struct history *h = config->history; h; h = h->next) {
        if (h->base.data) {
            write_base_history(w, config, h, err);
            continue;
        }
        json_open_object(w, NULL);
        json_add_string(w, "created", time);
        json_add_string(w, "created_by", h->created_by);
        json_add_string(w, "comment", "buildkit.dockerfile.v0");
        if (h->empty_layer)
            json_add_boolean(w, "empty_layer", true);
        json_close_object(w);
    }
    json_close_array(w);
}

static const char *last_layer_time(const struct imageconfig *config)
{
    const char *time = NULL;

    for (const struct history *h = config->history; h; h = h->next) {
        if (h->base.data && !h->empty_layer && h->created)
            time = h->created;
    }
    return time;
}

/* As BuildKit chooses it. A platform that was asked for without its variant has the base's. */
static const char *platform_of(const struct imageconfig *config, const struct imageconfig_result *result)
{
    const char *variant = config->variant ? config->variant : "", *slash = *variant ? "/" : "";
    char of_base[PLATFORM_MAX];

    if (!config->os || !config->architecture ||
        snprintf(of_base, sizeof(of_base), "%s/%s", config->os, config->architecture) >= (int)sizeof(of_base))
        return platform_normal(config->arena, result->platform);
    if (!result->implicit && strcmp(of_base, result->platform) != 0)
        return platform_normal(config->arena, result->platform);
    const char *whole = arena_printf(config->arena, "%s%s%s", of_base, slash, variant);
    return whole ? platform_normal(config->arena, whole) : NULL;
}

static void write_platform(struct json_writer *w, const char *platform)
{
    struct span rest = span_of(platform), os = span_cut(&rest, '/'), architecture = span_cut(&rest, '/');

    json_add_span(w, "architecture", architecture);
    json_add_span(w, "os", os);
    if (rest.data)
        json_add_span(w, "variant", rest);
}

static void write_members(struct json_writer *w, const struct member *list)
{
    for (const struct member *m = list; m; m = m->next)
        json_add_raw(w, m->key, m->value);
}

bool imageconfig_write(const struct imageconfig *config, const struct imageconfig_result *result, struct bytes *out,
                       struct error *err)
{
    char time[RFC3339_SIZE];
    bool has_layers = result->diff_id_count > config->layers;
    struct json_writer w = json_writer_on(out);
    struct error failed = { 0 };
    const char *platform = platform_of(config, result);

    if (!platform)
        return out_of_memory(err);
    rfc3339_format(time, result->time_s * 1000);
    json_open_object(&w, NULL);
    json_add_string(&w, "created", has_layers ? time : config->created);
    json_add_string(&w, "author", config->author);
    write_platform(&w, platform);
    write_members(&w, config->others);
    json_open_object(&w, "config");
    write_members(&w, config->config);
    json_close_object(&w);
    json_open_object(&w, "rootfs");
    json_add_string(&w, "type", "layers");
    json_open_array(&w, "diff_ids");
    for (size_t i = 0; i < result->diff_id_count; i++)
        json_add_string(&w, NULL, result->diff_ids[i]);
    json_close_array(&w);
    json_close_object(&w);
    write_history(&w, config, has_layers ? time : last_layer_time(config), &failed);
    json_close_object(&w);
    if (failed.kind != ERROR_NONE) {
        *err = failed;
        return false;
    }
    return json_writer_end(&w, err);
}
