/* The repository that an image goes to, for who reads what it stands on: a layer of the base that was sent there before is read from there, and
 * nobody has to ask for it again when the image is sent. A new repository holds none, which the first question tells: it is the only one in vain. */
#ifndef PUSHWRIGHT_OCI_DESTINATION_H
#define PUSHWRIGHT_OCI_DESTINATION_H

#include "shared/oci/store.h"

struct destination; /* any number of threads */

/* No network yet. Both are borrowed. */
struct destination *destination_new(const struct reference *reference, const struct registry_options *options,
                                    struct error *err);
void destination_free(struct destination *destination); /* after every store that has it in its options */
AUTO_FREE(struct destination, destination_free)

/* In all that follow NULL is one of which nothing is known. */

/* A blob that lies at `from` will be read, and wanted there: it is looked for there first, as no other is. */
bool destination_expect(struct destination *destination, const struct reference *from, const char *digest,
                        struct error *err);
bool destination_expects(struct destination *destination, const char *digest);
/* It is one of those, and was read from there. */
bool destination_has(struct destination *destination, const char *digest);

/* ---- for the store that reads ---- */

/* Is it to be looked for there? Then destination_tell() must follow. Until the first question is answered all others wait. */
bool destination_ask(struct destination *destination, const char *digest);
/* It has answered with bytes: nobody needs to wait for the last of them. */
void destination_opens(struct destination *destination);
void destination_tell(struct destination *destination, const char *digest, bool has);

/* To read there, with the token that will do for sending, too. */
struct store *destination_open(const struct destination *destination, struct error *err);

#endif
