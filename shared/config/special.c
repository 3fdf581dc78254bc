#include "shared/config/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/config/suggest.h"

static const char *const kind_names[] = {
    [SOURCE_GITHUB] = "github",   [SOURCE_GITLAB] = "gitlab",     [SOURCE_GITEA] = "gitea",
    [SOURCE_FORGEJO] = "forgejo", [SOURCE_REGISTRY] = "registry",
};
static_assert(sizeof kind_names / sizeof *kind_names == SOURCE_KINDS, "a name for every kind");

const char *source_kind_name(enum source_kind kind)
{
    assert(kind < SOURCE_KINDS);
    return kind_names[kind];
}

static void *place(const struct setting *setting, void *item)
{
    return (char *)item + setting->offset;
}

void read_source_kind(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    struct span name = span_of(json_string(value));
    for (size_t i = 0; i < SOURCE_KINDS; i++) {
        if (!span_is(name, kind_names[i]))
            continue;
        *(enum source_kind *)place(setting, item) = (enum source_kind)i;
        return;
    }
    const char *meant = suggest_word(name, kind_names, SOURCE_KINDS);
    if (meant)
        mistake(r, NULL, "unknown kind '%.60s': did you mean '%s'?", name.data, meant);
    else
        mistake(r, NULL, "unknown kind '%.60s': there are github, gitlab, gitea, forgejo and registry", name.data);
}

void read_compression(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    if (!compression_parse(span_of(json_string(value)), place(setting, item)))
        mistake(r, NULL,
                "must be \"gzip\" or \"zstd\", with a level if you like: \"gzip:9\" (1 to 9), \"zstd:19\" (1 to 22)");
}

/* One of two words: true for the second. */
static void choose(struct reading *r, const struct json *value, bool *second, const char *const words[static 2],
                   const char *sentence)
{
    struct span word = span_of(json_string(value));
    *second = span_is(word, words[1]);
    if (!*second && !span_is(word, words[0]))
        mistake(r, NULL, "%s", sentence);
}

void read_cache_mode(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    static const char *const words[] = { "min", "max" };
    choose(r, value, place(setting, item), words,
           "must be \"min\" (layers of the image) or \"max\" (layers of every stage)");
}

void read_isolation(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    static const char *const words[] = { "namespaces", "chroot" };
    choose(r, value, place(setting, item), words,
           "must be \"namespaces\", or \"chroot\" for a repository that you trust");
}

void read_media_types(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    static const char *const words[] = { "oci", "docker" };
    choose(r, value, place(setting, item), words, "must be \"oci\", or \"docker\" for what does not know the former");
}

void read_cloud(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    static const char *const names[CLOUD_KINDS] = { "", "ecr", "gar", "acr" };
    struct span name = span_of(json_string(value));
    for (size_t i = CLOUD_NONE + 1; i < CLOUD_KINDS; i++)
        if (span_is(name, names[i]))
            *(enum cloud *)place(setting, item) = (enum cloud)i;
    if (*(enum cloud *)place(setting, item) == CLOUD_NONE)
        mistake(r, NULL, "unknown credentials '%.60s': there are ecr (Amazon), gar (Google) and acr (Azure)",
                name.data);
}

static const char *nearest_source(struct reading *r, const char *name)
{
    const struct config *config = &r->into->config;
    const char **names = keep_memory(r, config->source_count * sizeof(const char *));
    size_t count = 0;
    for (size_t i = 0; names && i < config->source_count; i++)
        if (config->sources[i].name)
            names[count++] = config->sources[i].name;
    return suggest_word(span_of(name), names, count);
}

/* The sources are read before the builds: root_shape has them in that order. */
void read_source_name(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    const char *name = json_string(value);
    const struct config_source *source = config_find_source(&r->into->config, name);
    if (source) {
        *(const struct config_source **)place(setting, item) = source;
        return;
    }
    const char *nearest = nearest_source(r, name);
    if (nearest)
        mistake(r, NULL, "there is no source '%.60s': did you mean '%s'?", name, nearest);
    else
        mistake(r, NULL, "there is no source '%.60s' in 'sources'", name);
}

