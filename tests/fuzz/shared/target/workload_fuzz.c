/* What stands in an object that others may write: {"rollout": 2, "image": "...", "reason": "...", "annotations": {...}}. Nothing may crash; what is
 * seen is what was asked for, or is somebody else's; what is written is what was meant; the list of what was given up is bounded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/target/image.h"
#include "shared/target/workload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

static size_t count_words(const char *list)
{
    struct span rest = span_of(list);
    size_t count = 0;
    for (struct span one = span_cut(&rest, ' '); one.data; one = span_cut(&rest, ' '))
        count++;
    return count;
}

static void check_list(struct arena *arena, const char *bad)
{
    static const char digest[] = "sha256:0";
    const char *with = bad_with(arena, bad, digest), *without = bad_without(arena, with, digest);
    must(bad_has(with, digest) && count_words(with) <= MARKS_BAD_MAX);
    must(!without || !bad_has(without, digest));
}

static void check_image(struct arena *arena, const char *image, const char *stands)
{
    for (enum image_form form = IMAGE_TAG_DIGEST; image && form <= IMAGE_DIGEST; form++) {
        struct reference reference = { 0 };
        struct error err = { 0 };
        const char *written = image_write(arena, form, image, stands);
        if (reference_parse(span_of(image), &reference, &err))
            must(!written || image_same(written, image));
        reference_release(&reference);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4 * 1024 * 1024);
    struct error err = { 0 };
    const struct json *told = arena ? json_parse(arena, (struct span){ (const char *)data, size }, &err) : NULL;
    const char *stands = json_get_string(told, "image");
    struct workload seen = { .image = stands, .reason = json_get_string(told, "reason") };
    int64_t rollout = 0;
    (void)json_integer(json_get(told, "rollout"), &rollout);
    seen.rollout = (enum rollout)(rollout & 3);
    seen.kept = json_boolean(json_get(told, "kept"), false);
    if (told && marks_read(arena, json_get(told, "annotations"), &seen.marks, &err)) {
        check_list(arena, seen.marks.bad);
        check_image(arena, seen.marks.image, stands);
        if (workload_view(&seen, arena, &err)) {
            must(seen.image == stands || seen.image == seen.marks.image);
            must(!seen.foreign || (seen.image == stands && !image_same(stands, seen.marks.image)));
            must(seen.foreign || !seen.marks.reason || !seen.marks.image || seen.kept ||
                 seen.rollout != ROLLOUT_RUNNING);
        }
    }
    arena_free(arena);
    return 0;
}
