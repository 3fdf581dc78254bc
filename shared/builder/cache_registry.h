/* The build cache at a registry, for machines that come up empty: one manifest for each rule, in a repository of the rule's choice, whose
 * layers are those of steps, each with its record beside it.
 *
 * One request reads all of it, and a layer is only fetched when somebody looks into it. Several builds at once overwrite each other's
 * manifest: what is lost is made again. Whoever may push there could write a record that brings a foreign layer into an image, so each is
 * sealed by its maker, and one whose seal is not ours counts only where the rule trusts the repository. What is fetched is held against
 * digest and diff id as everywhere. */
#ifndef PUSHWRIGHT_SHARED_BUILDER_CACHE_REGISTRY_H
#define PUSHWRIGHT_SHARED_BUILDER_CACHE_REGISTRY_H

#include "shared/builder/cache_record.h"
#include "shared/builder/indexstore.h"

/* Of all builds of a rule; the longest unused are dropped. */
enum { CACHE_REGISTRY_RECORDS_MAX = 1000 };

struct cache_place {
    const char *repository; /* reference without tag */
    const char *tag;        /* of the manifest */
};

struct cache_registry_options {
    const char *repository;           /* reference without tag; NULL: none is kept at a registry */
    const char *tag;                  /* of its manifest; NULL: the one for the rule's name */
    const struct cache_place *others; /* which are asked after it, and never written to */
    size_t other_count;
    bool all_stages; /* else the layers of the image */
    bool mounts;     /* what cache mounts hold, too */
    bool trusted;    /* records count without our seal */
    struct seal seal;
    const struct registry_options *registries;
};

struct cache_records {
    struct cache_record *items;
    size_t count;
};
void cache_records_release(struct cache_records *records);
AUTO_RELEASE(struct cache_records, cache_records_release)
const struct cache_record *cache_records_find(const struct cache_records *records, const char *key);
bool cache_records_add(struct cache_records *records, const struct cache_record *record, struct error *err);

/* A store of the options' repository, or of another one. *registries is what it is spoken to with, and lives as long as the store. */
struct store *cache_registry_open(const struct cache_registry_options *options, const char *repository, bool push,
                                  struct registry_options *registries, struct error *err);

/* The tag of a manifest: of the steps of a rule (kind "", the rule's name or NULL), of a cache mount ("mount-", its name). */
enum { CACHE_REGISTRY_TAG_SIZE = 64 };
void cache_registry_tag(const char *kind, const char *name, char out[static CACHE_REGISTRY_TAG_SIZE]);

/* What stands in the manifest and can be believed, appended to *out; none when there is no manifest. */
bool cache_registry_read(struct store *store, const struct cache_registry_options *options, const char *tag,
                         struct cache_records *out, struct error *err);
/* The same from the manifest's bytes. */
bool cache_registry_parse(struct span manifest, const struct cache_registry_options *options, struct cache_records *out,
                          struct error *err);

/* A manifest of these records, whose layers are there. */
bool cache_registry_write(struct store *store, const struct cache_registry_options *options, const char *tag,
                          const struct cache_records *records, struct error *err);

#endif
