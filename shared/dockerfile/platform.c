#include "shared/dockerfile/platform.h"

#include <string.h>
#include <strings.h>

static bool is_component(struct span part)
{
    for (size_t i = 0; i < part.len; i++) {
        char c = part.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
            return false;
    }
    return part.len;
}

static bool bad_platform(const char *written, const char *value, struct span part, struct error *err)
{
    AUTO(free) char *quoted = quote(span_of(value)), *component = quote(part);
    return error_set(err, ERROR_INVALID,
                     "failed to parse platform %s: %s is an invalid component of %s: platform specifier component must "
                     "match \"^[A-Za-z0-9_.-]+$\": invalid argument",
                     written, component ? component : "", quoted ? quoted : "");
}

static const char *known_os(const char *name)
{
    static const char *const systems[] = { "linux",   "windows", "darwin",  "freebsd",   "netbsd",  "openbsd",
                                           "solaris", "aix",     "android", "dragonfly", "illumos", "ios",
                                           "js",      "plan9",   "nacl",    "wasip1",    "hurd",    "zos" };
    for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
        if (!strcasecmp(systems[i], name))
            return systems[i];
    return !strcasecmp(name, "macos") ? "darwin" : NULL;
}

/* The names that containerd's platforms.Normalize brings together. */
static void normalize_arch(const char **arch, const char **variant)
{
    static const struct {
        const char *arch, *variant, *to_arch, *to_variant; /* NULL: any, or as it is */
    } rows[] = {
        { "i386", NULL, "386", "" },     { "x86_64", "v1", "amd64", "" },    { "x86-64", "v1", "amd64", "" },
        { "amd64", "v1", "amd64", "" },  { "x86_64", NULL, "amd64", NULL },  { "x86-64", NULL, "amd64", NULL },
        { "aarch64", "8", "arm64", "" }, { "aarch64", "v8", "arm64", "" },   { "arm64", "8", "arm64", "" },
        { "arm64", "v8", "arm64", "" },  { "aarch64", NULL, "arm64", NULL }, { "armhf", NULL, "arm", "v7" },
        { "armel", NULL, "arm", "v6" },  { "arm", "", "arm", "v7" },         { "arm", "7", "arm", "v7" },
        { "arm", "5", "arm", "v5" },     { "arm", "6", "arm", "v6" },        { "arm", "8", "arm", "v8" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcasecmp(rows[i].arch, *arch) != 0 || (rows[i].variant && strcasecmp(rows[i].variant, *variant) != 0))
            continue;
        *arch = rows[i].to_arch;
        *variant = rows[i].to_variant ? rows[i].to_variant : *variant;
        return;
    }
}

/* "os", "arch", "os/arch" or "os/arch/variant" */
const char *platform_parse(struct arena *arena, const char *written, const char *value, struct error *err)
{
    const char *parts[3] = { "", "", "" };
    size_t count = 0;
    for (struct span rest = span_of(value); rest.data; count++) {
        struct span part = span_cut(&rest, '/');
        if (count == 3) {
            AUTO(free) char *quoted = quote(span_of(value));
            error_set(err, ERROR_INVALID,
                      "failed to parse platform %s: %s: cannot parse platform specifier: invalid argument", written,
                      quoted ? quoted : "");
            return NULL;
        }
        if (!is_component(part)) {
            bad_platform(written, value, part, err);
            return NULL;
        }
        parts[count] = text_lower(arena, part);
        if (!parts[count]) {
            no_memory(err);
            return NULL;
        }
    }
    const char *os = known_os(parts[0]), *arch = count > 1 ? parts[1] : os ? "amd64" : parts[0], *variant = parts[2];
    if (!os)
        os = count > 1 ? parts[0] : "linux";
    normalize_arch(&arch, &variant);
    const char *out = arena_printf(arena, "%s/%s%s%s", os, arch, *variant ? "/" : "", variant);
    if (!out)
        no_memory(err);
    return out;
}

const char *platform_normal(struct arena *arena, const char *platform)
{
    struct error ignored = { 0 };
    const char *normal = platform_parse(arena, platform, platform, &ignored);
    return normal ? normal : platform;
}
