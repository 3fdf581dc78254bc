#include "shared/record/record.h"
#include "shared/oci/descriptor.h"

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/encode.h"
#include "shared/base/json.h"

#include <string.h>

enum {
    HASH_DIGITS = 26,
    NAME_MAX_BYTES = 64,
    MANIFEST_MAX = 16 * 1024,
    ARENA_MAX = 256 * 1024,
    FIRST_MAX = 16 * 1024 * 1024
};

#define RECORD_TYPE "application/vnd.pushwright.build.v1"
#define FIRST_TYPE "application/vnd.pushwright.refs.v1"

#define COMMIT_KEY "org.opencontainers.image.revision"
#define TIME_KEY "org.opencontainers.image.created"
#define OUTCOME_KEY "dev.pushwright.outcome"
#define ASKED_KEY "dev.pushwright.asked"
#define EVENT_KEY "dev.pushwright.event"
#define SEQUENCE_KEY "dev.pushwright.sequence"
#define BASES_KEY "dev.pushwright.bases"
#define BUILD_KEY "dev.pushwright.build"
#define REF_KEY "dev.pushwright.ref"

static const char *const outcome_names[RECORD_OUTCOMES] = {
    [RECORD_RUNNING] = "running", [RECORD_WAITING] = "waiting", [RECORD_BUILT] = "built",
    [RECORD_FAILED] = "failed",   [RECORD_SKIPPED] = "skipped",
};

/* ---- names ---- */

static void name_of(char out[static NAME_MAX_BYTES], const char *prefix, const char *rule, const char *ref)
{
    struct sha256 sha;
    uint8_t hash[SHA256_SIZE];
    char text[(SHA256_SIZE * 8 + 4) / 5 + 1];

    sha256_init(&sha);
    sha256_update(&sha, rule, strlen(rule));
    sha256_update(&sha, "\n", 1);
    sha256_update(&sha, ref, strlen(ref));
    sha256_final(&sha, hash);
    base32_encode(text, hash, sizeof(hash));
    snprintf(out, NAME_MAX_BYTES, "%s%.*s", prefix, HASH_DIGITS, text);
}

static void record_name(char out[static NAME_MAX_BYTES], const char *rule, const char *ref)
{
    name_of(out, RECORD_TAG_PREFIX "-", rule, ref);
}

static void first_name(char out[static NAME_MAX_BYTES], const char *rule)
{
    name_of(out, RECORD_TAG_PREFIX "s-", rule, "");
}

struct store *record_store(const char *image, const struct registry_options *registries, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };

    return reference_parse(span_of(image), &reference, err) ? store_open(&reference, registries, err) : NULL;
}

/* ---- artifacts ---- */

/* Up to its annotations, which the caller writes. */
static struct json_writer open_artifact(struct bytes *out, const char *type, const struct descriptor *config,
                                        const struct descriptor *layer)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", MEDIA_OCI_MANIFEST);
    json_add_string(&w, "artifactType", type);
    descriptor_write(&w, "config", config);
    json_open_array(&w, "layers");
    descriptor_write(&w, NULL, layer);
    json_close_array(&w);
    json_open_object(&w, "annotations");
    return w;
}

static bool close_artifact(struct json_writer *w, struct error *err)
{
    json_close_object(w);
    json_close_object(w);
    return json_writer_end(w, err);
}

/* NULL in *out: there is no such tag, or it is not ours. */
static bool read_artifact(struct store *store, const char *name, const char *type, struct arena *arena,
                          const struct json **out, struct error *err)
{
    AUTO(bytes_release) struct bytes body = BYTES(MANIFEST_MAX);
    struct descriptor descriptor;
    struct error failed = { 0 };

    *out = NULL;
    if (!store_get_manifest(store, name, &body, &descriptor, &failed)) {
        if (failed.kind == ERROR_NOT_FOUND || failed.kind == ERROR_TOO_LARGE)
            return true;
        *err = failed;
        return false;
    }
    const struct json *manifest = json_parse(arena, bytes_span(&body), &failed);
    const char *told = json_get_string(manifest, "artifactType");
    if (told && strcmp(told, type) == 0)
        *out = manifest;
    return true;
}