/* The clusters are read before the triggers. */
void read_cluster_name(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    static const char *const always[] = { CLUSTER_LOCAL, CLUSTER_IN_CLUSTER };
    enum { ALWAYS = sizeof always / sizeof always[0] };
    const struct config *config = &r->into->config;
    struct config_target *target = item;
    struct span name = span_of(json_string(value));
    const char **names = keep_memory(r, (ALWAYS + config->cluster_count) * sizeof(const char *));
    size_t count = 0;
    (void)setting;
    for (size_t i = 0; names && i < ALWAYS + config->cluster_count; i++) {
        const struct config_cluster *outside = i < ALWAYS ? NULL : &config->clusters[i - ALWAYS];
        const char *known = outside ? outside->name : always[i];
        if (known && span_is(name, known)) {
            target->cluster = known;
            target->outside = outside;
            return;
        }
        if (known)
            names[count++] = known;
    }
    const char *meant = names ? suggest_word(name, names, count) : NULL;
    if (meant)
        mistake(r, NULL, "there is no cluster '%.60s': did you mean '%s'?", name.data, meant);
    else if (names)
        mistake(r, NULL, "there is no cluster '%.60s': want \"in-cluster\", \"local\", or a name in 'clusters'",
                name.data);
}

/* The index of the word; `sentence` is the mistake where it is none of them. */
static size_t find_word(struct reading *r, const struct json *value, const char *const *words, size_t count,
                        const char *sentence)
{
    for (size_t i = 0; i < count; i++)
        if (span_is(span_of(json_string(value)), words[i]))
            return i;
    mistake(r, NULL, "%s", sentence);
    return 0;
}

void read_image_form(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    static const char *const words[] = {
        [IMAGE_TAG_DIGEST] = "tag@digest", [IMAGE_TAG] = "tag", [IMAGE_DIGEST] = "digest"
    };
    *(enum image_form *)place(setting, item) = (enum image_form)find_word(
        r, value, words, sizeof words / sizeof words[0], "must be \"tag@digest\", \"tag\" or \"digest\"");
}

void read_strategy(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    static const char *const words[] = {
        [STRATEGY_PARALLEL] = "parallel", [STRATEGY_ORDERED] = "ordered", [STRATEGY_ALL_OR_NOTHING] = "all-or-nothing"
    };
    *(enum strategy *)place(setting, item) = (enum strategy)find_word(
        r, value, words, sizeof words / sizeof words[0], "must be \"parallel\", \"ordered\" or \"all-or-nothing\"");
}

void read_cron(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    struct error err = { 0 };
    if (!cron_parse(place(setting, item), span_of(json_string(value)), &err))
        mistake_of(r, NULL, &err);
}

static struct kept *keep(struct reading *r)
{
    struct kept *kept = keep_memory(r, sizeof *kept);
    if (kept) {
        kept->next = r->into->kept;
        r->into->kept = kept;
    }
    return kept;
}

struct patterns *keep_patterns(struct reading *r)
{
    struct kept *kept = keep(r);
    if (!kept)
        return NULL;
    kept->patterns = patterns_new();
    if (!kept->patterns)
        error_set(&r->out_of_memory, ERROR_INTERNAL, "out of memory");
    return kept->patterns;
}

static void add_pattern(struct reading *r, struct patterns *patterns, const struct json *element)
{
    struct error err = { 0 };
    const char *glob = json_string(element), *regex = json_get_string(element, "regex");
    if (!glob && (!regex || json_count(element) != 1)) {
        mistake(r, NULL, "must be a glob in quotes, or {\"regex\": \"...\"}");
        return;
    }
    if (!(glob ? patterns_add_glob(patterns, span_of(glob), &err) : patterns_add_regex(patterns, span_of(regex), &err)))
        mistake_of(r, NULL, &err);
}

void read_patterns(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    struct patterns *patterns = keep_patterns(r);
    if (!patterns)
        return;
    if (json_count(value) == 0)
        mistake(r, NULL, "an empty list would match nothing: leave '%s' out instead", setting->name);
    size_t index = 0;
    for (const struct json *element = json_first(value); element; element = json_next(element)) {
        size_t mark = path_enter_element(r, index++);
        add_pattern(r, patterns, element);
        path_leave(r, mark);
    }
    *(const struct patterns **)place(setting, item) = patterns;
}

