#include "runtime/cdevents.h"

#include "shared/base/json_scan.h"

enum { CHAIN_ID_MAX = 200 };

/* {"linkType":"RELATION","linkKind":"TRIGGER","target":{"contextId":...}} */
static void write_links(struct json_writer *w, const char *parent_id)
{
    if (!parent_id)
        return;
    json_open_array(w, "links");
    json_open_object(w, NULL);
    json_add_string(w, "linkType", "RELATION");
    json_add_string(w, "linkKind", "TRIGGER");
    json_open_object(w, "target");
    json_add_string(w, "contextId", parent_id);
    json_close_object(w);
    json_close_object(w);
    json_close_array(w);
}

bool cdevent_write(struct bytes *out, const struct cdevent *event, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    json_open_object(&w, "context");
    json_add_string(&w, "specversion", "0.5.1");
    json_add_string(&w, "id", event->id);
    json_add_string(&w, "source", event->source);
    json_add_string(&w, "type", event->type);
    json_add_string(&w, "timestamp", event->timestamp);
    json_add_string(&w, "chainId", event->chain_id);
    write_links(&w, event->parent_id);
    json_close_object(&w);
    json_open_object(&w, "subject");
    json_add_string(&w, "id", event->subject);
    json_add_string(&w, "source", event->subject_source);
    json_add_raw(&w, "content", event->content);
    json_close_object(&w);
    json_add_raw(&w, "customData", event->custom);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static bool take_chain_id(void *context, int field, enum json_type type, struct span raw, size_t index,
                          struct error *err)
{
    (void)field, (void)index;
    struct bytes *out = context;
    return type != JSON_STRING || json_unquote(out, raw, err);
}

const char *cdevent_chain_id(struct arena *arena, struct span data)
{
    static const struct json_path paths[] = { { "context.chainId", 0 } };
    AUTO(bytes_release) struct bytes found = BYTES(CHAIN_ID_MAX);
    struct error ignored = { 0 };
    if (!data.data || !json_scan(data, paths, 1, take_chain_id, &found, &ignored) || found.len == 0)
        return NULL;
    return arena_dup(arena, bytes_span(&found));
}
