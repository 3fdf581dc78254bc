#include "shared/dockerfile/platform.h"

#include <string.h>
#include <strings.h>

/* [A-Za-z0-9_-] and what is in `more`, at least one. */
static bool is_component(struct span part, const char *more)
{
    for (size_t i = 0; i < part.len; i++) {
        char c = part.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-' && !(c && strchr(more, c)))
            return false;
    }
    return part.len;
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
        { "i386", NULL, "386", "" },        { "x86_64", "v1", "amd64", "" },      { "x86-64", "v1", "amd64", "" },
        { "amd64", "v1", "amd64", "" },     { "x86_64", NULL, "amd64", NULL },    { "x86-64", NULL, "amd64", NULL },
        { "aarch64", "8", "arm64", "" },    { "aarch64", "v8", "arm64", "" },     { "arm64", "8", "arm64", "" },
        { "arm64", "v8", "arm64", "" },     { "aarch64", "v8.0", "arm64", "" },   { "arm64", "v8.0", "arm64", "" },
        { "aarch64", "9", "arm64", "v9" },  { "arm64", "9", "arm64", "v9" },      { "aarch64", "9.0", "arm64", "v9" },
        { "arm64", "9.0", "arm64", "v9" },  { "aarch64", "v9.0", "arm64", "v9" }, { "arm64", "v9.0", "arm64", "v9" },
        { "aarch64", NULL, "arm64", NULL }, { "armhf", NULL, "arm", "v7" },       { "armel", NULL, "arm", "v6" },
        { "arm", "", "arm", "v7" },         { "arm", "7", "arm", "v7" },          { "arm", "5", "arm", "v5" },
        { "arm", "6", "arm", "v6" },        { "arm", "8", "arm", "v8" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcasecmp(rows[i].arch, *arch) != 0 || (rows[i].variant && strcasecmp(rows[i].variant, *variant) != 0))
            continue;
        *arch = rows[i].to_arch;
        *variant = rows[i].to_variant ? rows[i].to_variant : *variant;
        return;
    }
}

static bool known_arch(const char *name)
{
    static const char *const machines[] = { "386",     "amd64",    "amd64p32",  "arm",         "armbe",   "arm64",
                                            "arm64be", "ppc64",    "ppc64le",   "loong64",     "mips",    "mipsle",
                                            "mips64",  "mips64le", "mips64p32", "mips64p32le", "ppc",     "riscv",
                                            "riscv64", "s390",     "s390x",     "sparc",       "sparc64", "wasm" };
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (!strcmp(machines[i], name))
            return true;
    return false;
}

/* A text that is being read as a platform. */
struct reading {
    struct arena *arena;
    const char *value;
    struct error *err;
};

static bool refuse(const struct reading *reading, const char *why)
{
    AUTO(free) char *quoted = quote(span_of(reading->value));
    return error_set(reading->err, ERROR_INVALID, "%s: %s: invalid argument", quoted ? quoted : "", why);
}

static bool refuse_part(const struct reading *reading, struct span part, const char *what, const char *pattern)
{
    AUTO(free) char *quoted = quote(span_of(reading->value)), *component = quote(part), *form = quote(span_of(pattern));
    bool os = *what;
    return error_set(reading->err, ERROR_INVALID,
                     "%s is an invalid %scomponent of %s: %s must match %s: invalid argument",
                     component ? component : "", what, quoted ? quoted : "",
                     os ? "OSAndVersion specifier component" : "platform specifier component", form ? form : "");
}

/* os[(version[+feature]*)]: what is in brackets matters for Windows only and is not kept. */
static bool read_os(const struct reading *reading, struct span part, const char **out)
{
    long bracket = span_find(part, '(');
    struct span name = { part.data, bracket < 0 ? part.len : (size_t)bracket }, version = text_skip(part, name.len);
    bool closed = !version.len || (version.len > 1 && version.data[version.len - 1] == ')');
    struct span inside = version.len > 1 ? (struct span){ version.data + 1, version.len - 2 } : SPAN("");
    if (!is_component(name, "") || !closed || (inside.len && !is_component(inside, ".%+")))
        return refuse_part(reading, part, "OS ",
                           "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$");
    *out = text_lower(reading->arena, name);
    return *out || no_memory(reading->err);
}

static bool read_part(const struct reading *reading, struct span part, const char **out)
{
    if (!is_component(part, "."))
        return refuse_part(reading, part, "", "^[A-Za-z0-9_.-]+$");
    *out = text_lower(reading->arena, part);
    return *out || no_memory(reading->err);
}

/* "os", "arch", "os/arch" or "os/arch/variant", in lower case. */
static bool read_parts(const struct reading *reading, const char *parts[4], size_t *count)
{
    struct span rest = span_of(reading->value);
    if (strchr(reading->value, '*'))
        return refuse(reading, "wildcards not yet supported");
    for (*count = 0; rest.data && *count < 4; ++*count) {
        struct span part = *count < 3 ? span_cut(&rest, '/') : rest; /* what is too much stays in one */
        if (!(*count ? read_part : read_os)(reading, part, &parts[*count]))
            return false;
    }
    return *count < 4 || refuse(reading, "cannot parse platform specifier");
}

const char *platform_parse(struct arena *arena, const char *written, const char *value, struct error *err)
{
    const struct reading reading = { arena, value, err };
    const char *parts[4] = { "", "", "", "" };
    size_t count = 0;
    bool ok = read_parts(&reading, parts, &count);
    const char *os = known_os(parts[0]), *arch = count > 1 ? parts[1] : os ? "amd64" : parts[0], *variant = parts[2];
    if (!os)
        os = count > 1 ? parts[0] : "linux";
    normalize_arch(&arch, &variant);
    if (ok && count == 1 && !known_arch(arch))
        ok = refuse(&reading, "unknown operating system or architecture");
    if (!ok) {
        error_wrap(err, "failed to parse platform %s", written);
        return NULL;
    }
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
