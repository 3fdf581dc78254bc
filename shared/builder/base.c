#include "shared/builder/base.h"

#include "shared/builder/baseindex.h"
#include "shared/oci/layer_read.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_MEMORY_MAX = 64 * 1024 * 1024 };
static const int64_t extracted_max = INT64_C(16) << 30;

void base_free(struct base *base)
{
    if (!base)
        return;
    guess_free(base->guess);
    tree_free(base->tree);
    for (size_t i = 0; base->read && i < base->image.layer_count; i++)
        baseindex_release(&base->read[i]);
    free(base->read);
    spool_free(base->extracted);
    image_release(&base->image);
    store_free(base->store);
    reference_release(&base->reference);
    arena_free(base->arena);
    if (base->hold >= 0)
        close(base->hold);
    free(base);
}

/* In BuildKit's words. */
static bool not_a_reference(const char *image, struct error *err)
{
    for (const char *c = image; *c && *c != '/' && *c != ':'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            error_set(err, ERROR_INVALID, "repository name (library/%s) must be lowercase", image);
    }
    return error_wrap(err, "failed to parse stage name \"%s\": invalid reference format", image);
}

static bool load(struct base *base, const struct guess_name *name, bool may_guess,
                 const struct registry_options *registries, struct error *err)
{
    if (!reference_parse(span_of(name->image), &base->reference, err))
        return not_a_reference(name->image, err);
    const struct reference *reference = &base->reference;
    const char *wanted = reference->digest ? reference->digest : reference->tag ? reference->tag : "latest";

    base->store = store_open(reference, registries, err);
    if (!base->store)
        return false;
    if (may_guess)
        base->guess = guess_new(name, base->store, registries, &base->image);
    if (!base->guess) {
        if (!image_load(base->store, wanted, name->platform, &base->image, err))
            return false;
        guess_keep(name, &base->image);
    }
    base->config = json_parse(base->arena, bytes_span(&base->image.config), err);
    return base->config != NULL;
}

bool base_is_sure(struct base *base)
{
    return !base->guess || guess_holds(base->guess);
}

static struct base *base_new(const char *name, const char *platform, struct error *err)
{
    AUTO(base_free) struct base *base = calloc(1, sizeof(*base));

    if (base) {
        base->hold = -1;
        base->arena = arena_new(CONFIG_MEMORY_MAX);
    }
    if (base && base->arena) {
        base->name = arena_dup(base->arena, span_of(name));
        base->platform = arena_dup(base->arena, span_of(platform));
    }
    if (!base || !base->arena || !base->name || !base->platform) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return TAKE(base);
}

struct base *base_open(const struct guess_name *name, bool may_guess, const struct registry_options *registries,
                       struct error *err)
{
    AUTO(base_free) struct base *base = base_new(name->image, name->platform, err);

    if (!base)
        return NULL;
    if (!load(base, name, may_guess, registries, err)) {
        error_wrap(err, "image '%s'", name->image);
        return NULL;
    }
    return TAKE(base);
}

/* From the cache, from a registry, or from the layer itself. */
static bool read_index(struct base *base, const struct image_layer *layer, const char *cache_directory,
                       struct baseindex *out, struct error *err)
{
    if (baseindex_look(layer, cache_directory, out))
        return true;
    out->made = BYTES(BASEINDEX_MAX);
    if (base->indexes && indexstore_get(base->indexes, base->registries, layer, &out->made)) {
        out->entries = bytes_span(&out->made);
        baseindex_keep(layer, cache_directory, out->entries);
        return true;
    }
    if (!baseindex_get(base->store, layer, cache_directory, out, err))
        return false;
    if (base->indexes)
        indexstore_put(base->indexes, base->registries, layer, out->entries);
    return true;
}

static const struct baseindex *get_index(struct base *base, size_t layer, const char *cache_directory,
                                         struct error *err)
{
    if (!base->read)
        base->read = calloc(base->image.layer_count, sizeof(base->read[0]));
    if (!base->read)
        return error_set(err, ERROR_INTERNAL, "out of memory"), NULL;
    struct baseindex *index = &base->read[layer];
    return index->entries.data || read_index(base, &base->image.layers[layer], cache_directory, index, err) ? index
                                                                                                            : NULL;
}

struct base *base_of_layer(const char *place, const struct image_layer *layer, uint32_t number, int hold,
                           const struct registry_options *registries, struct error *err)
{
    AUTO(close) int held = hold;
    AUTO(base_free) struct base *base = base_new("a layer in the cache", "", err); /* no image has that name */

    if (!base || !reference_parse(span_of(place), &base->reference, err))
        return NULL;
    base->store = store_open(&base->reference, registries, err);
    base->image.layers = malloc(sizeof(base->image.layers[0]));
    if (!base->store || !base->image.layers)
        return base->store ? (error_set(err, ERROR_INTERNAL, "out of memory"), NULL) : NULL;
    base->image.layers[0] = *layer;
    base->image.layer_count = 1;
    base->first_file = (uint64_t)number << 40;
    base->hold = held;
    held = -1;
    return TAKE(base);
}

bool base_lay_over(struct base *base, struct tree *tree, const char *cache_directory, struct error *err)
{
    for (size_t i = 0; i < base->image.layer_count; i++) {
        const struct baseindex *index = get_index(base, i, cache_directory, err);

        if (!index || !baseindex_apply(index->entries, tree, base, (uint32_t)i, err))
            return error_wrap(err, "image '%s'", base->name);
    }
    return true;
}

