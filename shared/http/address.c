#include "shared/http/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HOST_SIZE = 64 }; /* longest literal address is 45 */

/* IANA's special-purpose registries, rows that are not globally reachable; IPv4 and IPv6. */
static const char *const private_networks[] = {
    "0.0.0.0/8",      "10.0.0.0/8",     "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",   "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",    "::/96",
    "64:ff9b:1::/48", "100::/64",       "fc00::/7",      "fe80::/10",   "fec0::/10",      "ff00::/8",
};

/* IPv6 networks whose addresses carry an IPv4 address, and at which byte. */
static const struct {
    const char *network;
    size_t offset;
} carriers[] = { { "::ffff:0:0/96", 12 }, { "64:ff9b::/96", 12 }, { "2002::/16", 2 } };

/* The address's bytes in network order; 0 for a family that has none. */
static size_t bytes_of(const struct sockaddr *address, uint8_t out[static 16])
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        memcpy(out, &v4.sin_addr, 4);
        return 4;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        memcpy(out, &v6.sin6_addr, 16);
        return 16;
    }
    return 0;
}

bool address_parse(struct span host, struct sockaddr_storage *out)
{
    char text[HOST_SIZE];
    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    *out = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        memcpy(out, &v4, sizeof v4);
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        memcpy(out, &v6, sizeof v6);
    return out->ss_family != AF_UNSPEC;
}

static bool parse_bits(struct span text, size_t most, size_t *bits)
{
    size_t n = 0;
    if (text.len == 0 || text.len > 3)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (size_t)(text.data[i] - '0');
    }
    *bits = n;
    return n <= most;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, size_t bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    unsigned mask = (0xff00u >> (bits % 8)) & 0xffu;
    return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

bool address_in_network(const struct sockaddr *address, struct span network)
{
    struct span base = span_cut(&network, '/');
    struct sockaddr_storage parsed;
    uint8_t have[16], want[16];
    if (!address_parse(base, &parsed))
        return false;
    size_t len = bytes_of((const struct sockaddr *)&parsed, want);
    size_t bits = len * 8;
    if (network.data && !parse_bits(network, len * 8, &bits))
        return false;
    return bytes_of(address, have) == len && same_bits(have, want, bits);
}

static bool in_private_network(const struct sockaddr *address)
{
    for (size_t i = 0; i < sizeof private_networks / sizeof private_networks[0]; i++)
        if (address_in_network(address, span_of(private_networks[i])))
            return true;
    return false;
}

bool address_is_private(const struct sockaddr *address)
{
    uint8_t bytes[16];
    size_t len = bytes_of(address, bytes);
    if (len == 0)
        return true;
    for (size_t i = 0; len == 16 && i < sizeof carriers / sizeof carriers[0]; i++) {
        if (!address_in_network(address, span_of(carriers[i].network)))
            continue;
        struct sockaddr_in inner = { .sin_family = AF_INET };
        memcpy(&inner.sin_addr, bytes + carriers[i].offset, 4);
        return in_private_network((const struct sockaddr *)&inner);
    }
    return in_private_network(address);
}

bool address_is_public(const struct sockaddr *address)
{
    return !address_is_private(address);
}

bool host_is_loopback(struct span host)
{
    static const char name[] = "localhost";
    const size_t n = sizeof name - 1;
    if (host.len >= n && strncasecmp(host.data + host.len - n, name, n) == 0)
        return host.len == n || host.data[host.len - n - 1] == '.';
    struct sockaddr_storage address;
    if (!address_parse(host, &address))
        return false;
    const struct sockaddr *a = (const struct sockaddr *)&address;
    return address_in_network(a, SPAN("127.0.0.0/8")) || address_in_network(a, SPAN("::1")) ||
           address_in_network(a, SPAN("::ffff:127.0.0.0/104"));
}

bool host_resolves_to_private(const char *host)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    bool private = false;
    for (const struct addrinfo *a = found; a; a = a->ai_next)
    private = private || address_is_private(a->ai_addr);
    freeaddrinfo(found);
    return private;
}
