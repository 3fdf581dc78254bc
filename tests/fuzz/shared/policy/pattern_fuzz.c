/* First line: a pattern; the rest: a name. Nothing may crash or hang, and a glob must agree with a plain definition of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/policy/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

static bool has_any(struct span text, const char *characters)
{
    for (; *characters; characters++)
        if (span_find(text, *characters) >= 0)
            return true;
    return false;
}

/* Literal patterns match themselves; "**" matches whatever is put for it; the quoted form of a name matches the name. */
static void check_glob(struct span pattern, struct span name)
{
    bool matches = glob_match(pattern, name);
    if (!has_any(pattern, "*?[\\") && pattern.len <= 1024)
        must(matches == span_equal(pattern, name));
    must(glob_match(SPAN("**"), name));
    must(glob_match(SPAN("*"), name) == (span_find(name, '/') < 0));
    char quoted[1024];
    if (name.len > sizeof quoted / 2)
        return;
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.data[i] < 0x80)
            quoted[len++] = '\\';
        quoted[len++] = name.data[i];
    }
    must(glob_match((struct span){ quoted, len }, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span name = { (const char *)data, size };
    struct span pattern = span_cut(&name, '\n');
    struct error err = { 0 };
    if (!name.data)
        name = SPAN("");
    check_glob(pattern, name);
    if (!glob_check(pattern, &err))
        must(err.kind == ERROR_INVALID && !(pattern.len > 0 && glob_match(pattern, name)));

    bool matched;
    AUTO(regex_free) struct regex *regex = regex_new(pattern, &err);
    if (regex && !regex_match(regex, name, &matched, &err))
        must(err.kind == ERROR_INVALID);
    AUTO(patterns_free) struct patterns *patterns = patterns_new();
    if (patterns_add_glob(patterns, pattern, &err))
        must(patterns_match(patterns, name, &matched, &err));
    return 0;
}
