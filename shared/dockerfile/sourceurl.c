#include "shared/dockerfile/sourceurl.h"

#include <string.h>
#include <strings.h>

/* The characters beside letters, digits and "-_.~" that a part of a URL keeps unescaped when it is written. */
static const char path_keeps[] = "$&+,/:;=@";
static const char user_keeps[] = "$&+,;=";
static const char host_keeps[] = "!$&'()*+,;=:[]<>\"";

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-_.~", c));
}

static bool keeps(const char *kept, char c)
{
    return is_plain(c) || (c && strchr(kept, c));
}

static bool escape(struct bytes *out, const char *text, const char *kept, struct error *err)
{
    for (; *text; text++)
        if (!(keeps(kept, *text) ? bytes_append_char(out, *text, err)
                                 : bytes_printf(out, err, "%%%02X", (unsigned char)*text)))
            return false;
    return true;
}

static int hex_of(char c)
{
    const char *at = c ? strchr("0123456789abcdef", c | (c >= 'A' ? 32 : 0)) : NULL;
    return at ? (int)(at - "0123456789abcdef") : -1;
}

/* One escape at the start of `text`: its byte, or -1. */
static int escaped_byte(struct span text)
{
    if (text.len < 3 || hex_of(text.data[1]) < 0 || hex_of(text.data[2]) < 0)
        return -1;
    return hex_of(text.data[1]) << 4 | hex_of(text.data[2]);
}

static bool bad_escape(struct span at, struct error *err)
{
    AUTO(free) char *quoted = quote((struct span){ at.data, at.len < 3 ? at.len : 3 });
    return error_set(err, ERROR_INVALID, "invalid URL escape %s", quoted ? quoted : "");
}

/* What has no NUL: our texts end there. */
static const char *unescape(struct arena *arena, struct span text, bool plus_is_blank, struct error *err)
{
    char *out = arena_dup(arena, text), *to = out;
    if (!out)
        no_memory(err);
    for (size_t i = 0; out && i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            int byte = escaped_byte(text_skip(text, i));
            if (byte <= 0) {
                bad_escape(text_skip(text, i), err);
                return NULL;
            }
            c = (char)byte;
            i += 2;
        }
        *to++ = c == '+' && plus_is_blank ? ' ' : c;
    }
    if (out)
        *to = 0;
    return out;
}

static bool check_port(struct span port, struct error *err)
{
    bool digits = !port.len || port.data[0] == ':';
    for (size_t i = 1; i < port.len; i++)
        digits = digits && port.data[i] >= '0' && port.data[i] <= '9';
    AUTO(free) char *quoted = quote(port);
    return digits || error_set(err, ERROR_INVALID, "invalid port %s after host", quoted ? quoted : "");
}

static bool check_host_bytes(struct span host, struct error *err)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        if (c == '%') {
            int byte = escaped_byte(text_skip(host, i));
            if (byte < 0x80) /* only what is beyond ASCII may be escaped */
                return bad_escape(text_skip(host, i), err);
        } else if ((unsigned char)c < 0x80 && !keeps(host_keeps, c)) {
            AUTO(free) char *quoted = quote((struct span){ &host.data[i], 1 });
            return error_set(err, ERROR_INVALID, "invalid character %s in host name", quoted ? quoted : "");
        }
    }
    return true;
}

static bool append_host(struct arena *arena, struct span host, struct bytes *out, struct error *err)
{
    bool bracket = host.len && host.data[0] == '[';
    long end = bracket ? span_find_last(host, ']') : -1, colon = span_find(host, ':');
    if (span_find_last(host, '[') > 0)
        return error_set(err, ERROR_INVALID, "invalid IP-literal");
    if (bracket && end < 0)
        return error_set(err, ERROR_INVALID, "missing ']' in host");
    size_t port = bracket ? (size_t)end + 1 : colon < 0 ? host.len : (size_t)colon;
    if (!check_port(text_skip(host, port), err) || !check_host_bytes(host, err))
        return false;
    const char *plain = unescape(arena, host, false, err);
    return plain && escape(out, plain, host_keeps, err);
}

static bool check_user_bytes(struct span user, struct error *err)
{
    for (size_t i = 0; i < user.len; i++)
        if (!is_plain(user.data[i]) && !strchr(":!$&'()*+,;=%@", user.data[i]))
            return error_set(err, ERROR_INVALID, "net/url: invalid userinfo");
    return true;
}

static bool append_user(struct arena *arena, struct span user, struct bytes *out, struct error *err)
{
    if (!check_user_bytes(user, err))
        return false;
    struct span name = span_cut(&user, ':');
    const char *plain = unescape(arena, name, false, err);
    if (!plain || !escape(out, plain, user_keeps, err))
        return false;
    if (!user.data)
        return bytes_append_char(out, '@', err);
    const char *password = unescape(arena, user, false, err);
    return password && bytes_append_char(out, ':', err) && escape(out, password, user_keeps, err) &&
           bytes_append_char(out, '@', err);
}

