#include "shared/attest/statement.h"

#include "shared/base/clock.h"

#include <string.h>

static void write_digest(struct json_writer *w, const char *digest)
{
    static const char prefix[] = "sha256:";
    bool of_image = strncmp(digest, prefix, sizeof(prefix) - 1) == 0;

    json_open_object(w, "digest");
    json_add_string(w, of_image ? "sha256" : "gitCommit", of_image ? digest + sizeof(prefix) - 1 : digest);
    json_close_object(w);
}

bool statement_write(struct bytes *out, const struct subject *subjects, size_t count, const char *predicate_type,
                     struct span predicate, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_add_string(&w, "_type", "https://in-toto.io/Statement/v1");
    json_open_array(&w, "subject");
    for (size_t i = 0; i < count; i++) {
        json_open_object(&w, NULL);
        json_add_string(&w, "name", subjects[i].name);
        write_digest(&w, subjects[i].digest);
        json_close_object(&w);
    }
    json_close_array(&w);
    json_add_string(&w, "predicateType", predicate_type);
    json_add_raw(&w, "predicate", predicate);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static void write_texts(struct json_writer *w, const char *key, const char *const *texts, size_t count)
{
    if (count == 0)
        return;
    json_open_array(w, key);
    for (size_t i = 0; i < count; i++)
        json_add_string(w, NULL, texts[i]);
    json_close_array(w);
}

/* What the sender of the event, or the author of the rule, decided. */
static void write_parameters(struct json_writer *w, const struct provenance *provenance)
{
    json_open_object(w, "externalParameters");
    json_add_string(w, "rule", provenance->rule);
    json_add_string(w, "repository", provenance->source);
    json_add_string(w, "ref", provenance->ref);
    json_add_string(w, "dockerfile", provenance->dockerfile);
    json_add_string(w, "context", provenance->context);
    json_add_string(w, "target", provenance->target);
    write_texts(w, "args", provenance->arguments, provenance->argument_count);
    write_texts(w, "platforms", provenance->platforms, provenance->platform_count);
    json_close_object(w);
}

static void write_dependencies(struct json_writer *w, const struct provenance *provenance)
{
    json_open_array(w, "resolvedDependencies");
    for (size_t i = 0; i < provenance->dependency_count; i++) {
        json_open_object(w, NULL);
        json_add_string(w, "uri", provenance->dependencies[i].uri);
        write_digest(w, provenance->dependencies[i].digest);
        json_close_object(w);
    }
    json_close_array(w);
}

static void write_run(struct json_writer *w, const struct provenance *provenance)
{
    char started[RFC3339_SIZE], finished[RFC3339_SIZE];

    rfc3339_format(started, provenance->started_ms);
    rfc3339_format(finished, provenance->finished_ms);
    json_open_object(w, "runDetails");
    json_open_object(w, "builder");
    json_add_string(w, "id", PROVENANCE_BUILDER);
    json_close_object(w);
    json_open_object(w, "metadata");
    json_add_string(w, "invocationId", provenance->invocation);
    json_add_string(w, "startedOn", started);
    json_add_string(w, "finishedOn", finished);
    json_close_object(w);
    json_close_object(w);
}

bool provenance_write(struct bytes *out, const struct provenance *provenance, struct error *err)
{
    struct json_writer w = json_writer_on(out);

    json_open_object(&w, NULL);
    json_open_object(&w, "buildDefinition");
    json_add_string(&w, "buildType", PROVENANCE_BUILD_TYPE);
    write_parameters(&w, provenance);
    write_dependencies(&w, provenance);
    json_close_object(&w);
    write_run(&w, provenance);
    json_close_object(&w);
    return json_writer_end(&w, err);
}
