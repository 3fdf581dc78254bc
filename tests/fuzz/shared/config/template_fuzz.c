/* First line: a template; the rest: the name of a branch. What a template gives as a tag is always a legal one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/config/template.h"
#include "shared/oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span name = { (const char *)data, size };
    struct span tmpl = span_cut(&name, '\n');
    const struct template_values values = { .branch = name.data ? name : SPAN(""),
                                            .sha = SPAN("0123456789abcdef"),
                                            .build = SPAN("b"),
                                            .time_ms = 1788264000000 };
    AUTO(bytes_release) struct bytes text = BYTES(1 << 20), tag = BYTES(1 << 20);
    struct error err = { 0 }, failed = { 0 };
    bool good = template_check(tmpl, &err);
    must(good == template_expand(&text, tmpl, &values, &failed) || failed.kind == ERROR_TOO_LARGE);
    if (template_tag(&tag, tmpl, &values, &failed))
        must(good && reference_tag_is_legal(bytes_span(&tag)));
    else
        must(failed.kind == ERROR_TOO_LARGE || !good || text.len == 0);
    return 0;
}
