#include "shared/http/url.h"

#include "shared/http/address.h"

#include <string.h>

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static struct span from_to(struct span s, size_t from, size_t to)
{
    return (struct span){ s.data + from, to - from };
}

/* Backslashes too: some clients take them for slashes, so that two readers of one URL see two hosts. */
static bool check_characters(struct span text, struct error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c == 0x7f)
            return error_set(err, ERROR_INVALID, "URL holds a blank or control character");
        if (c >= 0x80)
            return error_set(err, ERROR_INVALID, "URL holds characters beyond ASCII; write them as %%XX");
        if (c == '\\')
            return error_set(err, ERROR_INVALID, "URL holds a backslash");
    }
    return true;
}

/* RFC 3986 section 3.1, followed by "://". */
static bool cut_scheme(struct span *rest, struct url *url, struct error *err)
{
    size_t n = 0;
    while (n < rest->len &&
           (is_alpha(rest->data[n]) || (n > 0 && (is_digit(rest->data[n]) || strchr("+-.", rest->data[n])))))
        n++;
    if (n == 0 || rest->len - n < 3 || memcmp(rest->data + n, "://", 3) != 0)
        return error_set(err, ERROR_INVALID, "URL does not start with a scheme such as https://");
    url->scheme = from_to(*rest, 0, n);
    *rest = from_to(*rest, n + 3, rest->len);
    return true;
}

static bool parse_port(struct span text, unsigned *port, struct error *err)
{
    unsigned n = 0;
    if (text.len == 0 || text.len > 5)
        return error_set(err, ERROR_INVALID, "URL has a bad port");
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i]))
            return error_set(err, ERROR_INVALID, "URL has a bad port");
        n = n * 10 + (unsigned)(text.data[i] - '0');
    }
    if (n == 0 || n > 65535)
        return error_set(err, ERROR_INVALID, "URL has a bad port");
    *port = n;
    return true;
}

/* "127.1", "2130706433" and "0x7f.1" are addresses to some readers and names to others (WHATWG URL: "ends in a
 * number"). */
static bool is_odd_number(struct span host)
{
    struct sockaddr_storage address;
    long dot = span_find_last(host, '.');
    struct span last = from_to(host, (size_t)(dot + 1), host.len);
    bool hex = last.len > 1 && last.data[0] == '0' && (last.data[1] == 'x' || last.data[1] == 'X');
    for (size_t i = hex ? 2 : 0; i < last.len; i++)
        if (hex ? !is_hex(last.data[i]) : !is_digit(last.data[i]))
            return false;
    return last.len > 0 && !address_parse(host, &address);
}

static bool host_is_legal(struct span host)
{
    for (size_t i = 0; i < host.len; i++)
        if (!is_alpha(host.data[i]) && !is_digit(host.data[i]) && !strchr("-._", host.data[i]))
            return false;
    return host.len > 0 && host.len <= 255 && !is_odd_number(host);
}

static bool parse_bracketed(struct span text, struct url *url, struct error *err)
{
    long end = span_find(text, ']');
    if (end < 2)
        return error_set(err, ERROR_INVALID, "URL has a malformed IPv6 address");
    url->host = from_to(text, 1, (size_t)end);
    for (size_t i = 0; i < url->host.len; i++)
        if (!is_hex(url->host.data[i]) && url->host.data[i] != ':' && url->host.data[i] != '.')
            return error_set(err, ERROR_INVALID, "URL has a malformed IPv6 address");
    struct span tail = from_to(text, (size_t)end + 1, text.len);
    if (tail.len == 0)
        return true;
    if (tail.data[0] != ':')
        return error_set(err, ERROR_INVALID, "URL has a malformed IPv6 address");
    return parse_port(from_to(tail, 1, tail.len), &url->port, err);
}

/* RFC 3986 section 3.2, with hosts narrowed to what DNS and addresses need: no two readers can disagree about them. */
static bool parse_authority(struct span text, struct url *url, struct error *err)
{
    long at = span_find(text, '@');
    if (at >= 0) {
        url->userinfo = from_to(text, 0, (size_t)at);
        text = from_to(text, (size_t)at + 1, text.len);
    }
    if (text.len > 0 && text.data[0] == '[')
        return parse_bracketed(text, url, err);
    long colon = span_find(text, ':');
    url->host = from_to(text, 0, colon < 0 ? text.len : (size_t)colon);
    if (!host_is_legal(url->host))
        return error_set(err, ERROR_INVALID, url->host.len == 0 ? "URL has no host" : "URL has a malformed host");
    return colon < 0 || parse_port(from_to(text, (size_t)colon + 1, text.len), &url->port, err);
}

static struct span cut_tail(struct span *rest, char mark)
{
    long at = span_find(*rest, mark);
    if (at < 0)
        return (struct span){ NULL, 0 };
    struct span tail = from_to(*rest, (size_t)at + 1, rest->len);
    rest->len = (size_t)at;
    return tail;
}

bool url_parse(struct span text, struct url *url, struct error *err)
{
    struct url parsed = { .port = 0 };
    struct span rest = text;
    if (!check_characters(text, err) || !cut_scheme(&rest, &parsed, err))
        return false;
    parsed.fragment = cut_tail(&rest, '#');
    parsed.query = cut_tail(&rest, '?');
    long slash = span_find(rest, '/');
    struct span authority = slash < 0 ? rest : from_to(rest, 0, (size_t)slash);
    if (slash >= 0)
        parsed.path = from_to(rest, (size_t)slash, rest.len);
    bool file = parsed.scheme.len == 4 && strncmp(parsed.scheme.data, "file", 4) == 0;
    if (file && authority.len == 0 && parsed.path.len == 0)
        return error_set(err, ERROR_INVALID, "URL has no path");
    if (!(file && authority.len == 0) && !parse_authority(authority, &parsed, err))
        return false;
    *url = parsed;
    return true;
}

bool url_redacted(struct bytes *out, struct span text, struct error *err)
{
    struct url url;
    if (!url_parse(text, &url, err))
        return false;
    bool bracket = span_find(url.host, ':') >= 0;
    char port[8] = "";
    if (url.port > 0)
        snprintf(port, sizeof port, ":%u", url.port & 0xffffu);
    return bytes_printf(out, err, "%.*s://%s%.*s%s%s%.*s", SPAN_ARGS(url.scheme), bracket ? "[" : "",
                        SPAN_ARGS(url.host), bracket ? "]" : "", port, SPAN_ARGS(url.path));
}
