/* Where package managers keep what is installed, in any image, and what is found there. */
#ifndef PUSHWRIGHT_ATTEST_INVENTORY_H
#define PUSHWRIGHT_ATTEST_INVENTORY_H

#include "shared/attest/packages.h"
#include "shared/attest/rpm.h"

struct inventory {
    struct packages packages;
    struct distribution distribution;
    const char *unlisted; /* a sentence that says of which database packages may be missing, and why; NULL: of none */
};

bool inventory_init(struct inventory *inventory, struct error *err);
void inventory_release(struct inventory *inventory);
AUTO_RELEASE(struct inventory, inventory_release)

enum { INVENTORY_PLACES = 18 };
struct inventory_place {
    const char *path;
    /* A text, which is read whole; NULL: it is none. */
    bool (*read)(struct inventory *inventory, struct span content, struct error *err);
    bool directory; /* every file in it */
    /* A database, which is read where it lies; without either it is not read, and inventory_unread() tells when there is something in it. */
    bool (*look)(struct inventory *inventory, const char *path, const struct rpm_database *database, struct error *err);
};
extern const struct inventory_place inventory_places[INVENTORY_PLACES];

/* Packages may be missing: the first that is told stays. */
bool inventory_unread(struct inventory *inventory, const char *path, const char *why, struct error *err);

/* Is this (a path in a layer, without "./") one of the files that are read? */
bool inventory_wants(const char *path);

/* The name of a file in a directory of databases: is it one? */
bool inventory_is_database(const char *name);

#endif
