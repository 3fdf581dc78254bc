#include "functions/build/attest.h"

#include "shared/attest/key.h"

#include <string.h>

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

/* Where the commit is from, when that is no path of this machine. */
static const char *public_source(const struct config_build *rule)
{
    return rule->clone && strncmp(rule->clone, "http", 4) == 0 ? rule->clone : NULL;
}

/* The commit; a rule without a repository is built from what it holds itself. */
static bool source_of(const struct attest_facts *facts, const char *public, struct dependency *out, struct error *err)
{
    const struct config_build *rule = facts->rule;
    struct arena *arena = call_arena(facts->call);

    out->uri = public ? arena_printf(arena, "git+%s@%s", public, facts->order->ref) : NULL;
    out->digest = rule->clone ? facts->commit : arena_printf(arena, "sha256:%s", rule->inline_id);
    return (out->digest && (out->uri || !public)) || error_set(err, ERROR_INTERNAL, "out of memory");
}

bool attest_publication(const struct attest_facts *facts, struct publication *publication, struct error *err)
{
    const struct config_build *rule = facts->rule;
    const char *public = public_source(rule);
    const char **arguments = arena_take(call_arena(facts->call), (rule->arg_count + 1) * sizeof(char *));
    struct attestation attestation = { .arena = call_arena(facts->call),
                                       .provenance = rule->provenance,
                                       .sbom = rule->sbom,
                                       .key = facts->key,
                                       .built = facts->built,
                                       .platforms = rule->platforms,
                                       .count = rule->platform_count,
                                       .facts = { .rule = rule->name,
                                                  .source = public ? public : rule->repository,
                                                  .ref = facts->order->ref,
                                                  .dockerfile = rule->clone ? rule->dockerfile : NULL,
                                                  .context = rule->clone ? rule->context : NULL,
                                                  .target = rule->target,
                                                  .arguments = arguments,
                                                  .argument_count = rule->arg_count,
                                                  .invocation = call_chain_id(facts->call),
                                                  .started_ms = facts->started_ms } };

    if (!arguments)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < rule->arg_count; i++)
        arguments[i] = rule->args[i].name;
    return source_of(facts, public, &attestation.source, err) && attestation_publish(&attestation, publication, err);
}
