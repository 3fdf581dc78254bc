#include "runtime/cli/difference.h"

#include "runtime/cli/story.h"

#include <string.h>

enum { TEXT_MAX = 1 << 20, POINTER_MAX = 4096, DEPTH_MAX = JSON_DEPTH_MAX };

struct walk {
    FILE *out;
    const char *const *but;
    struct bytes pointer;
    size_t count, depth;
};

static void print_value(struct walk *w, char mark, const struct json *value)
{
    AUTO(bytes_release) struct bytes text = BYTES(TEXT_MAX);
    struct error too_large = { 0 };
    if (!value)
        return;
    fprintf(w->out, "      %c ", mark);
    story_print(w->out, json_print(&text, value, &too_large) ? bytes_text(&text) : "(too large to be shown)");
    putc('\n', w->out);
}

static void print_change(struct walk *w, const struct json *before, const struct json *after)
{
    fputs("    ", w->out);
    story_print(w->out, bytes_text(&w->pointer));
    putc('\n', w->out);
    print_value(w, '-', before);
    print_value(w, '+', after);
    w->count++;
}

static bool is_left_out(const struct walk *w)
{
    for (const char *const *but = w->but; *but; but++)
        if (span_is(bytes_span(&w->pointer), *but))
            return true;
    return false;
}

static bool same(const struct json *a, const struct json *b)
{
    AUTO(bytes_release) struct bytes left = BYTES(TEXT_MAX);
    AUTO(bytes_release) struct bytes right = BYTES(TEXT_MAX);
    struct error too_large = { 0 };
    return json_print(&left, a, &too_large) && json_print(&right, b, &too_large) &&
           span_equal(bytes_span(&left), bytes_span(&right));
}

static void compare(struct walk *w, const struct json *before, const struct json *after);

/* The member of that name, or the element of that number. */
static void step(struct walk *w, const char *name, size_t index, const struct json *before, const struct json *after)
{
    size_t mark = w->pointer.len;
    struct error full = { 0 };
    bool ok = bytes_append_char(&w->pointer, '/', &full);
    for (const char *c = name; ok && c && *c; c++)
        ok = *c == '~'   ? bytes_append_text(&w->pointer, "~0", &full)
             : *c == '/' ? bytes_append_text(&w->pointer, "~1", &full)
                         : bytes_append_char(&w->pointer, *c, &full);
    if (ok && (name || bytes_printf(&w->pointer, &full, "%zu", index)))
        compare(w, before, after);
    bytes_truncate(&w->pointer, mark);
}

static void compare_objects(struct walk *w, const struct json *before, const struct json *after)
{
    for (const struct json *member = json_first(before); member; member = json_next(member))
        step(w, json_key(member), 0, member, json_get(after, json_key(member)));
    for (const struct json *member = json_first(after); member; member = json_next(member))
        if (!json_get(before, json_key(member)))
            step(w, json_key(member), 0, NULL, member);
}

static void compare_lists(struct walk *w, const struct json *before, const struct json *after)
{
    const struct json *left = json_first(before), *right = json_first(after);
    for (size_t i = 0; left || right; i++) {
        step(w, NULL, i, left, right);
        left = left ? json_next(left) : NULL;
        right = right ? json_next(right) : NULL;
    }
}

static void compare(struct walk *w, const struct json *before, const struct json *after)
{
    bool alike = before && after && json_type(before) == json_type(after);
    if (is_left_out(w) || w->depth == DEPTH_MAX)
        return;
    w->depth++;
    if (alike && json_type(before) == JSON_OBJECT)
        compare_objects(w, before, after);
    else if (alike && json_type(before) == JSON_ARRAY)
        compare_lists(w, before, after);
    else if (!alike || !same(before, after))
        print_change(w, before, after);
    w->depth--;
}

size_t difference_print(FILE *out, const struct json *before, const struct json *after, const char *const but[])
{
    struct walk walk = { .out = out, .but = but, .pointer = BYTES(POINTER_MAX) };
    compare(&walk, before, after);
    bytes_release(&walk.pointer);
    return walk.count;
}
