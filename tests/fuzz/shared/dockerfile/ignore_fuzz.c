/* An ignore file against paths; the first line doubles as a wildcard of COPY. */
#include "shared/dockerfile/gomatch.h"
#include "shared/dockerfile/ignore.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = { "a", "a/b/c", "foo.txt", "docs/x/README.md", "[abc]", "\xED\x95\x9C/x", "" };
    struct span text = { (const char *)data, size }, rest = text, line = span_cut(&rest, '\n');
    struct error err = { 0 };
    AUTO(ignore_free) struct ignore *ignore = ignore_parse(text, &err);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        gomatch(line, span_of(paths[i]));
        if (ignore && ignore_excludes(ignore, span_of(paths[i])))
            ignore_may_include_below(ignore, span_of(paths[i]));
    }
    if (ignore && line.len < 4096)
        ignore_excludes(ignore, line);
    return 0;
}
