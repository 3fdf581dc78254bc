/* Where package managers keep what is installed, in any image, and what is found there. */
#ifndef PUSHWRIGHT_ATTEST_INVENTORY_H
#define PUSHWRIGHT_ATTEST_INVENTORY_H

#include "shared/attest/packages.h"

struct inventory {
    struct packages packages;
    struct distribution distribution;
    const char *unread; /* path of a database that is not understood; NULL: none */
};

bool inventory_init(struct inventory *inventory, struct error *err);
void inventory_release(struct inventory *inventory);
AUTO_RELEASE(struct inventory, inventory_release)

enum { INVENTORY_PLACES = 11 };
struct inventory_place {
    const char *path;
    bool (*read)(struct inventory *inventory, struct span content, struct error *err); /* NULL: not understood */
    bool directory;                                                                    /* every file in it */
};
extern const struct inventory_place inventory_places[INVENTORY_PLACES];

/* Is this (a path in a layer, without "./") one of the files that are read? */
bool inventory_wants(const char *path);

/* The name of a file in a directory of databases: is it one? */
bool inventory_is_database(const char *name);

#endif
