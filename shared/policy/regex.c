#include "shared/policy/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct regex {
    pcre2_code *code;
};

enum {
    PATTERN_MAX = 4096,
    /* Steps of backtracking that one call may take in all, a few tens of milliseconds of them. PCRE2 counts anew from every
     * offset where a match could start, so each of these gets its share. */
    STEPS_MAX = 2000000,
    STEPS_MIN = 1000,
    DEPTH_MAX = 5000,
    HEAP_MAX_KIB = 4096,
};

static bool compile_error(struct error *err, struct span pattern, int code, size_t offset)
{
    PCRE2_UCHAR sentence[200];
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (pcre2_get_error_message(code, sentence, sizeof sentence) < 0)
        sentence[0] = '\0';
    return error_set(err, ERROR_INVALID, "regular expression '%.*s' at offset %zu: %s", SPAN_ARGS(pattern), offset,
                     (const char *)sentence);
}

struct regex *regex_new(struct span pattern, struct error *err)
{
    if (pattern.len == 0) {
        error_set(err, ERROR_INVALID, "an empty regular expression would match everything");
        return NULL;
    }
    if (pattern.len > PATTERN_MAX) {
        error_set(err, ERROR_INVALID, "a regular expression of more than %d bytes", PATTERN_MAX);
        return NULL;
    }
    if (!span_is_utf8(pattern)) {
        error_set(err, ERROR_INVALID, "a regular expression that is not UTF-8");
        return NULL;
    }
    int code;
    size_t offset;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, 0, &code, &offset, NULL);
    if (!compiled) {
        compile_error(err, pattern, code, offset);
        return NULL;
    }
    struct regex *regex = malloc(sizeof *regex);
    if (!regex) {
        pcre2_code_free(compiled);
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    regex->code = compiled;
    return regex;
}

void regex_free(struct regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    free(regex);
}

AUTO_FREE(pcre2_match_context, pcre2_match_context_free)
AUTO_FREE(pcre2_match_data, pcre2_match_data_free)

static uint32_t steps_for(size_t subject_len)
{
    size_t share = STEPS_MAX / (subject_len + 1);
    return (uint32_t)(share < STEPS_MIN ? STEPS_MIN : share);
}

static bool run(const struct regex *regex, struct span subject, pcre2_match_data *data, bool *matched,
                struct error *err)
{
    AUTO(pcre2_match_context_free) pcre2_match_context *context = pcre2_match_context_create(NULL);
    if (!context || !data)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    pcre2_set_match_limit(context, steps_for(subject.len));
    pcre2_set_depth_limit(context, DEPTH_MAX);
    pcre2_set_heap_limit(context, HEAP_MAX_KIB);
    PCRE2_SPTR text = (PCRE2_SPTR)(subject.data ? subject.data : "");
    int result = pcre2_match(regex->code, text, subject.len, 0, 0, data, context);
    if (result >= 0 || result == PCRE2_ERROR_NOMATCH) {
        *matched = result >= 0;
        return true;
    }
    if (result == PCRE2_ERROR_NOMEMORY)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    return error_set(err, ERROR_INVALID, "the regular expression takes too long on '%.*s'", SPAN_ARGS(subject));
}

bool regex_match(const struct regex *regex, struct span subject, bool *matched, struct error *err)
{
    AUTO(pcre2_match_data_free) pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    return run(regex, subject, data, matched, err);
}

bool regex_capture(const struct regex *regex, struct span subject, bool *matched, struct captures *out,
                   struct error *err)
{
    AUTO(pcre2_match_data_free) pcre2_match_data *data = pcre2_match_data_create(CAPTURES_MAX + 1, NULL);
    *out = (struct captures){ 0 };
    if (!run(regex, subject, data, matched, err))
        return false;
    size_t groups = regex_groups(regex);
    if (!*matched)
        return true;
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(data);
    for (out->count = 0; out->count < groups && out->count < CAPTURES_MAX; out->count++) {
        const PCRE2_SIZE *group = offsets + 2 * (out->count + 1);
        bool took_part = group[0] != PCRE2_UNSET && group[1] >= group[0];
        out->groups[out->count] = took_part ? (struct span){ subject.data + group[0], group[1] - group[0] } : SPAN("");
    }
    return true;
}

size_t regex_groups(const struct regex *regex)
{
    uint32_t count = 0;
    pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &count);
    return count;
}

size_t regex_group(const struct regex *regex, const char *name)
{
    int number = pcre2_substring_number_from_name(regex->code, (PCRE2_SPTR)name);
    return number > 0 ? (size_t)number : 0;
}
