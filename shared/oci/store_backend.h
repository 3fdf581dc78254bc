/* What a place for images must answer; store.h is in front of it and does the checking that is the same for every
 * place. */
#ifndef PUSHWRIGHT_OCI_STORE_BACKEND_H
#define PUSHWRIGHT_OCI_STORE_BACKEND_H

#include "shared/oci/store.h"

/* The bytes of a blob to be written: from memory, or from a file (fd >= 0) read from its start. */
struct blob_source {
    struct span data;
    int fd;
};

/* A part of a list of referrers: an index. */
typedef bool referrers_page_fn(void *context, struct span index, struct error *err);

/* Each takes the backend's own state; tags and digests were checked, errors are those of store.h. */
struct store_backend {
    void (*free)(void *self);
    /* Descriptor of a tag or digest; the digest may be what the peer claims. */
    bool (*resolve)(void *self, const char *tag_or_digest, struct descriptor *out, struct error *err);
    /* Bytes appended to *body; out->media_type "" when the place does not tell; store.c fills in and checks the
     * rest. */
    bool (*get_manifest)(void *self, const char *tag_or_digest, struct bytes *body, struct descriptor *out,
                         struct error *err);
    /* Delivers every byte once, in order, however often it has to begin anew; store.c checks digest and size. */
    bool (*get_blob)(void *self, const struct descriptor *blob, http_body_fn *on_data, void *context,
                     struct error *err);
    bool (*has_blob)(void *self, const char *digest, bool *has, struct error *err);
    /* *known false: the place keeps no such lists (NULL: it never does). */
    bool (*list_referrers)(void *self, const char *subject, const char *artifact_type, referrers_page_fn *on_page,
                           void *context, bool *known, struct error *err);
    bool (*list_tags)(void *self, store_tag_fn *on_tag, void *context, struct error *err);
};

/* What is asked of a place that is written to: apart from the above, so that who only reads does not link it. */
struct store_writer {
    bool (*will_mount)(void *self, const struct reference *from, struct error *err); /* NULL: it does not matter */
    bool (*mount_blob)(void *self, const struct descriptor *blob, const struct reference *from, bool *done,
                       struct error *err);
    bool (*begin_upload)(void *self, struct error *err); /* NULL: there is nothing to begin */
    bool (*put_blob)(void *self, const struct descriptor *blob, const struct blob_source *source, struct error *err);
    /* out is complete already; tag NULL: by digest. *listed (may be NULL): the place lists it as a referrer of its
     * subject. */
    bool (*put_manifest)(void *self, const char *tag, struct span body, const struct descriptor *out, bool *listed,
                         struct error *err);
};

struct mirror {
    struct store *store;
    struct registry_options options;
    bool out_of_use; /* it failed, or lied */
};

struct store {
    const struct store_backend *backend;
    const struct store_writer *writer; /* NULL: it was not written to yet */
    void *self;
    struct mirror *mirrors; /* asked before; NULL: none */
    size_t mirror_count;
    struct destination *destination; /* asked after the mirrors; NULL: none is */
    struct store *at_destination;    /* NULL: it was not asked yet */
    char *cache_directory;           /* NULL: none */
    char *name;                      /* "registry 'host'" or "layout 'directory'", for messages */
};

/* NULL with *err filled. The options are borrowed until the store is freed. */
void *registry_new(const struct reference *reference, const struct registry_options *options, struct error *err);
void *layout_new(const char *directory, const struct registry_options *options, struct error *err);
extern const struct store_backend registry_backend, layout_backend;
extern const struct store_writer registry_writer, layout_writer;

const struct store_writer *store_writer_of(struct store *store);

/* The login for a registry; NULL when there is none. */
const struct registry_login *login_for(const struct registry_options *options, const char *registry);

/* Directory of the OCI layout that a reference means: its own, or one below the login's; NULL (no error) when it is
 * at a registry. The caller frees it. */
bool layout_directory(const struct reference *reference, const struct registry_options *options, char **out,
                      struct error *err);

enum { MEDIA_TYPE_SIZE = sizeof((struct descriptor *)0)->media_type };
#define MEDIA_DOCKER_SCHEMA_1 "application/vnd.docker.distribution.manifest.v1+json"

/* The media type a manifest's own text tells (*told) or suggests. ERROR_INVALID when it is not a JSON object. */
bool manifest_media_type(struct span body, char out[static MEDIA_TYPE_SIZE], bool *told, struct error *err);

#endif
