/* The scanner and the tree must agree on what JSON is; what the tree takes must print and parse again to the same. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

struct seen {
    struct span text;
    size_t values;
};

/* Every picked text lies within the document and is a value by itself. */
static bool look(void *context, int field, enum json_type type, struct span raw, size_t index, struct error *err)
{
    struct seen *seen = context;
    (void)field, (void)index, (void)err;
    must(raw.len > 0 && raw.data >= seen->text.data && raw.data + raw.len <= seen->text.data + seen->text.len);
    must((type == JSON_STRING) == (raw.data[0] == '"') && (type == JSON_OBJECT) == (raw.data[0] == '{'));
    seen->values++;
    AUTO(bytes_release) struct bytes text = BYTES(raw.len);
    struct error unquoting = { 0 };
    must(!json_unquote(&text, raw, &unquoting) || (type == JSON_STRING && span_is_utf8(bytes_span(&text))));
    return true;
}

/* May the tree refuse what the scanner takes? These are its promises beyond the grammar. */
static bool is_a_tree_only_refusal(const struct error *err)
{
    static const char *const reasons[] = { "nested deeper", "stands twice",    "escaped NUL",
                                           "surrogate",     "more characters", "more memory" };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strstr(err->message, reasons[i]))
            return true;
    return false;
}

static void print_and_parse_again(struct arena *arena, const struct json *tree)
{
    AUTO(bytes_release) struct bytes once = BYTES(64 << 20), twice = BYTES(64 << 20);
    struct error err = { 0 };
    must(json_print(&once, tree, &err));
    const struct json *again = json_parse(arena, bytes_span(&once), &err);
    must(again || err.kind == ERROR_TOO_LARGE);
    must(!again || (json_print(&twice, again, &err) && span_equal(bytes_span(&once), bytes_span(&twice))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_path paths[] = { { "", 0 },    { "[]", 1 },      { "a", 2 },
                                              { "a.b", 3 }, { "a[].b[]", 4 }, { "[][]", 5 } };
    struct span text = { (const char *)data, size };
    struct seen seen = { .text = text };
    struct error scanning = { 0 }, picking = { 0 }, parsing = { 0 };
    bool scanned = json_scan(text, NULL, 0, look, &seen, &scanning);
    bool picked = json_scan(text, paths, sizeof paths / sizeof *paths, look, &seen, &picking);
    must(picked ? scanned && seen.values > 0 : !scanned || strstr(picking.message, "stands twice"));

    AUTO(arena_free) struct arena *arena = arena_new(16 << 20);
    const struct json *tree = json_parse(arena, text, &parsing);
    must(tree ? scanned : !scanned || is_a_tree_only_refusal(&parsing));
    must(tree || parsing.kind == ERROR_INVALID || parsing.kind == ERROR_TOO_LARGE);
    if (tree)
        print_and_parse_again(arena, tree);
    if (scanned)
        must(json_locate(text, "a[0].b") < size && json_locate_key(text, "[1][0]") < size);
    return 0;
}
