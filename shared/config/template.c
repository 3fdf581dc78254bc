#include "shared/config/template.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/config/suggest.h"

enum {
    EXPANDED_MAX = 64 * 1024,
    TAG_MAX = 128,   /* OCI distribution: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
    HASH_BYTES = 5,  /* eight characters of base32 */
    SUFFIX_SIZE = 9, /* "-" and those */
    SHA_DIGITS_MAX = 64,
};

typedef bool put_fn(struct bytes *out, const struct template_values *values, size_t length, struct error *err);

static bool put_branch(struct bytes *out, const struct template_values *values, size_t length, struct error *err)
{
    (void)length;
    return bytes_append_span(out, values->branch, err);
}

static bool put_tag(struct bytes *out, const struct template_values *values, size_t length, struct error *err)
{
    (void)length;
    return bytes_append_span(out, values->tag, err);
}

static bool put_ref(struct bytes *out, const struct template_values *values, size_t length, struct error *err)
{
    (void)length;
    return bytes_append_span(out,
                             values->branch.data ? values->branch
                             : values->tag.data  ? values->tag
                                                 : values->other,
                             err);
}

static bool put_sha(struct bytes *out, const struct template_values *values, size_t length, struct error *err)
{
    struct span sha = values->sha;
    if (length > 0 && length < sha.len)
        sha.len = length;
    return bytes_append_span(out, sha, err);
}

static bool put_time(struct bytes *out, const struct template_values *values, size_t length, struct error *err)
{
    (void)length;
    time_t seconds = (time_t)(values->time_ms / 1000);
    struct tm tm = { 0 };
    gmtime_r(&seconds, &tm);
    return bytes_printf(out, err, "%04d%02d%02d%02d%02d%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                        tm.tm_min, tm.tm_sec);
}

static bool put_build(struct bytes *out, const struct template_values *values, size_t length, struct error *err)
{
    (void)length;
    return bytes_append_span(out, values->build, err);
}

static const char *const names[] = { "branch", "tag", "ref", "sha", "time", "build" };
static put_fn *const puts_value[] = { put_branch, put_tag, put_ref, put_sha, put_time, put_build };
_Static_assert(sizeof names / sizeof *names == sizeof puts_value / sizeof *puts_value, "a function for every name");

struct placeholder {
    put_fn *put;
    size_t length; /* of {sha:7}; 0: none given */
};

static bool unknown_placeholder(struct span name, struct error *err)
{
    const char *meant = suggest_word(name, names, sizeof names / sizeof *names);
    if (meant)
        return error_set(err, ERROR_INVALID, "unknown placeholder '{%.*s}': did you mean '{%s}'?", SPAN_ARGS(name),
                         meant);
    return error_set(
        err, ERROR_INVALID,
        "unknown placeholder '{%.*s}': there are {branch}, {tag}, {ref}, {sha}, {sha:7}, {time} and {build}",
        SPAN_ARGS(name));
}

/* "7" of {sha:7}. */
static bool read_length(struct span text, size_t *length)
{
    *length = 0;
    for (size_t i = 0; i < text.len && i < 3; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *length = *length * 10 + (size_t)(text.data[i] - '0');
    }
    return text.len > 0 && text.len < 3 && *length > 0 && *length <= SHA_DIGITS_MAX;
}

/* What stands between the braces. */
static bool read_placeholder(struct span inner, struct placeholder *placeholder, struct error *err)
{
    struct span length = inner, name = span_cut(&length, ':');
    *placeholder = (struct placeholder){ 0 };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_is(name, names[i]))
            placeholder->put = puts_value[i];
    if (!placeholder->put)
        return unknown_placeholder(name, err);
    if (!length.data)
        return true;
    if (placeholder->put != put_sha)
        return error_set(err, ERROR_INVALID, "placeholder '{%.*s}': only {sha} can be cut, as in {sha:7}",
                         SPAN_ARGS(inner));
    return read_length(length, &placeholder->length) ||
           error_set(err, ERROR_INVALID, "placeholder '{%.*s}': a number from 1 to %d is missing behind the colon",
                     SPAN_ARGS(inner), SHA_DIGITS_MAX);
}

/* Run over the template; `out` and `values` NULL to check it only. */
static bool run(struct bytes *out, struct span rest, const struct template_values *values, struct error *err)
{
    while (rest.len > 0) {
        char c = rest.data[0];
        bool brace = c == '{' || c == '}';
        if (!brace || (rest.len > 1 && rest.data[1] == c)) {
            if (out && !bytes_append_char(out, c, err))
                return false;
            size_t used = brace ? 2 : 1;
            rest = (struct span){ rest.data + used, rest.len - used };
            continue;
        }
        long end = c == '{' ? span_find(rest, '}') : -1;
        if (end < 0)
            return error_set(err, ERROR_INVALID, "a '%c' without its other half: write '%c%c' for the character itself",
                             c, c, c);
        struct placeholder placeholder;
        if (!read_placeholder((struct span){ rest.data + 1, (size_t)end - 1 }, &placeholder, err))
            return false;
        if (out && !placeholder.put(out, values, placeholder.length, err))
            return false;
        rest = (struct span){ rest.data + end + 1, rest.len - (size_t)end - 1 };
    }
    return true;
}

bool template_check(struct span tmpl, struct error *err)
{
    return run(NULL, tmpl, NULL, err);
}

bool template_expand(struct bytes *out, struct span tmpl, const struct template_values *values, struct error *err)
{
    size_t before = out->len;
    if (run(out, tmpl, values, err))
        return true;
    bytes_truncate(out, before);
    return false;
}

static bool is_tag_character(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           (!first && (c == '.' || c == '-'));
}

/* Make *text legal in place; was that a change? A run of bytes that a tag cannot hold, such as the bytes of one character
 * beyond ASCII, becomes one '-'. */
static bool make_legal(struct bytes *text)
{
    size_t len = 0;
    bool changed = text->len > TAG_MAX, beyond_ascii = false;
    for (size_t i = 0; i < text->len; i++) {
        char c = text->data[i];
        bool run_goes_on = beyond_ascii;
        beyond_ascii = (unsigned char)c >= 0x80;
        if (!is_tag_character(c, len == 0)) {
            changed = true;
            if (run_goes_on && beyond_ascii)
                continue;
            c = len == 0 ? '_' : '-';
        }
        text->data[len++] = c;
    }
    bytes_truncate(text, len);
    return changed;
}

bool template_tag(struct bytes *out, struct span tmpl, const struct template_values *values, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(EXPANDED_MAX);
    if (!template_expand(&text, tmpl, values, err))
        return error_wrap(err, "tag template '%.*s'", SPAN_ARGS(tmpl));
    if (text.len == 0)
        return error_set(err, ERROR_INVALID, "tag template '%.*s' gives an empty tag for %s", SPAN_ARGS(tmpl),
                         values->branch.data ? "a branch"
                         : values->tag.data  ? "a tag"
                                             : "what is neither a branch nor a tag");
    uint8_t digest[SHA256_SIZE];
    sha256_of(bytes_span(&text), digest);
    if (!make_legal(&text))
        return bytes_append_span(out, bytes_span(&text), err);
    char hash[SUFFIX_SIZE];
    base32_encode(hash, digest, HASH_BYTES);
    if (text.len > TAG_MAX - SUFFIX_SIZE)
        bytes_truncate(&text, TAG_MAX - SUFFIX_SIZE);
    return bytes_printf(out, err, "%s-%s", bytes_text(&text), hash);
}
