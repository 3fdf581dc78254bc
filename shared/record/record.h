/* What became of the builds of a ref, kept where the images are, so that no function has to remember: what was lost on the way is found
 * by comparing this with what the ref points to.
 *
 * For each build rule and ref the repository of the rule's image holds one small tag, "pushwright-ref-HASH": an artifact without content
 * whose annotations say how the newest build ended. Not the image's own tags, because a template need not tell the commit ({time}, "latest"),
 * and not its annotations, because an image may be gone by the rules of its registry although it was built, and a build that failed
 * has none. Not one document for all refs, because a registry has no "write unless it changed".
 *
 * For each rule a second one, "pushwright-refs-HASH", lists the refs that the git repository had when the rule first built. What stands
 * there, and was not built since, is older than the rule: nobody lost it. It is written once.
 *
 * Both are bounded by the number of refs, and overwritten in place; what a tag named before is the registry's to collect. */
#ifndef PUSHWRIGHT_RECORD_RECORD_H
#define PUSHWRIGHT_RECORD_RECORD_H

#include "shared/base/arena.h"
#include "shared/gitrefs/refs.h"
#include "shared/oci/store.h"

/* Tags that begin like this are no images. */
#define RECORD_TAG_PREFIX "pushwright-ref"

enum record_outcome {
    RECORD_NONE,
    RECORD_RUNNING,
    RECORD_WAITING,
    RECORD_BUILT,
    RECORD_FAILED,
    RECORD_SKIPPED,
    RECORD_OUTCOMES
};

struct record {
    enum record_outcome
        outcome; /* RECORD_NONE: nothing is known of this ref, and the rest is empty; WAITING: for its next try */
    const char *commit;
    const char *asked;    /* the object that the event named, which may be an annotated tag; NULL: the same */
    const char *event;    /* id of the event that asked */
    const char *sequence; /* of the push, decimal */
    const char *bases;    /* a line "NAME:TAG DIGEST" for each image that it stands on; NULL: not told */
    int64_t at_ms;        /* when this was written */
};

/* The repository that holds the image (a reference without tag). push as in registry_options. */
struct store *record_store(const char *image, const struct registry_options *registries, struct error *err);

/* Strings live in the arena. Fails as the store does; what was written by somebody else, or is malformed, reads as RECORD_NONE. */
bool record_read(struct store *store, const char *rule, const char *ref, struct arena *arena, struct record *out,
                 struct error *err);
/* again: one stands there, so what it is made of need not be sent. */
bool record_write(struct store *store, const char *rule, const char *ref, const struct record *record, bool again,
                  struct error *err);

/* Add a line to *bases, unless it stands there; more than RECORD_BASES_MAX bytes are not told. */
enum { RECORD_BASES_MAX = 8 * 1024 };
bool record_add_base(struct bytes *bases, const char *image, const char *digest, struct error *err);
/* Take the next line off *rest; false: there is none, or it is not ours. */
bool record_next_base(struct span *rest, struct span *image, struct span *digest);
bool record_stands_on(const struct record *record, const char *image, const char *digest);

/* Is it about this object? */
bool record_is_about(const struct record *record, const char *commit);

/* The refs that were there when the rule first built. *out NULL: it never did. */
bool record_read_first(struct store *store, const char *rule, struct refs **out, struct error *err);
bool record_has_first(struct store *store, const char *rule, bool *has, struct error *err);
bool record_write_first(struct store *store, const char *rule, const struct refs *refs, struct error *err);

#endif
