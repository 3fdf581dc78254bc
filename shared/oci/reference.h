/* Names of images: a repository at a registry, or an OCI layout directory on this machine.
 *
 *   registry.example.com/acme/web:1.2@sha256:...   registry, repository, tag, digest
 *   nginx                                          docker.io / library/nginx : latest (Docker's short names)
 *   oci:/var/lib/images/web:1.2                    layout directory, tag */
#ifndef PUSHWRIGHT_OCI_REFERENCE_H
#define PUSHWRIGHT_OCI_REFERENCE_H

#include "shared/base/auto.h"
#include "shared/base/bytes.h"

enum { DIGEST_TEXT_SIZE = 72 }; /* "sha256:" + 64 hex digits + NUL */

struct reference {
    char *registry;   /* host[:port]; NULL for a layout */
    char *repository; /* path without host; for a layout the directory */
    char *tag;        /* NULL: none written (the caller decides about "latest") */
    char *digest;     /* NULL: none written */
};

/* Grammar of distribution's reference package; ERROR_INVALID says what is wrong ("repository name must be lower
 * case"). */
bool reference_parse(struct span text, struct reference *reference, struct error *err);
void reference_release(struct reference *reference);
AUTO_RELEASE(struct reference, reference_release)

/* Registry and repository alone. False: out of memory. */
bool reference_copy_place(const struct reference *reference, struct reference *out);

bool reference_is_layout(const struct reference *reference);

/* "registry/repository" or "oci:directory": what triggers and build rules are compared by. */
bool reference_name(struct bytes *out, const struct reference *reference, struct error *err);

bool reference_tag_is_legal(struct span tag); /* [A-Za-z0-9_][A-Za-z0-9._-]{0,127} */
bool digest_is_legal(struct span digest);     /* sha256: and 64 lower-case hex digits */

/* pkg:oci/<last path part>@sha256%3A<hex>?repository_url=<registry/path>&tag=<tag>, as CDEvents name artifacts; tag
 * may be NULL, and so may the digest of what is known by its tag alone. */
bool reference_purl(struct bytes *out, const struct reference *reference, const char *digest, const char *tag,
                    struct error *err);
/* And back: repository_url, digest and tag of such a purl. */
bool reference_from_purl(struct span purl, struct reference *reference, struct error *err);

#endif
