#include "shared/builder/attestation.h"

#include "shared/attest/attest.h"
#include "shared/attest/spdx.h"
#include "shared/base/clock.h"
#include "shared/builder/contents.h"

#include <stdlib.h>
#include <string.h>

enum { DEPENDENCIES_MAX = 256, URI_MAX = 4096 };

/* ---- provenance ---- */

struct materials {
    struct dependency items[DEPENDENCIES_MAX];
    size_t count;
};

static bool add_material(struct materials *materials, const char *uri, const char *digest, struct error *err)
{
    for (size_t i = 0; i < materials->count; i++) {
        if (strcmp(materials->items[i].digest, digest) == 0)
            return true;
    }
    if (materials->count == DEPENDENCIES_MAX)
        return error_set(err, ERROR_TOO_LARGE, "the image stands on more than %d others", DEPENDENCIES_MAX);
    materials->items[materials->count++] = (struct dependency){ uri, digest };
    return true;
}

/* The purl of a base; NULL for one in a directory, whose path tells nobody anything. */
static bool base_uri(struct arena *arena, const struct base *base, const char **out, struct error *err)
{
    const struct reference *reference = &base->reference;
    AUTO(bytes_release) struct bytes uri = BYTES(URI_MAX);

    *out = NULL;
    if (reference_is_layout(reference))
        return true;
    if (!reference_purl(&uri, reference, base->image.manifest.digest, reference->tag, err))
        return false;
    *out = arena_dup(arena, bytes_span(&uri));
    return *out || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool add_bases(const struct attestation *attestation, struct materials *materials, struct error *err)
{
    for (size_t i = 0; i < attestation->count; i++) {
        size_t count;
        struct base *const *bases = built_bases(&attestation->built[i], &count);

        for (size_t k = 0; k < count; k++) {
            const char *uri;

            if (!base_uri(attestation->arena, bases[k], &uri, err) ||
                !add_material(materials, uri, bases[k]->image.manifest.digest, err))
                return false;
        }
    }
    return true;
}

static bool predicate_of(const struct attestation *attestation, struct bytes *out, struct error *err)
{
    const struct dependency *source = &attestation->source;
    struct provenance provenance = attestation->facts;
    AUTO(free) struct materials *materials = calloc(1, sizeof(*materials));

    if (!materials)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if ((source->digest && !add_material(materials, source->uri, source->digest, err)) ||
        !add_bases(attestation, materials, err))
        return false;
    provenance.platforms = attestation->platforms;
    provenance.platform_count = attestation->count;
    provenance.dependencies = materials->items;
    provenance.dependency_count = materials->count;
    provenance.finished_ms = clock_wall_ms();
    return provenance_write(out, &provenance, err);
}

/* ---- for each manifest of the image: those of the platforms, and the index of several ---- */

struct images {
    struct attested *items;
    size_t count;
};

static bool images_of(const struct attestation *attestation, struct publication *publication, struct images *out,
                      struct error *err)
{
    size_t platforms = attestation->count;

    out->items = arena_take(attestation->arena, (platforms + 1) * sizeof(out->items[0]));
    if (!out->items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < platforms; i++)
        out->items[out->count++].image = publication_platform(publication, i);
    if (platforms > 1)
        out->items[out->count++].image = publication_descriptor(publication);
    return true;
}

static bool tell_provenance(const struct attestation *attestation, const struct attestor *attestor,
                            const struct images *images, struct error *err)
{
    AUTO(bytes_release) struct bytes predicate = BYTES(STORE_MANIFEST_MAX);
    AUTO(bytes_release) struct bytes statement = BYTES(STORE_MANIFEST_MAX);
    struct subject *subjects = arena_take(attestation->arena, images->count * sizeof(subjects[0]));

    if (!subjects)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < images->count; i++)
        subjects[i] = (struct subject){ *attestor->name ? attestor->name : NULL, images->items[i].image->digest };
    if (!predicate_of(attestation, &predicate, err) ||
        !statement_write(&statement, subjects, images->count, PREDICATE_PROVENANCE, bytes_span(&predicate), err))
        return false;
    for (size_t i = 0; i < images->count; i++) {
        if (!attest_statement(attestor, &images->items[i], PREDICATE_PROVENANCE, bytes_span(&statement), err))
            return false;
    }
    return true;
}

static bool tell_packages(const struct attestor *attestor, struct built *built, struct attested *beside,
                          struct error *err)
{
    AUTO(inventory_release) struct inventory inventory = { .unlisted = NULL };
    AUTO(bytes_release) struct bytes document = BYTES(STATEMENT_MAX);

    if (!contents_list(built, &inventory, err))
        return false;
    const struct spdx spdx = { .name = attestor->name,
                               .digest = beside->image->digest,
                               .time_s = built->time_s,
                               .packages = &inventory.packages,
                               .distribution = inventory.distribution,
                               .comment = inventory.unlisted };
    return spdx_write(&document, &spdx, err) && attest_sbom(attestor, beside, bytes_span(&document), err);
}

/* Of each platform: an index has no files. */
static bool tell_all_packages(const struct attestation *attestation, const struct attestor *attestor,
                              const struct images *images, struct error *err)
{
    for (size_t i = 0; i < attestation->count; i++) {
        if (!tell_packages(attestor, &attestation->built[i], &images->items[i], err))
            return false;
    }
    return true;
}

static bool tell_signatures(const struct attestor *attestor, const struct images *images, struct error *err)
{
    for (size_t i = 0; i < images->count; i++) {
        if (!attest_signature(attestor, &images->items[i], err))
            return false;
    }
    return true;
}

static bool list_all(const struct attestor *attestor, const struct images *images, struct error *err)
{
    for (size_t i = 0; i < images->count; i++) {
        if (!attest_list(attestor, &images->items[i], err))
            return false;
    }
    return true;
}

static bool name_of(const struct reference *reference, struct bytes *out, struct error *err)
{
    return reference_is_layout(reference) || reference_name(out, reference, err);
}

bool attestation_publish(const struct attestation *attestation, struct publication *publication, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(URI_MAX);
    struct images images = { 0 };

    if (!attestation->provenance && !attestation->sbom && !attestation->key)
        return true;
    if (!name_of(publication_reference(publication), &name, err) || !images_of(attestation, publication, &images, err))
        return false;
    const struct attestor attestor = { publication_store(publication), bytes_text(&name), attestation->key };
    return (!attestation->provenance || tell_provenance(attestation, &attestor, &images, err)) &&
           (!attestation->sbom || tell_all_packages(attestation, &attestor, &images, err)) &&
           (!attestation->key || tell_signatures(&attestor, &images, err)) && list_all(&attestor, &images, err);
}