static struct tree *make_tree(struct base *base, const char *cache_directory, struct error *err)
{
    AUTO(tree_free) struct tree *tree = tree_new(err);

    return tree && base_lay_over(base, tree, cache_directory, err) ? TAKE(tree) : NULL;
}

const struct tree *base_tree(struct base *base, const char *cache_directory, struct error *err)
{
    if (!base->tree)
        base->tree = make_tree(base, cache_directory, err);
    return base->tree;
}

/* To make it takes little longer than to copy it, and most are wanted once. */
struct tree *base_tree_copy(struct base *base, const char *cache_directory, struct error *err)
{
    return base->tree ? tree_clone(base->tree, err) : make_tree(base, cache_directory, err);
}

/* ---- taking files out of a layer ---- */

struct extraction {
    struct base *base;
    struct content **wanted; /* of this layer, by ordinal */
    int64_t *offsets;
    size_t count, next;
    uint32_t ordinal;
    bool taking;
    struct tar_reader *tar;
};

static bool on_entry(void *context, const struct tar_entry *entry, struct error *err)
{
    struct extraction *extraction = context;

    (void)entry;
    (void)err;
    extraction->taking = extraction->next < extraction->count &&
                         extraction->wanted[extraction->next]->base.ordinal == extraction->ordinal;
    extraction->ordinal++;
    while (extraction->taking && extraction->next < extraction->count &&
           extraction->wanted[extraction->next]->base.ordinal == extraction->ordinal - 1)
        extraction->offsets[extraction->next++] = spool_size(extraction->base->extracted);
    return true;
}

static bool on_content(void *context, const void *data, size_t len, struct error *err)
{
    struct extraction *extraction = context;

    return !extraction->taking || spool_append(extraction->base->extracted, data, len, err);
}

static bool on_plain(void *context, const void *data, size_t len, struct error *err)
{
    return tar_reader_feed(((struct extraction *)context)->tar, data, len, err);
}

static bool stream_layer(struct extraction *extraction, const struct image_layer *layer, struct error *err)
{
    struct tar_events events = { on_entry, on_content, NULL, extraction };
    AUTO(tar_reader_free) struct tar_reader *tar = extraction->tar = tar_reader_new(&events, err);

    if (!tar || !layer_read(extraction->base->store, layer, baseindex_plain_max, on_plain, extraction, err) ||
        !tar_reader_end(tar, err))
        return false;
    return extraction->next == extraction->count ||
           error_set(err, ERROR_UNAVAILABLE, "layer %s holds less than before", layer->blob.digest);
}

/* What RUN has unpacked need not be fetched again. Returns how many are left: those that a link leads to, say. */
static size_t take_from_disk(const struct base *base, struct content **wanted, size_t count)
{
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        if (wanted[i]->kind != CONTENT_BASE)
            continue; /* listed twice, for two names */
        const char *path = wanted[i]->base.path;
        if (!base->unpacked || !content_on_disk(wanted[i], base->unpacked[wanted[i]->base.layer], path))
            wanted[left++] = wanted[i];
    }
    return left;
}

static bool extract_layer(struct content **wanted, size_t count, struct error *err)
{
    struct base *base = wanted[0]->base.base;
    const struct image_layer *layer = &base->image.layers[wanted[0]->base.layer];
    count = take_from_disk(base, wanted, count);
    if (count == 0)
        return true;
    AUTO(free) int64_t *offsets = calloc(count, sizeof(int64_t));
    struct extraction extraction = { .base = base, .wanted = wanted, .offsets = offsets, .count = count };

    if (!offsets)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!base->extracted)
        base->extracted = spool_new(extracted_max, err);
    if (!base->extracted)
        return false;
    int64_t before = spool_size(base->extracted);
    if (!stream_layer(&extraction, layer, err)) {
        spool_cut(base->extracted, before, &(struct error){ 0 });
        return error_wrap(err, "image '%s'", base->name);
    }
    for (size_t i = 0; i < count; i++) {
        wanted[i]->kind = CONTENT_SPOOL;
        wanted[i]->spool.spool = base->extracted;
        wanted[i]->spool.offset = offsets[i];
    }
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct content *left = *(struct content *const *)a, *right = *(struct content *const *)b;

    if (left->base.base != right->base.base)
        return (uintptr_t)left->base.base < (uintptr_t)right->base.base ? -1 : 1;
    if (left->base.layer != right->base.layer)
        return left->base.layer < right->base.layer ? -1 : 1;
    return (left->base.ordinal > right->base.ordinal) - (left->base.ordinal < right->base.ordinal);
}

bool base_extract(struct content **contents, size_t count, struct error *err)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (contents[i] && contents[i]->kind == CONTENT_BASE)
            contents[kept++] = contents[i];
    }
    if (kept == 0)
        return true;
    qsort(contents, kept, sizeof(struct content *), by_place);
    for (size_t from = 0, to; from < kept; from = to) {
        for (to = from + 1; to < kept && contents[to]->base.base == contents[from]->base.base &&
                            contents[to]->base.layer == contents[from]->base.layer;)
            to++;
        if (!extract_layer(contents + from, to - from, err))
            return false;
    }
    return true;
}
