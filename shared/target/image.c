#include "shared/target/image.h"

#include <string.h>

enum { NAME_MAX_BYTES = 1024 };

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static const char *tag_of(const struct reference *reference)
{
    return reference->tag ? reference->tag : "latest";
}

bool image_same(const char *stands, const char *image)
{
    AUTO(reference_release) struct reference a = { 0 }, b = { 0 };
    AUTO(bytes_release) struct bytes name_a = BYTES(NAME_MAX_BYTES), name_b = BYTES(NAME_MAX_BYTES);
    struct error ignored = { 0 };
    if (same_text(stands, image) || same_text(image_digest(stands), image_digest(image)))
        return true;
    if (!stands || !image || !reference_parse(span_of(stands), &a, &ignored) ||
        !reference_parse(span_of(image), &b, &ignored) || !reference_name(&name_a, &a, &ignored) ||
        !reference_name(&name_b, &b, &ignored) || !span_equal(bytes_span(&name_a), bytes_span(&name_b)))
        return false;
    return (!a.digest || !b.digest) && same_text(tag_of(&a), tag_of(&b));
}

const char *image_digest(const char *image)
{
    const char *at = image ? strrchr(image, '@') : NULL;
    return at ? at + 1 : NULL;
}

const char *image_write(struct arena *arena, enum image_form form, const char *image, const char *stands)
{
    const char *digest = image_digest(image);
    if (!digest || form == IMAGE_TAG_DIGEST)
        return image;
    struct span name = { image, (size_t)(digest - 1 - image) };
    long colon = span_find_last(name, ':'), slash = span_find_last(name, '/');
    if (colon <= slash) /* a port's, or there is none */
        return image;
    if (form == IMAGE_DIGEST)
        return arena_printf(arena, "%.*s@%s", (int)colon, image, digest);
    return stands && span_is(name, stands) ? image : arena_dup(arena, name);
}