static void read_argument(struct reading *r, const struct json *member, struct config_argument *argument)
{
    struct error err = { 0 };
    if (!check_variable(span_of(json_key(member)), &err)) {
        mistake_of(r, json_key(member), &err);
        return;
    }
    size_t mark = path_enter(r, json_key(member));
    const char *value = json_string(member);
    if (!value)
        mistake(r, NULL, "must be a string, not %s", json_type_name(json_type(member)));
    else if (!check_template(span_of(value), &err))
        mistake_of(r, NULL, &err);
    else
        *argument = (struct config_argument){ keep_text(r, span_of(json_key(member))), keep_text(r, span_of(value)) };
    path_leave(r, mark);
}

void read_arguments(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    struct config_argument *arguments = keep_memory(r, json_count(value) * sizeof *arguments);
    size_t count = 0;
    for (const struct json *member = json_first(value); member && arguments; member = json_next(member))
        read_argument(r, member, &arguments[count++]);
    *(const struct config_argument **)place(setting, item) = arguments;
    *(size_t *)(void *)((char *)item + setting->count_offset) = count;
}

static bool name_image(struct span text, struct bytes *name, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    if (!check_any(text, err) || !reference_parse(text, &reference, err))
        return false;
    if (reference.tag || reference.digest)
        return error_set(err, ERROR_INVALID, "must be an image's name without %s '%s'",
                         reference.tag ? "the tag" : "the digest", reference.tag ? reference.tag : reference.digest);
    return reference_name(name, &reference, err);
}

/* In one form, so that rules and events compare byte by byte. */
void read_image(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    AUTO(bytes_release) struct bytes name = BYTES(8192);
    struct error err = { 0 };
    if (!name_image(span_of(json_string(value)), &name, &err))
        mistake_of(r, NULL, &err);
    else
        *(const char **)place(setting, item) = keep_text(r, bytes_span(&name));
}

/* What a condition refuses by itself is told by it. */
static void check_listed_tags(struct reading *r, const struct json *when)
{
    size_t mark = path_enter(r, "tags"), index = 0;
    const struct json *list = json_get(when, "tags");
    for (const struct json *tag = json_string(list) ? NULL : json_first(list); tag; tag = json_next(tag)) {
        size_t at_list = path_enter_element(r, index++);
        struct span text = span_of(json_string(tag));
        if (text.len > 0 && !reference_tag_is_legal(text))
            mistake(r, NULL, "no image can have the tag '%.128s'", text.data);
        path_leave(r, at_list);
    }
    path_leave(r, mark);
}

static void note_condition(void *context, struct condition_place at, const struct error *err)
{
    struct reading *r = context;
    size_t mark = r->depth;
    if (at.member && !at.named)
        path_enter(r, at.member);
    if (at.in_list)
        path_enter_element(r, at.element);
    mistake_of(r, at.named ? at.member : NULL, err);
    path_leave(r, mark);
}

void read_condition(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    struct error err = { 0 };
    struct kept *kept = keep(r);
    if (!kept)
        return;
    kept->condition = condition_new(value, note_condition, r, &err);
    *(const struct condition **)place(setting, item) = kept->condition;
    check_listed_tags(r, value);
}

static bool is_port(struct span text)
{
    char digits[6] = "";
    if (text.len == 0 || text.len >= sizeof digits)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        digits[i] = text.data[i];
    }
    long port = strtol(digits, NULL, 10);
    return port >= 1 && port <= 65535;
}

/* "8080", "127.0.0.1:8080", "[::1]:8080" or 8080. */
void read_port(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    char number[24] = "";
    int64_t port;
    if (json_integer(value, &port))
        snprintf(number, sizeof number, "%" PRId64, port);
    struct span text = span_of(json_string(value) ? json_string(value) : number);
    long colon = span_find_last(text, ':');
    struct span host = { text.data, colon < 0 ? 0 : (size_t)colon };
    struct span digits = { text.data + colon + 1, text.len - (size_t)(colon + 1) };
    struct error err = { 0 };
    if (!is_port(digits) || (colon >= 0 && !check_host(host, &err)))
        mistake(r, NULL, "must be a port, or an address and a port such as \"127.0.0.1:8080\"");
    else
        *(const char **)place(setting, item) = keep_text(r, text);
}
