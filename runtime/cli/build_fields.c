#include "runtime/cli/build_fields.h"

#include "shared/base/span.h"

#include <string.h>

static bool read_field(struct arena *arena, struct span part, const struct field *fields, size_t count,
                       struct error *err)
{
    struct span value = part, key = span_trim(span_cut(&value, '='));

    for (size_t i = 0; i < count; i++) {
        if (!span_is(key, fields[i].key) || !value.data)
            continue;
        *fields[i].to = arena_dup(arena, value);
        return *fields[i].to || error_set(err, ERROR_INTERNAL, "out of memory");
    }
    return error_set(err, ERROR_UNSUPPORTED, "'%.*s' cannot be said of it", SPAN_ARGS(key));
}

bool fields_read(struct arena *arena, const char *text, const struct field *fields, size_t count, struct error *err)
{
    struct span rest = span_of(text);

    while (rest.data) {
        if (!read_field(arena, span_cut(&rest, ','), fields, count, err))
            return false;
    }
    return true;
}

bool field_bool(const char *text, bool *out)
{
    static const struct {
        const char *text;
        bool value;
    } rows[] = { { "true", true }, { "1", true },    { "t", true },      { "T", true },
                 { "TRUE", true }, { "True", true }, { "false", false }, { "0", false },
                 { "f", false },   { "F", false },   { "FALSE", false }, { "False", false } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].text, text) == 0) {
            *out = rows[i].value;
            return true;
        }
    }
    return false;
}