static bool append_authority(struct arena *arena, struct span authority, struct bytes *out, struct error *err)
{
    long at = span_find_last(authority, '@');
    size_t host = at < 0 ? 0 : (size_t)at + 1;
    struct bytes user = BYTES(out->max);
    /* the host's mistakes are told before the user's */
    bool ok = append_host(arena, text_skip(authority, host), &user, err) &&
              (at < 0 || append_user(arena, (struct span){ authority.data, (size_t)at }, out, err)) &&
              bytes_append_span(out, bytes_span(&user), err);
    bytes_release(&user);
    return ok;
}

/* As written when nothing in it has to be escaped. */
static bool append_path(const char *plain, struct span written, struct bytes *out, struct error *err)
{
    bool valid = true;
    for (size_t i = 0; i < written.len; i++)
        valid = valid && (keeps("!$&'()*+,;=:@[]%/", written.data[i]));
    return valid ? bytes_append_span(out, written, err) : escape(out, plain, path_keeps, err);
}

static size_t scheme_length(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    bool letter = (*text | 32) >= 'a' && (*text | 32) <= 'z';
    return letter && text[length] == ':' ? length : 0;
}

static bool has_control(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7F)
            return true;
    return false;
}

static bool parse_rest(struct arena *arena, struct span rest, struct source_url *out, struct error *err)
{
    AUTO(bytes_release) struct bytes address = BYTES(DOCKERFILE_WORD_MAX);
    size_t length = scheme_length(rest.data);
    out->scheme = text_lower(arena, (struct span){ rest.data, length });
    if (!out->scheme)
        return no_memory(err);
    if (length && (!bytes_append_text(&address, out->scheme, err) || !bytes_append_char(&address, ':', err)))
        return false;
    rest = text_skip(rest, length ? length + 1 : 0);
    struct span path = span_cut(&rest, '?');
    bool forced = rest.data && !rest.len; /* a lone "?" is kept */
    out->query = rest.data;
    if (span_starts(path, "//")) {
        struct span after = text_skip(path, 2), authority = span_cut(&after, '/');
        if ((authority.len || after.data) && !bytes_append_text(&address, "//", err))
            return false;
        if (!append_authority(arena, authority, &address, err))
            return false;
        path = after.data ? (struct span){ after.data - 1, after.len + 1 } : SPAN("");
    }
    out->path = unescape(arena, path, false, err);
    if (!out->path || !append_path(out->path, path, &address, err) ||
        (forced && !bytes_append_char(&address, '?', err)))
        return false;
    out->address = arena_dup(arena, bytes_span(&address));
    return out->address || no_memory(err);
}

/* The text for messages: without what may be a password. */
static char *quote_redacted(const char *text)
{
    const char *authority = strstr(text, "//");
    size_t start = authority ? (size_t)(authority - text) + 2 : 0, end = start + strcspn(text + start, "/?#");
    long at = span_find_last((struct span){ text + start, end - start }, '@');
    long colon = at < 0 ? -1 : span_find((struct span){ text + start, (size_t)at }, ':');
    if (colon < 0)
        return quote(span_of(text));
    AUTO(bytes_release) struct bytes shown = BYTES(DOCKERFILE_WORD_MAX);
    struct error ignored = { 0 };
    bytes_append(&shown, text, start + (size_t)colon, &ignored);
    bytes_append_text(&shown, ":xxxxx", &ignored);
    bytes_append_text(&shown, text + start + (size_t)at, &ignored);
    return quote(bytes_span(&shown));
}

bool source_url_parse(struct arena *arena, const char *text, struct source_url *out, struct error *err)
{
    struct source_url made = { 0 };
    struct span fragment = span_of(text), rest = span_cut(&fragment, '#');
    const char *before = arena_dup(arena, rest);
    if (!before)
        return no_memory(err);
    AUTO(free) char *quoted = quote_redacted(before), *whole = quote_redacted(text);
    if (has_control(rest))
        return error_set(err, ERROR_INVALID, "parse %s: net/url: invalid control character in URL",
                         quoted ? quoted : "");
    if (!parse_rest(arena, span_of(before), &made, err))
        return error_wrap(err, "parse %s", quoted ? quoted : "");
    made.fragment = fragment.data ? unescape(arena, fragment, false, err) : "";
    if (!made.fragment)
        return error_wrap(err, "parse %s", whole ? whole : "");
    *out = made;
    return true;
}

bool source_url_query(struct arena *arena, const char *query, struct dockerfile_pairs *out, bool *broken,
                      struct error *err)
{
    size_t count = 1, used = 0;
    for (const char *p = query; *p; p++)
        count += *p == '&';
    struct dockerfile_pair *pairs = arena_take(arena, count * sizeof *pairs);
    if (!pairs)
        return no_memory(err);
    for (struct span rest = span_of(query); rest.data;) {
        struct span value = span_cut(&rest, '&');
        if (!value.len)
            continue;
        struct error ignored = { 0 };
        bool semicolon = span_find(value, ';') >= 0;
        struct span key = span_cut(&value, '=');
        pairs[used].key = unescape(arena, key, true, &ignored);
        pairs[used].value = value.data ? unescape(arena, value, true, &ignored) : "";
        bool good = !semicolon && pairs[used].key && pairs[used].value;
        *broken = *broken || !good;
        used += good;
    }
    *out = (struct dockerfile_pairs){ pairs, used };
    return true;
}
