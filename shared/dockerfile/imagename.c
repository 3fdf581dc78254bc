#include "shared/dockerfile/imagename.h"

#include <string.h>
#include <strings.h>

enum { PATH_MAX_BYTES = 255, TAG_MAX = 128, DIGEST_DIGITS_MIN = 32, IDENTIFIER = 64 };

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alpha(char c)
{
    return is_lower((char)(c | 32));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* [a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)* */
static bool is_path_part(struct span part)
{
    size_t run = 0; /* of separators */
    for (size_t i = 0; i < part.len; i++) {
        char c = part.data[i], before = i ? part.data[i - 1] : 0;
        if (is_lower(c) || is_digit(c)) {
            run = 0;
            continue;
        }
        bool same = !run || (c == before && (c == '-' || (c == '_' && run == 1)));
        if (!i || !strchr("._-", c) || !same)
            return false;
        run++;
    }
    return part.len && !run;
}

static bool is_path(struct span path)
{
    while (path.data)
        if (!is_path_part(span_cut(&path, '/')))
            return false;
    return true;
}

/* Letters, digits and, not at the ends, dashes. */
static bool is_host_part(struct span part)
{
    for (size_t i = 0; i < part.len; i++)
        if (!is_alpha(part.data[i]) && !is_digit(part.data[i]) && !(part.data[i] == '-' && i && i + 1 < part.len))
            return false;
    return part.len;
}

/* Cut "[...]" off the front of *rest: an address of IPv6. */
static bool cut_address(struct span *rest)
{
    size_t i = 1;
    while (i < rest->len && (is_hex(rest->data[i]) || rest->data[i] == ':'))
        i++;
    if (i == 1 || i == rest->len || rest->data[i] != ']')
        return false;
    *rest = text_skip(*rest, i + 1);
    return true;
}

static bool is_domain(struct span domain)
{
    struct span port = domain, host = { 0 };
    if (span_starts(domain, "[")) {
        if (!cut_address(&port) || (port.len && port.data[0] != ':'))
            return false;
        port = port.len ? text_skip(port, 1) : (struct span){ 0 };
    } else {
        host = span_cut(&port, ':');
    }
    while (host.data)
        if (!is_host_part(span_cut(&host, '.')))
            return false;
    for (size_t i = 0; i < port.len; i++)
        if (!is_digit(port.data[i]))
            return false;
    return !port.data || port.len;
}

static bool is_tag(struct span tag)
{
    for (size_t i = 0; i < tag.len; i++)
        if (!is_alpha(tag.data[i]) && !is_digit(tag.data[i]) && tag.data[i] != '_' &&
            !(i && (tag.data[i] == '.' || tag.data[i] == '-')))
            return false;
    return tag.len && tag.len <= TAG_MAX;
}

/* [A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][[:xdigit:]]{32,} */
static bool is_digest(struct span digest)
{
    struct span digits = digest, name = span_cut(&digits, ':');
    for (size_t i = 0; i < name.len; i++) {
        bool start = !i || strchr("-_+.", name.data[i - 1]);
        if (start ? !is_alpha(name.data[i])
                  : !is_alpha(name.data[i]) && !is_digit(name.data[i]) &&
                        !(i + 1 < name.len && strchr("-_+.", name.data[i])))
            return false;
    }
    for (size_t i = 0; i < digits.len; i++)
        if (!is_hex(digits.data[i]))
            return false;
    return name.len && digits.len >= DIGEST_DIGITS_MIN;
}

/* What of a name stands where. */
struct parts {
    struct span domain, path, tag, digest; /* data NULL: absent */
    struct span shown;                     /* path and what follows, up to the first colon */
};

static bool lower_differs(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] >= 'A' && s.data[i] <= 'Z')
            return true;
    return false;
}

static bool is_domain_by_look(struct span first)
{
    return span_is(first, "localhost") || span_find(first, '.') >= 0 || span_find(first, ':') >= 0 ||
           lower_differs(first);
}

static struct parts divide(struct span name)
{
    struct parts parts = { 0 };
    struct span rest = name, first = span_cut(&rest, '/');
    if (rest.data && is_domain_by_look(first)) {
        parts.domain = first;
        name = rest;
    }
    struct span digest = name, shown = name;
    parts.shown = span_cut(&shown, ':');
    parts.path = span_cut(&digest, '@');
    parts.digest = digest;
    parts.tag = parts.path;
    parts.path = span_cut(&parts.tag, ':');
    return parts;
}

static bool is_official(const struct parts *parts)
{
    bool docker =
        !parts->domain.data || span_is(parts->domain, "docker.io") || span_is(parts->domain, "index.docker.io");
    return docker && span_find(parts->path, '/') < 0;
}

static bool is_identifier(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_hex(name.data[i]) || lower_differs((struct span){ &name.data[i], 1 }))
            return false;
    return name.len == IDENTIFIER;
}

static bool check_digest(struct span digest, struct error *err)
{
    char text[256];
    if (digest.len >= sizeof text)
        return error_set(err, ERROR_INVALID, "invalid checksum digest length");
    memcpy(text, digest.data, digest.len);
    text[digest.len] = 0;
    return digest_check(text, err);
}

bool image_name_check(const char *name, struct error *err)
{
    struct span all = span_of(name);
    struct parts parts = divide(all);
    const char *library = is_official(&parts) ? "library/" : "";
    if (is_identifier(all))
        return error_set(err, ERROR_INVALID, "invalid repository name (%s), cannot specify 64-byte hexadecimal strings",
                         name);
    if (lower_differs(parts.shown))
        return error_set(err, ERROR_INVALID, "invalid reference format: repository name (%s%.*s) must be lowercase",
                         library, SPAN_ARGS(parts.shown));
    bool domain = !parts.domain.data || is_domain(parts.domain) || is_path_part(parts.domain);
    if (!domain || !is_path(parts.path) || (parts.tag.data && !is_tag(parts.tag)) ||
        (parts.digest.data && !is_digest(parts.digest)))
        return error_set(err, ERROR_INVALID, "invalid reference format");
    if (parts.path.len + strlen(library) > PATH_MAX_BYTES)
        return error_set(err, ERROR_INVALID, "repository name must not be more than %d characters", PATH_MAX_BYTES);
    return !parts.digest.data || check_digest(parts.digest, err);
}

const char *image_name_short(struct arena *arena, const char *name)
{
    struct parts parts = divide(span_of(name));
    struct span rest = span_of(name);
    if (parts.domain.data && (span_is(parts.domain, "docker.io") || span_is(parts.domain, "index.docker.io")))
        rest = text_skip(rest, parts.domain.len + 1);
    bool docker = !parts.domain.data || rest.data != name;
    if (docker && span_starts(rest, "library/") && span_find(text_skip(rest, strlen("library/")), '/') < 0)
        rest = text_skip(rest, strlen("library/"));
    if (!parts.digest.data && span_is(parts.tag, "latest"))
        rest.len -= strlen(":latest");
    return arena_dup(arena, rest);
}
