#include "shared/builder/contents_kept.h"

#include "shared/base/digest.h"
#include "shared/builder/base.h"
#include "shared/builder/baseindex.h"

#include <string.h>

/* Texts of packages, one behind the other, each with its NUL; "" is not told. Another name where they are others. */
#define FORMAT "packages of rpm 1"
static const size_t texts[] = { offsetof(struct package, name),         offsetof(struct package, version),
                                offsetof(struct package, architecture), offsetof(struct package, source),
                                offsetof(struct package, maintainer),   offsetof(struct package, license) };
enum { TEXTS = sizeof(texts) / sizeof(texts[0]), KEPT_MAX = 64 * 1024 * 1024 };

static const char **text_of(struct package *package, size_t number)
{
    return (const char **)(void *)((char *)package + texts[number]);
}

bool contents_kept_name(const struct content *content, struct image_layer *out)
{
    char name[2 * DIGEST_TEXT_SIZE], hex[SHA256_HEX_SIZE];

    if (content->kind != CONTENT_BASE)
        return false;
    *out = content->base.base->image.layers[content->base.layer];
    snprintf(name, sizeof(name), "%s: %s %u", FORMAT, out->blob.digest, content->base.ordinal);
    sha256_hex_of(span_of(name), hex);
    snprintf(out->blob.digest, sizeof(out->blob.digest), "sha256:%s", hex);
    return true;
}

bool contents_kept_look(const struct image_layer *name, const char *cache_directory, struct packages *packages,
                        bool *found, struct error *err)
{
    AUTO(baseindex_release) struct baseindex kept = { 0 };

    *found = baseindex_look(name, cache_directory, &kept);
    for (struct span rest = kept.entries; *found && rest.len > 0;) {
        struct package package = { .kind = PACKAGE_RPM };

        for (size_t i = 0; i < TEXTS; i++) {
            struct span text = span_cut(&rest, '\0');
            const char **out = text_of(&package, i);

            *out = text.len > 0 ? arena_dup(packages->arena, text) : NULL;
            if (text.len > 0 && !*out)
                return arena_no_room(packages->arena, "the list of packages", err);
        }
        if (!packages_add(packages, &package, err))
            return false;
    }
    return true;
}

void contents_kept_keep(const struct image_layer *name, const char *cache_directory, const struct packages *packages,
                        size_t from)
{
    AUTO(bytes_release) struct bytes kept = BYTES(KEPT_MAX);
    struct error err = { 0 };

    for (size_t i = from; i < packages->count; i++) {
        for (size_t k = 0; k < TEXTS; k++) {
            const char *text = *text_of(&packages->items[i], k);

            if (!bytes_append(&kept, text ? text : "", text ? strlen(text) + 1 : 1, &err))
                return;
        }
    }
    baseindex_keep(name, cache_directory, bytes_span(&kept));
}
