/* Packages that rpm has installed, out of its database in any of the three formats that distributions use: SQLite (Fedora, RHEL 9 and later,
 * Amazon Linux 2023), ndb (SUSE) and a Berkeley DB hash (RHEL 8, CentOS 7, Amazon Linux 2). Read here, page by page, because a library for
 * each is larger than all the rest that a build links; by the formats' descriptions: sqlite.org/fileformat2.html, db_page.h and hash.h of
 * Berkeley DB 5.3, rpm's lib/backend/ndb/rpmpkg.c, and "Header structure" of rpm's manual for what they hold.
 *
 * A database comes with the image: no number in it is believed, and what is read of it all in all is bounded by its size. */
#ifndef PUSHWRIGHT_ATTEST_RPM_H
#define PUSHWRIGHT_ATTEST_RPM_H

#include "shared/attest/packages.h"

#include <stdint.h>

enum { RPM_DATABASE_MAX = 512 * 1024 * 1024 };

struct rpm_database { /* a part of a file, borrowed */
    int fd;
    int64_t offset, size;
};

/* What is in the list afterwards is installed, imported keys (gpg-pubkey) among it, as rpm itself and scanners list them; a package without
 * name, version or release is passed over. ERROR_INVALID: not such a database, or a broken one; what was read before that stays in the
 * list. ERROR_TOO_LARGE as the other readers. SQLite's write-ahead log is no part of it: rpm leaves it empty whenever it ends. */
bool packages_read_rpm(struct packages *packages, const struct rpm_database *database, struct error *err);

#endif
