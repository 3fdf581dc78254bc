/* First line: a condition as the configuration holds it; second: the tag in service; third: a tag. What is accepted can be compared, and
 * comparing the other way round says the opposite. */
#include <stdint.h>
#include <stdlib.h>

#include "shared/policy/condition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool promise)
{
    if (!promise)
        abort();
}

static bool opposite(enum precedence a, enum precedence b)
{
    return a == PRECEDENCE_UNKNOWN || a == PRECEDENCE_SAME
               ? b == a
               : b == (a == PRECEDENCE_OLDER ? PRECEDENCE_NEWER : PRECEDENCE_OLDER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    struct span rest = { (const char *)data, size };
    struct span when_text = span_cut(&rest, '\n'), current = span_cut(&rest, '\n');
    if (!current.data || !rest.data || current.len > 128 || rest.len > 128)
        return 0;
    AUTO(arena_free) struct arena *arena = arena_new(1 << 20);
    const struct json *when = json_parse(arena, when_text, &err);
    AUTO(condition_free) struct condition *condition = when ? condition_new(when, NULL, NULL, &err) : NULL;
    AUTO(bytes_release) struct bytes reason = BYTES(16384);
    bool accepted;
    enum precedence there, back;
    if (!condition)
        return 0;
    if (condition_accepts(condition, rest, &accepted, &reason, &err))
        must(reason.len > 0);
    if (condition_compare(condition, current, rest, &there, &err) &&
        condition_compare(condition, rest, current, &back, &err))
        must(opposite(there, back));
    return 0;
}
