/* Packages of the operating system, read from what its package managers keep in an image: dpkg's status (deb-status(5) stanzas, also the
 * single ones of status.d in images without dpkg) and apk's installed database (apk-tools, "APKv2 installed db"); rpm's are read in rpm.h.
 *
 * Databases come with the image and are whatever their author wished: nothing is believed but that it is text, and all of it is bounded. */
#ifndef PUSHWRIGHT_ATTEST_PACKAGES_H
#define PUSHWRIGHT_ATTEST_PACKAGES_H

#include "shared/base/arena.h"
#include "shared/base/bytes.h"

enum { PACKAGES_MAX = 100 * 1000, PACKAGES_DATABASE_MAX = 32 * 1024 * 1024, PACKAGE_FIELD_MAX = 1024 };

enum package_kind { PACKAGE_DEB, PACKAGE_APK, PACKAGE_RPM, PACKAGE_KINDS };

struct package { /* texts are NULL where nothing is said, or more than PACKAGE_FIELD_MAX bytes */
    enum package_kind kind;
    const char *name, *version; /* never NULL; rpm's is "[epoch:]version-release" */
    const char *architecture;
    const char *source; /* the package that it was built of, when that has another name; rpm's: its file */
    const char *maintainer, *license, *url; /* as written; rpm's vendor is its maintainer */
};

/* What distribution it is, by os-release(5). */
struct distribution {
    const char *id, *version; /* NULL: not told */
};

struct packages {
    struct package *items;
    size_t count, capacity;
    struct arena *arena;
};

/* False: out of memory. */
bool packages_init(struct packages *packages, struct error *err);
void packages_release(struct packages *packages);
AUTO_RELEASE(struct packages, packages_release)

/* Its texts stay where they are: in the arena. One without name or version is passed over. ERROR_TOO_LARGE over PACKAGES_MAX. */
bool packages_add(struct packages *packages, const struct package *package, struct error *err);

/* What is installed goes into the list; stanzas without name or version are passed over. ERROR_TOO_LARGE over one of the ceilings. */
bool packages_read_dpkg(struct packages *packages, struct span status, struct error *err);
bool packages_read_apk(struct packages *packages, struct span installed, struct error *err);

/* By kind, name, version and architecture, each once: the list does not depend on the order of the databases. */
void packages_sort(struct packages *packages);

bool distribution_read(struct arena *arena, struct span os_release, struct distribution *out, struct error *err);

#endif