/* ---- one ref ---- */

static bool is_commit(const char *text)
{
    size_t len = text ? strlen(text) : 0;

    return (len == 40 || len == 64) && strspn(text, "0123456789abcdef") == len;
}

static enum record_outcome outcome_of(const char *word)
{
    size_t i = RECORD_NONE + 1;

    while (i < RECORD_OUTCOMES && (!word || strcmp(word, outcome_names[i]) != 0))
        i++;
    return i < RECORD_OUTCOMES ? (enum record_outcome)i : RECORD_NONE;
}

bool record_read(struct store *store, const char *rule, const char *ref, struct arena *arena, struct record *out,
                 struct error *err)
{
    char name[NAME_MAX_BYTES];
    const struct json *manifest;

    record_name(name, rule, ref);
    *out = (struct record){ .outcome = RECORD_NONE };
    if (!read_artifact(store, name, RECORD_TYPE, arena, &manifest, err))
        return false;
    const struct json *notes = json_get(manifest, "annotations");
    struct record record = { .outcome = outcome_of(json_get_string(notes, OUTCOME_KEY)),
                             .commit = json_get_string(notes, COMMIT_KEY),
                             .asked = json_get_string(notes, ASKED_KEY),
                             .event = json_get_string(notes, EVENT_KEY),
                             .sequence = json_get_string(notes, SEQUENCE_KEY),
                             .bases = json_get_string(notes, BASES_KEY) };
    const char *time = json_get_string(notes, TIME_KEY);
    if (record.outcome != RECORD_NONE && is_commit(record.commit) && record.event && record.sequence && time &&
        rfc3339_parse(span_of(time), &record.at_ms))
        *out = record;
    return true;
}

static bool put_artifact(struct store *store, const char *name, const struct bytes *manifest, bool again,
                         struct error *err)
{
    const struct descriptor empty = descriptor_of(MEDIA_OCI_EMPTY, SPAN("{}"));
    struct descriptor ignored;
    struct error not_there = { 0 };

    return (again && store_put_manifest(store, name, MEDIA_OCI_MANIFEST, bytes_span(manifest), &ignored, &not_there)) ||
           (store_put_blob(store, &empty, SPAN("{}"), err) &&
            store_put_manifest(store, name, MEDIA_OCI_MANIFEST, bytes_span(manifest), &ignored, err));
}

bool record_write(struct store *store, const char *rule, const char *ref, const struct record *record, bool again,
                  struct error *err)
{
    AUTO(bytes_release) struct bytes manifest = BYTES(MANIFEST_MAX);
    struct descriptor empty = descriptor_of(MEDIA_OCI_EMPTY, SPAN("{}"));
    char name[NAME_MAX_BYTES], time[RFC3339_SIZE];

    record_name(name, rule, ref);
    rfc3339_format(time, record->at_ms);
    struct json_writer w = open_artifact(&manifest, RECORD_TYPE, &empty, &empty);
    json_add_string(&w, BUILD_KEY, rule);
    json_add_string(&w, REF_KEY, ref);
    json_add_string(&w, OUTCOME_KEY, outcome_names[record->outcome]);
    json_add_string(&w, COMMIT_KEY, record->commit);
    json_add_string(&w, ASKED_KEY, record->asked);
    json_add_string(&w, EVENT_KEY, record->event);
    json_add_string(&w, SEQUENCE_KEY, record->sequence);
    json_add_string(&w, TIME_KEY, time);
    json_add_string(&w, BASES_KEY, record->bases && *record->bases ? record->bases : NULL);
    return (close_artifact(&w, err) && put_artifact(store, name, &manifest, again, err)) ||
           error_wrap(err, "remember the build of '%s'", ref);
}

