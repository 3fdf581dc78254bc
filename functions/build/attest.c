#include "functions/build/attest.h"

#include "shared/attest/attest.h"
#include "shared/attest/key.h"
#include "shared/attest/spdx.h"
#include "shared/base/clock.h"
#include "shared/builder/contents.h"

#include <string.h>

enum { DEPENDENCIES_MAX = 256, URI_MAX = 4096 };

bool attest_key(const struct config_build *rule, struct ecdsa_key **out, struct error *err)
{
    *out = NULL;
    if (!secret_reference_is_set(&rule->sign.key))
        return true;
    AUTO(secret_free) struct secret *text = secret_reference_load(&rule->sign.key, err);
    AUTO(secret_free) struct secret *password = NULL;
    bool good = text != NULL;
    if (good && secret_reference_is_set(&rule->sign.password)) {
        password = secret_reference_load(&rule->sign.password, err);
        good = password != NULL;
    }
    if (good)
        *out = signing_key(secret_reveal(text), password ? secret_reveal(password) : SPAN(""), err);
    return *out || error_wrap(err, "'sign' of build '%s'", rule->name);
}

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

static bool add_bases(const struct attest_facts *facts, struct materials *materials, struct error *err)
{
    for (size_t i = 0; i < facts->rule->platform_count; i++) {
        size_t count;
        struct base *const *bases = built_bases(&facts->built[i], &count);

        for (size_t k = 0; k < count; k++) {
            const char *uri;

            if (!base_uri(call_arena(facts->call), bases[k], &uri, err) ||
                !add_material(materials, uri, bases[k]->image.manifest.digest, err))
                return false;
        }
    }
    return true;
}

/* Where the commit is from, when that is no path of this machine. */
static const char *public_source(const struct config_build *rule)
{
    return rule->clone && strncmp(rule->clone, "http", 4) == 0 ? rule->clone : NULL;
}

static bool predicate_of(const struct attest_facts *facts, struct bytes *out, struct error *err)
{
    const struct config_build *rule = facts->rule;
    const char *source = public_source(rule);
    AUTO(free) struct materials *materials = calloc(1, sizeof(*materials));
    const char **arguments = arena_take(call_arena(facts->call), (rule->arg_count + 1) * sizeof(char *));

    if (!materials || !arguments)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < rule->arg_count; i++)
        arguments[i] = rule->args[i].name;
    const char *git = source ? arena_printf(call_arena(facts->call), "git+%s@%s", source, facts->order->ref) : NULL;
    /* A rule without a repository is built from what it holds itself. */
    const char *made_of =
        rule->clone ? facts->commit : arena_printf(call_arena(facts->call), "sha256:%s", rule->inline_id);
    if (!made_of)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!add_material(materials, git, made_of, err) || !add_bases(facts, materials, err))
        return false;
    const struct provenance provenance = { .rule = rule->name,
                                           .source = source ? source : rule->repository,
                                           .ref = facts->order->ref,
                                           .dockerfile = rule->clone ? rule->dockerfile : NULL,
                                           .context = rule->clone ? rule->context : NULL,
                                           .target = rule->target,
                                           .arguments = arguments,
                                           .argument_count = rule->arg_count,
                                           .platforms = rule->platforms,
                                           .platform_count = rule->platform_count,
                                           .dependencies = materials->items,
                                           .dependency_count = materials->count,
                                           .invocation = call_chain_id(facts->call),
                                           .started_ms = facts->started_ms,
                                           .finished_ms = clock_wall_ms() };
    return provenance_write(out, &provenance, err);
}

/* ---- for each manifest of the image: those of the platforms, and the index of several ---- */

struct images {
    struct attested *items;
    size_t count;
};

static bool images_of(const struct attest_facts *facts, struct publication *publication, struct images *out,
                      struct error *err)
{
    size_t platforms = facts->rule->platform_count;

    out->items = arena_take(call_arena(facts->call), (platforms + 1) * sizeof(out->items[0]));
    if (!out->items)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < platforms; i++)
        out->items[out->count++].image = publication_platform(publication, i);
    if (platforms > 1)
        out->items[out->count++].image = publication_descriptor(publication);
    return true;
}

static bool tell_provenance(const struct attest_facts *facts, const struct attestor *attestor,
                            const struct images *images, struct error *err)
{
    AUTO(bytes_release) struct bytes predicate = BYTES(STORE_MANIFEST_MAX);
    AUTO(bytes_release) struct bytes statement = BYTES(STORE_MANIFEST_MAX);
    struct subject *subjects = arena_take(call_arena(facts->call), images->count * sizeof(subjects[0]));

    if (!subjects)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < images->count; i++)
        subjects[i] = (struct subject){ *attestor->name ? attestor->name : NULL, images->items[i].image->digest };
    if (!predicate_of(facts, &predicate, err) ||
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
    AUTO(inventory_release) struct inventory inventory = { .unread = NULL };
    AUTO(bytes_release) struct bytes document = BYTES(STATEMENT_MAX);
    AUTO(bytes_release) struct bytes comment = BYTES(URI_MAX);

    if (!contents_list(built, &inventory, err) ||
        (inventory.unread &&
         !bytes_printf(&comment, err, "Packages of rpm, which keeps them in '/%s', are not listed.", inventory.unread)))
        return false;
    const struct spdx spdx = { .name = attestor->name,
                               .digest = beside->image->digest,
                               .time_s = built->time_s,
                               .packages = &inventory.packages,
                               .distribution = inventory.distribution,
                               .comment = comment.data };
    return spdx_write(&document, &spdx, err) && attest_sbom(attestor, beside, bytes_span(&document), err);
}

/* Of each platform: an index has no files. */
static bool tell_all_packages(const struct attest_facts *facts, const struct attestor *attestor,
                              const struct images *images, struct error *err)
{
    for (size_t i = 0; i < facts->rule->platform_count; i++) {
        if (!tell_packages(attestor, &facts->built[i], &images->items[i], err))
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

bool attest_publication(const struct attest_facts *facts, struct publication *publication, struct error *err)
{
    const struct config_build *rule = facts->rule;
    AUTO(bytes_release) struct bytes name = BYTES(URI_MAX);
    struct images images = { 0 };

    if (!rule->provenance && !rule->sbom && !facts->key)
        return true;
    if (!name_of(publication_reference(publication), &name, err) || !images_of(facts, publication, &images, err))
        return false;
    const struct attestor attestor = { publication_store(publication), bytes_text(&name), facts->key };
    return (!rule->provenance || tell_provenance(facts, &attestor, &images, err)) &&
           (!rule->sbom || tell_all_packages(facts, &attestor, &images, err)) &&
           (!facts->key || tell_signatures(&attestor, &images, err)) && list_all(&attestor, &images, err);
}
