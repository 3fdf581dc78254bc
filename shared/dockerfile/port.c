#include "shared/dockerfile/port.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool port_number(struct span text, unsigned *out)
{
    unsigned value = 0;
    bool sign = text.len > 1 && text.data[0] == '+'; /* as Go's ParseInt takes it */
    if (!text.len || text.len > 20)
        return false;
    for (size_t i = sign; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > 65535)
            return false;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *out = value;
    return value <= 65535;
}

static bool port_range(struct span text, unsigned *first, unsigned *last)
{
    struct span rest = text, low = span_cut(&rest, '-');
    if (!port_number(low, first))
        return false;
    *last = *first;
    return !rest.data || (port_number(rest, last) && *last >= *first);
}

static bool check_host(struct span host, unsigned first, unsigned last, struct span container, struct error *err)
{
    unsigned low = 0, high = 0;
    if (!host.data || !host.len)
        return true;
    if (!port_range(host, &low, &high))
        return error_set(err, ERROR_INVALID, "invalid hostPort: %.*s", SPAN_ARGS(host));
    if (high - low != last - first && first != last)
        return error_set(err, ERROR_INVALID, "invalid ranges specified for container and host Ports: %.*s and %.*s",
                         SPAN_ARGS(container), SPAN_ARGS(host));
    return true;
}

/* The address before the ports, IPv6 in brackets or not. */
static bool check_address(struct span address, struct error *err)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char binary[sizeof(struct in6_addr)];
    bool brackets = address.len > 1 && address.data[0] == '[' && address.data[address.len - 1] == ']';
    struct span plain = brackets ? (struct span){ address.data + 1, address.len - 2 } : address;
    if (!address.len)
        return true;
    if (address.data[0] == '[' && !brackets)
        return error_set(err, ERROR_INVALID, "invalid IP address %.*s: address %.*s:: missing ']' in address",
                         SPAN_ARGS(address), SPAN_ARGS(address));
    snprintf(text, sizeof text, "%.*s", SPAN_ARGS(plain));
    bool valid =
        plain.len < sizeof text && (inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1);
    return valid || error_set(err, ERROR_INVALID, "invalid IP address: %.*s", SPAN_ARGS(plain));
}

static const char *const protocols[PORT_PROTOCOLS] = { "tcp", "udp", "sctp" };

/* Its row; PORT_PROTOCOLS when unknown. */
static size_t protocol_of(struct span name)
{
    size_t row = 0;
    if (!name.data || !name.len)
        return row;
    while (row < PORT_PROTOCOLS &&
           (name.len != strlen(protocols[row]) || strncasecmp(name.data, protocols[row], name.len) != 0))
        row++;
    return row;
}

static bool add_port(struct arena *arena, unsigned number, size_t row, struct word_list *out, struct error *err)
{
    if (out->count == PORTS_MAX)
        return error_set(err, ERROR_TOO_LARGE, "more than %d ports are exposed at once", PORTS_MAX);
    return word_add(arena, out, arena_printf(arena, "%u/%s", number, protocols[row]), err);
}

bool ports_add(struct arena *arena, const char *spec, struct lint *lint, struct word_list *out, struct error *err)
{
    struct span all = span_of(spec), address = { 0 }, host = { 0 }, container = all;
    long colon = span_find_last(all, ':');
    if (colon >= 0) {
        container = text_skip(all, (size_t)colon + 1);
        host = (struct span){ all.data, (size_t)colon };
        long before = span_find_last(host, ':');
        address = (struct span){ all.data, before >= 0 ? (size_t)before : 0 };
        host = text_skip(host, before >= 0 ? (size_t)before + 1 : 0);
    }
    struct span protocol = container, port = span_cut(&protocol, '/');
    unsigned first = 0, last = 0;
    AUTO(free) char *quoted = quote(all);
    if (!port.len)
        return error_set(err, ERROR_INVALID, "invalid port: %s: no port specified", quoted ? quoted : "");
    size_t row = protocol_of(protocol);
    if (row == PORT_PROTOCOLS)
        return error_set(err, ERROR_INVALID, "invalid port: %s: invalid proto: %.*s", quoted ? quoted : "",
                         SPAN_ARGS(protocol));
    if (protocol.len && !span_is(protocol, protocols[row]))
        lint_report(lint, LINT_EXPOSE_PROTO_CASING, spec, NULL, NULL);
    if (address.len || host.len)
        lint_report(lint, LINT_EXPOSE_INVALID_FORMAT, spec, NULL, NULL);
    if (!check_address(address, err))
        return false;
    if (!port_range(port, &first, &last))
        return error_set(err, ERROR_INVALID, "invalid containerPort: %.*s", SPAN_ARGS(port));
    if (!check_host(host, first, last, port, err))
        return false;
    for (unsigned number = first; number <= last; number++)
        if (!add_port(arena, number, row, out, err))
            return false;
    return true;
}

static bool is_number(const char *text, bool *zero)
{
    const char *digits = text + (*text == '-' || *text == '+');
    *zero = !digits[strspn(digits, "0")];
    return *digits && strlen(digits) < 19 && !digits[strspn(digits, "0123456789")];
}

/* RTMIN, RTMIN+1 to RTMIN+15, RTMAX-14 to RTMAX-1, RTMAX */
static bool is_realtime(const char *name)
{
    if (!strcasecmp(name, "RTMIN") || !strcasecmp(name, "RTMAX"))
        return true;
    bool low = !strncasecmp(name, "RTMIN+", 6), high = !strncasecmp(name, "RTMAX-", 6);
    struct span rest = span_of(strlen(name) > 6 ? name + 6 : "");
    unsigned offset = 0;
    return (low || high) && rest.len && rest.data[0] != '0' && port_number(rest, &offset) && offset <= (low ? 15 : 14);
}

bool signal_check(const char *signal, struct error *err)
{
    static const char *const names[] = { "ABRT", "ALRM",   "BUS",  "CHLD",   "CLD",   "CONT", "FPE",  "HUP",  "ILL",
                                         "INT",  "IO",     "IOT",  "KILL",   "PIPE",  "POLL", "PROF", "PWR",  "QUIT",
                                         "SEGV", "STKFLT", "STOP", "SYS",    "TERM",  "TRAP", "TSTP", "TTIN", "TTOU",
                                         "URG",  "USR1",   "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ" };
    bool zero = false;
    if (is_number(signal, &zero))
        return !zero || error_set(err, ERROR_INVALID, "invalid signal: %.300s", signal);
    const char *name = strncasecmp(signal, "SIG", 3) ? signal : signal + 3;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(names[i], name))
            return true;
    return is_realtime(name) || error_set(err, ERROR_INVALID, "invalid signal: %.300s", signal);
}
