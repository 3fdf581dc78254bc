#include "runtime/deployment.h"

enum { TEXT_MAX = 16 * 1024 };

bool deployment_write(struct bytes *out, const struct deployment *deployment, long target, struct error *err)
{
    const struct {
        const char *name, *value;
    } rows[] = {
        { "image", deployment->image },       { "digest", deployment->digest }, { "tag", deployment->tag },
        { "sequence", deployment->sequence }, { "commit", deployment->commit }, { "ref", deployment->ref },
        { "build", deployment->build },       { "reason", deployment->reason }, { "person", deployment->person },
        { "undo", deployment->undo },
    };
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_add_string(&w, "trigger", deployment->trigger->name);
    if (target != DEPLOYMENT_NO_TARGET)
        json_add_integer(&w, "target", target);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_add_string(&w, rows[i].name, rows[i].value);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool write_content(struct bytes *out, const struct config_target *target, const char *artifact,
                          const char *service, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_open_object(&w, "environment");
    json_add_string(&w, "id", target->cluster);
    json_close_object(&w);
    json_open_object(&w, "service");
    json_add_string(&w, "id", service);
    json_close_object(&w);
    json_add_string(&w, "artifactId", artifact);
    json_add_string(&w, "strategy", "patch");
    json_close_object(&w);
    return json_writer_end(&w, err);
}

bool deployment_ask(struct call *call, const struct deployment *deployment, size_t index, struct error *err)
{
    struct arena *arena = call_arena(call);
    const struct config_target *target = &deployment->trigger->targets[index];
    struct bytes content = ARENA_BYTES(arena, TEXT_MAX), custom = ARENA_BYTES(arena, TEXT_MAX);
    const char *service = arena_printf(arena, "%s/%s", target->kind, target->workload);
    if (!service)
        return arena_no_room(arena, "a request", err);
    if (!write_content(&content, target, deployment->artifact, service, err) ||
        !deployment_write(&custom, deployment, (long)index, err))
        return false;
    const struct attribute attributes[] = {
        { .name = "imagedigest", .value = deployment->digest },
        { .name = "envname", .value = target->cluster },
        { .name = "svcname", .value = target->workload },
    };
    const struct draft draft = {
        .type = "dev.cdeventsx.pushwright-deploy.requested.0.1.0",
        .subject = arena_printf(arena, "%s/%s/%s", target->cluster, target->namespace, target->workload),
        .content = bytes_span(&content),
        .custom = bytes_span(&custom),
        .rule = deployment->trigger->name,
        .target = arena_printf(arena, "%zu %s", index, deployment->digest), /* whichever tag it has: once */
        .attributes = attributes,
        .attribute_count = sizeof attributes / sizeof attributes[0],
    };
    return call_emit(call, &draft, err);
}
