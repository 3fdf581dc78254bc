#include "shared/attest/inventory.h"

#include <string.h>

bool inventory_init(struct inventory *inventory, struct error *err)
{
    *inventory = (struct inventory){ .unlisted = NULL };
    return packages_init(&inventory->packages, err);
}

void inventory_release(struct inventory *inventory)
{
    packages_release(&inventory->packages);
}

static bool read_dpkg(struct inventory *inventory, struct span content, struct error *err)
{
    return packages_read_dpkg(&inventory->packages, content, err);
}

static bool read_apk(struct inventory *inventory, struct span content, struct error *err)
{
    return packages_read_apk(&inventory->packages, content, err);
}

static bool read_os_release(struct inventory *inventory, struct span content, struct error *err)
{
    return inventory->distribution.id ||
           distribution_read(inventory->packages.arena, content, &inventory->distribution, err);
}

bool inventory_unread(struct inventory *inventory, const char *path, const char *why, struct error *err)
{
    struct arena *arena = inventory->packages.arena;

    if (!inventory->unlisted)
        inventory->unlisted =
            arena_printf(arena, "Packages of rpm, which keeps them in '/%s', may be missing: %s.", path, why);
    return inventory->unlisted || arena_no_room(arena, "the list of packages", err);
}

/* One that is broken is the image's affair, not its build's; what could be read is listed. */
static bool look_rpm(struct inventory *inventory, const char *path, const struct rpm_database *database,
                     struct error *err)
{
    struct error failed = { 0 };

    if (packages_read_rpm(&inventory->packages, database, &failed))
        return true;
    if (failed.kind == ERROR_INVALID)
        return inventory_unread(inventory, path, failed.message, err);
    *err = failed;
    return false;
}

const struct inventory_place inventory_places[INVENTORY_PLACES] = {
    { "etc/os-release", read_os_release, false, NULL },
    { "usr/lib/os-release", read_os_release, false, NULL },
    { "var/lib/dpkg/status", read_dpkg, false, NULL },
    { "var/lib/dpkg/status.d", read_dpkg, true, NULL },
    { "lib/apk/db/installed", read_apk, false, NULL },
    { "usr/lib/apk/db/installed", read_apk, false, NULL },
    { "var/lib/rpm/rpmdb.sqlite", NULL, false, look_rpm },
    { "var/lib/rpm/rpmdb.sqlite-wal", NULL, false, NULL },
    { "var/lib/rpm/Packages.db", NULL, false, look_rpm },
    { "var/lib/rpm/Packages", NULL, false, look_rpm },
    { "usr/lib/sysimage/rpm/rpmdb.sqlite", NULL, false, look_rpm },
    { "usr/lib/sysimage/rpm/rpmdb.sqlite-wal", NULL, false, NULL },
    { "usr/lib/sysimage/rpm/Packages.db", NULL, false, look_rpm },
    { "usr/lib/sysimage/rpm/Packages", NULL, false, look_rpm },
    { "usr/share/rpm/rpmdb.sqlite", NULL, false, look_rpm },
    { "usr/share/rpm/rpmdb.sqlite-wal", NULL, false, NULL },
    { "usr/share/rpm/Packages.db", NULL, false, look_rpm },
    { "usr/share/rpm/Packages", NULL, false, look_rpm },
};

bool inventory_is_database(const char *name)
{
    return !span_ends(span_of(name), ".md5sums");
}

static bool is_at(const struct inventory_place *place, const char *path)
{
    size_t len = strlen(place->path);
    const char *name = path + len + 1;

    if (strncmp(path, place->path, len) != 0)
        return false;
    return place->directory ? path[len] == '/' && !strchr(name, '/') && inventory_is_database(name) : path[len] == '\0';
}

bool inventory_wants(const char *path)
{
    for (size_t i = 0; i < INVENTORY_PLACES; i++) {
        if ((inventory_places[i].read || inventory_places[i].look) && is_at(&inventory_places[i], path))
            return true;
    }
    return false;
}
