#include "shared/attest/inventory.h"

#include <string.h>

bool inventory_init(struct inventory *inventory, struct error *err)
{
    *inventory = (struct inventory){ .unread = NULL };
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

/* Databases of rpm are no text, in three formats. */
const struct inventory_place inventory_places[INVENTORY_PLACES] = {
    { "etc/os-release", read_os_release, false },        { "usr/lib/os-release", read_os_release, false },
    { "var/lib/dpkg/status", read_dpkg, false },         { "var/lib/dpkg/status.d", read_dpkg, true },
    { "lib/apk/db/installed", read_apk, false },         { "usr/lib/apk/db/installed", read_apk, false },
    { "var/lib/rpm/rpmdb.sqlite", NULL, false },         { "var/lib/rpm/Packages", NULL, false },
    { "var/lib/rpm/Packages.db", NULL, false },          { "usr/lib/sysimage/rpm/rpmdb.sqlite", NULL, false },
    { "usr/lib/sysimage/rpm/Packages.db", NULL, false },
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
        if (inventory_places[i].read && is_at(&inventory_places[i], path))
            return true;
    }
    return false;
}