bool record_next_base(struct span *rest, struct span *image, struct span *digest)
{
    *digest = span_cut(rest, '\n');
    *image = span_cut(digest, ' ');
    return image->len > 0 && digest->data && digest_is_legal(*digest);
}

bool record_stands_on(const struct record *record, const char *image, const char *digest)
{
    struct span rest = span_of(record->bases), name, now;

    while (record->bases && record_next_base(&rest, &name, &now)) {
        if (span_is(name, image) && span_is(now, digest))
            return true;
    }
    return false;
}

bool record_add_base(struct bytes *bases, const char *image, const char *digest, struct error *err)
{
    const struct record told = { .bases = bytes_text(bases) };

    if (record_stands_on(&told, image, digest) || bases->len + strlen(image) + strlen(digest) + 2 > RECORD_BASES_MAX)
        return true;
    return bytes_printf(bases, err, "%s%s %s", bases->len > 0 ? "\n" : "", image, digest);
}

bool record_is_about(const struct record *record, const char *commit)
{
    return record->outcome != RECORD_NONE &&
           (strcmp(record->commit, commit) == 0 || (record->asked && strcmp(record->asked, commit) == 0));
}

/* ---- the refs of the beginning ---- */

bool record_has_first(struct store *store, const char *rule, bool *has, struct error *err)
{
    char name[NAME_MAX_BYTES];
    struct descriptor ignored;
    struct error failed = { 0 };

    first_name(name, rule);
    *has = store_resolve(store, name, &ignored, &failed);
    if (*has || failed.kind == ERROR_NOT_FOUND)
        return true;
    *err = failed;
    return false;
}

static bool read_layer(const struct json *manifest, struct descriptor *out)
{
    const struct json *layer = json_first(json_get(manifest, "layers"));
    const char *digest = json_get_string(layer, "digest"), *type = json_get_string(layer, "mediaType");

    *out = (struct descriptor){ .size = -1 };
    if (!digest || !type || strlen(digest) >= sizeof(out->digest) || strlen(type) >= sizeof(out->media_type) ||
        !digest_is_legal(span_of(digest)) || !json_integer(json_get(layer, "size"), &out->size))
        return false;
    strcpy(out->digest, digest);
    strcpy(out->media_type, type);
    return out->size >= 0 && out->size <= FIRST_MAX;
}

bool record_read_first(struct store *store, const char *rule, struct refs **out, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(FIRST_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(ARENA_MAX);
    char name[NAME_MAX_BYTES];
    const struct json *manifest;
    struct descriptor layer;

    *out = NULL;
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    first_name(name, rule);
    if (!read_artifact(store, name, FIRST_TYPE, arena, &manifest, err))
        return false;
    if (!manifest || !read_layer(manifest, &layer))
        return true;
    if (!store_read_blob(store, &layer, &text, err))
        return error_wrap(err, "the refs of the beginning");
    *out = refs_parse(bytes_span(&text), err);
    return *out != NULL;
}

bool record_write_first(struct store *store, const char *rule, const struct refs *refs, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(FIRST_MAX);
    AUTO(bytes_release) struct bytes manifest = BYTES(MANIFEST_MAX);
    struct descriptor empty = descriptor_of(MEDIA_OCI_EMPTY, SPAN("{}"));
    char name[NAME_MAX_BYTES];

    if (!refs_write(&text, refs, err))
        return false;
    first_name(name, rule);
    struct descriptor layer = descriptor_of(FIRST_TYPE, bytes_span(&text));
    struct json_writer w = open_artifact(&manifest, FIRST_TYPE, &empty, &layer);
    json_add_string(&w, BUILD_KEY, rule);
    return (close_artifact(&w, err) && store_put_blob(store, &layer, bytes_span(&text), err) &&
            put_artifact(store, name, &manifest, false, err)) ||
           error_wrap(err, "remember the refs that there were at the beginning");
}
