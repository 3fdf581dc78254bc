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

/* Globs without classes, as one would define them: by trying everything. From offset i of the pattern and j of the name. */
static bool plainly(struct span pattern, size_t i, struct span name, size_t j)
{
    if (i == pattern.len)
        return j == name.len;
    char c = pattern.data[i];
    if (c == '*') {
        bool twice = i + 1 < pattern.len && pattern.data[i + 1] == '*';
        bool whole_part = twice && (i == 0 || pattern.data[i - 1] == '/') && (j == 0 || name.data[j - 1] == '/');
        size_t after = i + (twice ? 2 : 1);
        if (plainly(pattern, after, name, j))
            return true;
        if (whole_part && after < pattern.len && pattern.data[after] == '/' && plainly(pattern, after + 1, name, j))
            return true;
        return j < name.len && (twice || name.data[j] != '/') && plainly(pattern, i, name, j + 1);
    }
    if (j == name.len)
        return false;
    if (c == '?')
        return name.data[j] != '/' && plainly(pattern, i + 1, name, j + 1);
    if (c == '\\' && ++i == pattern.len)
        return false;
    return pattern.data[i] == name.data[j] && plainly(pattern, i + 1, name, j + 1);
}

static bool is_ascii(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    return true;
}

/* Literal patterns match themselves; "**" matches whatever is put for it; the quoted form of a name matches the name. */
static void check_glob(struct span pattern, struct span name)
{
    bool matches = glob_match(pattern, name);
    if (!has_any(pattern, "*?[\\") && pattern.len <= 1024)
        must(matches == span_equal(pattern, name));
    if (pattern.len <= 12 && name.len <= 16 && !has_any(pattern, "[") && is_ascii(pattern) && is_ascii(name))
        must(matches == plainly(pattern, 0, name, 0));
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
