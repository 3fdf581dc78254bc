/* Where images are kept: one repository, at a registry (OCI distribution 1.1) or in an OCI layout directory. Both
 * answer to the same calls, and everything read is verified against its digest and size before the call returns
 * true. */
#ifndef PUSHWRIGHT_OCI_STORE_H
#define PUSHWRIGHT_OCI_STORE_H

#include "shared/http/client.h"
#include "shared/oci/cloud.h"
#include "shared/oci/reference.h"
#include "shared/secrets/secret.h"

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
/* OCI image-spec 1.1, "Guidance for an Empty Descriptor": "{}", where an artifact has no configuration or no content. */
#define MEDIA_OCI_EMPTY "application/vnd.oci.empty.v1+json"
#define MEDIA_OCI_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"
#define MEDIA_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

enum { STORE_MANIFEST_MAX = 4 * 1024 * 1024, STORE_CONFIG_MAX = 8 * 1024 * 1024 };

struct descriptor {
    char media_type[128];
    char digest[DIGEST_TEXT_SIZE];
    int64_t size;
};

/* How to speak with registries; from the configuration. Borrowed until the store is freed. */
struct registry_login {
    const char *host; /* host[:port] as in references */
    const char *username;
    const struct secret *password;      /* with username: basic, or exchanged for a bearer token */
    const struct secret *docker_config; /* a config.json / auth.json instead: "auths" by host or host/path prefix */
    enum cloud cloud;                   /* instead of both: its short-lived credentials */
    bool plain_http;
    const char *ca_file;
    const char *const *mirrors; /* host[:port][/prefix]: what the registry holds is looked for there first */
    size_t mirror_count;
    const char *layout; /* a directory stands for the registry: its repositories are OCI layouts below it; NULL: not */
};

struct destination;

struct registry_options {
    const struct registry_login *logins;
    size_t login_count;
    bool push;                        /* ask for push scope from the start */
    long timeout_ms;                  /* 0: 10 minutes a transfer */
    int64_t part_size;                /* larger blobs are uploaded in parts of this many bytes; 0: 32 MB */
    struct registry_session *session; /* connections and tokens shared with other stores; NULL: none are */
    bool use_mirrors;                 /* where reading a little less than the newest does no harm */
    bool hasty;                       /* give up after one more try: there is another place to ask */
    bool (*cancelled)(void *context); /* asked while a blob is sent; NULL: never */
    void *cancelled_context;
    const char *cache_directory; /* small blobs are kept here, by digest; NULL: nowhere */
    struct destination
        *destination; /* what is expected there is read from there, unless it lies in a layout; NULL: nothing is */
};

struct store; /* one thread at a time */

enum { STORE_MIRRORS_MAX = 8 };

/* Mirrors, when the options say so, are asked in order, the registry itself last; one that fails is not asked again by
 * this store. Digests are verified as everywhere; what stands behind a tag a mirror is believed.
 *
 * No network yet. options may be NULL (anonymous). Registries are spoken to by https; by plain http when their login
 * says so, and on localhost and loopback addresses when it names no ca_file. */
struct store *store_open(const struct reference *reference, const struct registry_options *options, struct error *err);
void store_free(struct store *store);
AUTO_FREE(struct store, store_free)

/* All of the following fail with ERROR_NOT_FOUND (no such tag, blob or repository), ERROR_DENIED, ERROR_INVALID (the
 * peer refused name or digest), ERROR_UNAVAILABLE, ERROR_BUSY, ERROR_UNCERTAIN, or ERROR_UNAVAILABLE "... lies: ..."
 * when digest or size of what came differ from what was promised. Temporary failures are tried again inside with
 * backoff (429 and 503 by Retry-After), a few times. */

/* What stands behind a tag or digest. */
bool store_resolve(struct store *store, const char *tag_or_digest, struct descriptor *out, struct error *err);

/* The manifest's exact bytes, appended to *body. */
bool store_get_manifest(struct store *store, const char *tag_or_digest, struct bytes *body, struct descriptor *out,
                        struct error *err);

/* A blob, streamed to on_data (follows one redirect, without credentials, never to a private address unless the
 * registry itself is on one), or appended to *body. on_data must hold its effect back until the call has returned
 * true. */
bool store_get_blob(struct store *store, const struct descriptor *blob, http_body_fn *on_data, void *context,
                    struct error *err);
bool store_read_blob(struct store *store, const struct descriptor *blob, struct bytes *body, struct error *err);

bool store_has_blob(struct store *store, const char *digest, bool *has, struct error *err);

/* Blobs are going to be mounted from there: asked for in the same token as the rest, when this comes before the first
 * request. */
bool store_will_mount(struct store *store, const struct reference *from, struct error *err);

/* Make the blob available here without moving it: already here, or mounted from another repository of the same registry
 * (for a layout: hard-linked from another layout). *done false: it must be uploaded. */
bool store_mount_blob(struct store *store, const struct descriptor *blob, const struct reference *from, bool *done,
                      struct error *err);

/* Is it at a registry, over a network? */
bool store_is_remote(const struct store *store);

/* A small blob will come that is new, as far as anybody knows: its upload begins before it is there. What nothing came for is
 * taken back by store_free(). */
bool store_begin_upload(struct store *store, struct error *err);

/* Upload unless it is there already. The digest of the bytes must be blob->digest. */
bool store_put_blob(struct store *store, const struct descriptor *blob, struct span data, struct error *err);
/* The same from a file opened for reading (from offset 0), streamed. */
bool store_put_blob_file(struct store *store, const struct descriptor *blob, int fd, struct error *err);

/* tag NULL: by digest only. Fills *out. */
bool store_put_manifest(struct store *store, const char *tag, const char *media_type, struct span body,
                        struct descriptor *out, struct error *err);

/* Calls for each tag that there is, in the order of the place, with a tag that is legal. False stops with *err. */
typedef bool store_tag_fn(void *context, const char *tag, struct error *err);
bool store_list_tags(struct store *store, store_tag_fn *on_tag, void *context, struct error *err);

#endif
