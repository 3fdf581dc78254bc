#include "shared/attest/packages.h"

#include <stdlib.h>
#include <string.h>

enum { MEMORY_MAX = 128 * 1024 * 1024 };

bool packages_init(struct packages *packages, struct error *err)
{
    *packages = (struct packages){ .arena = arena_new(MEMORY_MAX) };
    return packages->arena || error_set(err, ERROR_INTERNAL, "out of memory");
}

void packages_release(struct packages *packages)
{
    free(packages->items);
    arena_free(packages->arena);
    *packages = (struct packages){ 0 };
}

/* ---- the list ---- */

static bool make_room(struct packages *packages, struct error *err)
{
    if (packages->count == PACKAGES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "the image holds more than %d packages", PACKAGES_MAX);
    if (packages->count < packages->capacity)
        return true;
    size_t capacity = packages->capacity ? 2 * packages->capacity : 256;
    struct package *items = realloc(packages->items, capacity * sizeof(items[0]));
    if (!items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    packages->items = items;
    packages->capacity = capacity;
    return true;
}

bool packages_add(struct packages *packages, const struct package *package, struct error *err)
{
    if (!package->name || !package->version)
        return true;
    if (!make_room(packages, err))
        return false;
    packages->items[packages->count++] = *package;
    return true;
}

static int compare_texts(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

static int compare(const void *a, const void *b)
{
    const struct package *left = a, *right = b;
    int order = (int)left->kind - (int)right->kind;

    if (order == 0)
        order = strcmp(left->name, right->name);
    if (order == 0)
        order = strcmp(left->version, right->version);
    return order ? order : compare_texts(left->architecture, right->architecture);
}

void packages_sort(struct packages *packages)
{
    size_t kept = 0;

    if (packages->count == 0)
        return;
    qsort(packages->items, packages->count, sizeof(packages->items[0]), compare);
    for (size_t i = 1; i < packages->count; i++) {
        if (compare(&packages->items[kept], &packages->items[i]) != 0)
            packages->items[++kept] = packages->items[i];
    }
    packages->count = kept + 1;
}

/* ---- stanzas ---- */

/* Which member a field of a database is, by what its line begins with. */
struct field {
    const char *prefix;
    size_t offset; /* of a const char * */
};

static const char **member(struct package *package, size_t offset)
{
    return (const char **)(void *)((char *)package + offset);
}

static bool keep(struct arena *arena, const char **out, struct span value, struct error *err)
{
    if (value.len == 0 || value.len > PACKAGE_FIELD_MAX || memchr(value.data, '\0', value.len))
        return true;
    *out = arena_dup(arena, value);
    return *out || arena_no_room(arena, "the list of packages", err);
}

/* The first line of a kind counts. */
static bool read_line(struct packages *packages, const struct field *fields, size_t count, struct span line,
                      struct package *package, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char **out = member(package, fields[i].offset);
        size_t len = strlen(fields[i].prefix);

        if (span_starts(line, fields[i].prefix))
            return *out || keep(packages->arena, out, span_trim((struct span){ line.data + len, line.len - len }), err);
    }
    return true;
}

/* ---- dpkg ---- */

#define AT(name) offsetof(struct package, name)

static const struct field dpkg_fields[] = {
    { "Package:", AT(name) },  { "Version:", AT(version) },       { "Architecture:", AT(architecture) },
    { "Source:", AT(source) }, { "Maintainer:", AT(maintainer) }, { "Homepage:", AT(url) },
};

/* "install ok installed"; what is only configuration left behind has no files. Without a line it is a stanza of status.d. */
static bool has_files(struct span status)
{
    return !span_ends(status, " not-installed") && !span_ends(status, " config-files");
}

/* "glibc (2.36-9)": the version is told where it differs; the name is what counts. */
static void name_only(struct package *package)
{
    char *blank = package->source ? strchr(package->source, ' ') : NULL;

    if (blank)
        *blank = '\0';
}

bool packages_read_dpkg(struct packages *packages, struct span status, struct error *err)
{
    struct package package = { .kind = PACKAGE_DEB };
    bool installed = true;

    for (struct span line = span_cut(&status, '\n'); line.data; line = span_cut(&status, '\n')) {
        if (span_trim(line).len == 0) {
            if (installed && !packages_add(packages, &package, err))
                return false;
            package = (struct package){ .kind = PACKAGE_DEB };
            installed = true;
        } else if (span_starts(line, "Status:")) {
            installed = has_files(span_trim(line));
        } else if (!read_line(packages, dpkg_fields, sizeof(dpkg_fields) / sizeof(dpkg_fields[0]), line, &package,
                              err)) {
            return false;
        } else {
            name_only(&package);
        }
    }
    return !installed || packages_add(packages, &package, err);
}

/* ---- apk ---- */

static const struct field apk_fields[] = {
    { "P:", AT(name) },       { "V:", AT(version) }, { "A:", AT(architecture) }, { "o:", AT(source) },
    { "m:", AT(maintainer) }, { "L:", AT(license) }, { "U:", AT(url) },
};

bool packages_read_apk(struct packages *packages, struct span installed, struct error *err)
{
    struct package package = { .kind = PACKAGE_APK };

    for (struct span line = span_cut(&installed, '\n'); line.data; line = span_cut(&installed, '\n')) {
        if (line.len == 0) {
            if (!packages_add(packages, &package, err))
                return false;
            package = (struct package){ .kind = PACKAGE_APK };
        } else if (!read_line(packages, apk_fields, sizeof(apk_fields) / sizeof(apk_fields[0]), line, &package, err)) {
            return false;
        }
    }
    return packages_add(packages, &package, err);
}

/* ---- os-release ---- */

static struct span unquoted(struct span value)
{
    bool quoted =
        value.len >= 2 && (*value.data == '"' || *value.data == '\'') && value.data[value.len - 1] == *value.data;

    return quoted ? (struct span){ value.data + 1, value.len - 2 } : value;
}

bool distribution_read(struct arena *arena, struct span os_release, struct distribution *out, struct error *err)
{
    *out = (struct distribution){ 0 };
    for (struct span line = span_cut(&os_release, '\n'); line.data; line = span_cut(&os_release, '\n')) {
        struct span value = span_trim(line), key = span_cut(&value, '=');
        const char **member = span_is(key, "ID") ? &out->id : span_is(key, "VERSION_ID") ? &out->version : NULL;

        if (member && !*member && value.data && !keep(arena, member, unquoted(value), err))
            return false;
    }
    return true;
}
