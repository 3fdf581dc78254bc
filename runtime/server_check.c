/* The grammar that is checked on top of the parser: where two readers of one request could disagree, it is refused. */
#include "runtime/server_message.h"

#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_escape(struct span text, size_t at)
{
    return text.len - at >= 3 && text.data[at] == '%' && is_hex(text.data[at + 1]) && is_hex(text.data[at + 2]);
}

/* Most names differ in their first letter already: the bit that letters of either case differ in is left out. */
bool message_name_is(struct span name, const char *expected)
{
    if (name.len == 0 || (name.data[0] | 0x20) != (expected[0] | 0x20))
        return name.len == 0 && !*expected;
    size_t len = strlen(expected);
    return name.len == len && strncasecmp(name.data, expected, len) == 0;
}

bool message_value_is_clean(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Unreserved, sub-delims and escapes: RFC 3986 reg-name, which covers IPv4 too. */
static bool is_name_host(struct span host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
        if (!letter && !(c && strchr("-._~!$&'()*+,;=", c)) && !is_escape(host, i))
            return false;
    }
    return true;
}

static bool is_bracket_host(struct span inside)
{
    for (size_t i = 0; i < inside.len; i++)
        if (!is_hex(inside.data[i]) && inside.data[i] != ':' && inside.data[i] != '.')
            return false;
    return inside.len >= 2;
}

static bool is_port(struct span port)
{
    unsigned long number = 0;
    for (size_t i = 0; i < port.len; i++) {
        if (!is_digit(port.data[i]))
            return false;
        number = number * 10 + (unsigned long)(port.data[i] - '0');
        if (number > 65535)
            return false;
    }
    return true;
}

bool message_host_is_valid(struct span value)
{
    struct span host = value, rest = { NULL, 0 };
    if (value.len > 0 && value.data[0] == '[') {
        long end = span_find(value, ']');
        if (end < 0)
            return false;
        host = (struct span){ value.data + 1, (size_t)end - 1 };
        rest = (struct span){ value.data + end + 1, value.len - (size_t)end - 1 };
        if (!is_bracket_host(host))
            return false;
    } else {
        long colon = span_find(value, ':');
        if (colon >= 0) {
            host.len = (size_t)colon;
            rest = (struct span){ value.data + colon, value.len - (size_t)colon };
        }
        if (!is_name_host(host))
            return false;
    }
    return rest.len == 0 || (rest.data[0] == ':' && is_port((struct span){ rest.data + 1, rest.len - 1 }));
}

/* Visible ASCII without the characters that other software cuts at or rewrites; escapes are whole. */
static bool is_path_and_query(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c <= ' ' || c == 0x7f || strchr("#\"<>\\", c) || (c == '%' && !is_escape(text, i)))
            return false;
    }
    return true;
}

/* Cut "http://authority" off; false when there is no such thing. The rest may be empty, or begin with '/' or '?'. */
static bool cut_authority(struct span *target)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = strlen(schemes[i]);
        if (target->len <= n || strncasecmp(target->data, schemes[i], n) != 0)
            continue;
        struct span rest = { target->data + n, target->len - n };
        size_t end = 0;
        while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?')
            end++;
        if (end == 0 || !message_host_is_valid((struct span){ rest.data, end }))
            return false;
        *target = (struct span){ rest.data + end, rest.len - end };
        return true;
    }
    return false;
}

bool message_target_split(struct span method, struct span target, struct span *path, struct span *query)
{
    if (span_is(target, "*")) {
        *path = target;
        *query = (struct span){ NULL, 0 };
        return span_is(method, "OPTIONS");
    }
    if (target.len == 0 || (target.data[0] != '/' && !cut_authority(&target)) || !is_path_and_query(target))
        return false;
    struct span rest = target;
    *path = span_cut(&rest, '?');
    *query = rest;
    if (path->len == 0)
        *path = SPAN("/");
    return true;
}
