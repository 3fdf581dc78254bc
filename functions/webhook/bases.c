#include "functions/webhook/bases.h"

#include <string.h>

enum { MEMORY_MAX = 4 * 1024 * 1024, NAME_MAX_BYTES = 8 * 1024, CIRCLE_MAX = 8 };

struct known {
    const char *image;
    char digest[DIGEST_TEXT_SIZE]; /* "": it could not be asked for */
    struct known *next;
};

/* Images of a rule stand on images of that name. */
struct edge {
    struct span image, base; /* without tags */
    struct edge *next;
};

struct bases {
    struct registry_options registries;
    struct arena *arena;
    struct known *known;
    struct edge *edges;
};

struct bases *bases_new(const struct registry_options *registries, struct error *err)
{
    AUTO(bases_free) struct bases *bases = calloc(1, sizeof *bases);
    if (bases)
        bases->arena = arena_new(MEMORY_MAX);
    if (!bases || !bases->arena) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    bases->registries = *registries;
    bases->registries.use_mirrors = true;
    return TAKE(bases);
}

void bases_free(struct bases *bases)
{
    if (!bases)
        return;
    arena_free(bases->arena);
    free(bases);
}

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "what images stand on takes too much memory");
}

static bool resolve(const struct bases *bases, const char *image, char digest[static DIGEST_TEXT_SIZE],
                    struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    struct descriptor now;
    if (!reference_parse(span_of(image), &reference, err))
        return false;
    AUTO(store_free) struct store *store = store_open(&reference, &bases->registries, err);
    if (!store || !store_resolve(store, reference.tag ? reference.tag : "latest", &now, err))
        return false;
    memcpy(digest, now.digest, DIGEST_TEXT_SIZE);
    return true;
}

static const struct known *look_up(struct bases *bases, struct call *call, struct span image, struct error *err)
{
    struct error failed = { 0 };
    struct known *known = bases->known;
    while (known && !span_is(image, known->image))
        known = known->next;
    if (known)
        return known;
    known = arena_take(bases->arena, sizeof *known);
    if (!known || !(known->image = arena_dup(bases->arena, image))) {
        out_of_memory(err);
        return NULL;
    }
    known->digest[0] = '\0';
    if (!resolve(bases, known->image, known->digest, &failed))
        call_log(call, "reconcile: base '%s': %s", known->image, failed.message);
    known->next = bases->known;
    return bases->known = known;
}

static struct span without_tag(struct span image)
{
    long colon = span_find_last(image, ':'), slash = span_find_last(image, '/');
    return colon > slash ? (struct span){ image.data, (size_t)colon } : image;
}

static bool add_edge(struct bases *bases, struct span image, struct span base, struct error *err)
{
    struct edge *edge = arena_take(bases->arena, sizeof *edge);
    const char *from = arena_dup(bases->arena, image), *to = arena_dup(bases->arena, without_tag(base));
    if (!edge || !from || !to)
        return out_of_memory(err);
    *edge = (struct edge){ span_of(from), span_of(to), bases->edges };
    bases->edges = edge;
    return true;
}

/* As names of bases are told. */
static bool name_of(const struct config_build *build, struct bytes *out, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    return reference_parse(span_of(build->image), &reference, err) && reference_name(out, &reference, err);
}

bool bases_compare(struct bases *bases, struct call *call, const struct config_build *build,
                   const struct record *record, struct moved_base *out, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(NAME_MAX_BYTES);
    struct span rest = span_of(record->bases), image, built_on;
    *out = (struct moved_base){ 0 };
    if (!record->bases || strlen(record->bases) > RECORD_BASES_MAX)
        return true;
    if (!name_of(build, &name, err))
        return false;
    while (record_next_base(&rest, &image, &built_on)) {
        const struct known *known = look_up(bases, call, image, err);
        if (!known || !add_edge(bases, bytes_span(&name), image, err))
            return false;
        if (out->image || !known->digest[0] || span_is(built_on, known->digest))
            continue;
        out->image = arena_dup(call_arena(call), image);
        out->digest = arena_dup(call_arena(call), span_of(known->digest));
        if (!out->image || !out->digest)
            return out_of_memory(err);
    }
    return true;
}

static bool same(struct span a, struct span b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool leads_to(const struct bases *bases, struct span from, struct span to, int depth)
{
    if (same(from, to))
        return true;
    for (const struct edge *edge = bases->edges; depth > 0 && edge; edge = edge->next)
        if (same(edge->image, from) && leads_to(bases, edge->base, to, depth - 1))
            return true;
    return false;
}

bool bases_circle(const struct bases *bases, struct call *call, const struct config_build *build,
                  const struct moved_base *moved)
{
    AUTO(bytes_release) struct bytes name = BYTES(NAME_MAX_BYTES);
    struct error ignored = { 0 };
    if (!moved->image || !name_of(build, &name, &ignored) ||
        !leads_to(bases, without_tag(span_of(moved->image)), bytes_span(&name), CIRCLE_MAX))
        return false;
    call_log(call, "build '%s' is not made anew: '%s', which it stands on, stands on it", build->name, moved->image);
    return true;
}
