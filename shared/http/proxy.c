#include "shared/http/proxy.h"

#include "shared/http/address.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *from_environment(const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

static bool ends_without_case(struct span s, struct span tail)
{
    return s.len >= tail.len && strncasecmp(s.data + s.len - tail.len, tail.data, tail.len) == 0;
}

/* "example.com" and ".example.com" both mean the domain and what is below it, as in curl and Go. */
static bool name_matches(struct span entry, struct span host)
{
    if (span_starts(entry, "*."))
        entry = (struct span){ entry.data + 1, entry.len - 1 };
    if (span_starts(entry, "."))
        entry = (struct span){ entry.data + 1, entry.len - 1 };
    if (entry.len == 0 || !ends_without_case(host, entry))
        return false;
    return host.len == entry.len || host.data[host.len - entry.len - 1] == '.';
}

static bool port_matches(struct span text, unsigned port)
{
    char number[16];
    snprintf(number, sizeof number, "%u", port);
    return span_is(text, number);
}

static bool entry_matches(struct span entry, struct span host, unsigned port)
{
    if (span_is(entry, "*"))
        return true;
    struct sockaddr_storage address;
    if (address_parse(host, &address) && address_in_network((const struct sockaddr *)&address, entry))
        return true;
    long colon = span_find(entry, ':');
    bool has_port = colon >= 0 && colon == span_find_last(entry, ':');
    if (has_port && !port_matches((struct span){ entry.data + colon + 1, entry.len - (size_t)colon - 1 }, port))
        return false;
    if (has_port)
        entry.len = (size_t)colon;
    return name_matches(entry, host);
}

bool proxy_is_bypassed(struct span list, struct span host, unsigned port)
{
    while (list.data) {
        struct span part = span_cut(&list, ',');
        while (part.data) {
            struct span entry = span_cut(&part, ' ');
            if (entry.len > 0 && entry_matches(entry, host, port))
                return true;
        }
    }
    return false;
}

const char *proxy_for(const struct url *url)
{
    static const char *const https_names[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
    static const char *const http_names[] = { "http_proxy", "all_proxy", "ALL_PROXY" };
    static const char *const bypass_names[] = { "no_proxy", "NO_PROXY" };
    bool https = url->scheme.len == 5 && strncasecmp(url->scheme.data, "https", 5) == 0;
    const char *proxy = https ? from_environment(https_names, 4) : from_environment(http_names, 3);
    if (!proxy || host_is_loopback(url->host))
        return NULL;
    unsigned port = url->port > 0 ? url->port : https ? 443 : 80;
    struct span list = span_of(from_environment(bypass_names, 2));
    return proxy_is_bypassed(list, url->host, port) ? NULL : proxy;
}
