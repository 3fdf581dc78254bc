#include "shared/kube/kube.h"

#include "shared/kube/request.h"

#include <stdio.h>
#include <string.h>

enum { LOG_MAX = 256 * 1024 };

/* Where an object is, and what it is called in messages. */
struct address {
    struct bytes path, what;
};

static void address_release(struct address *address)
{
    bytes_release(&address->path);
    bytes_release(&address->what);
}
AUTO_RELEASE(struct address, address_release)

#define ADDRESS() ((struct address){ .path = BYTES(KUBE_PATH_MAX), .what = BYTES(KUBE_WHAT_MAX) })

static bool find_address(struct address *out, const struct kube_object *object, struct error *err)
{
    return kube_object_path(&out->path, object, err) && kube_object_describe(&out->what, object, err);
}

static bool ask_for_tree(struct kube *kube, struct arena *arena, const struct kube_request *request,
                         const struct json **out, struct error *err)
{
    AUTO(http_response_release) struct http_response response = { 0 };
    if (!kube_ask(kube, request, &response, err))
        return false;
    *out = kube_answer(arena, request, &response, err);
    return *out != NULL;
}

bool kube_get(struct kube *kube, struct arena *arena, const struct kube_object *object, const struct json **out,
              struct error *err)
{
    AUTO(address_release) struct address address = ADDRESS();
    if (!find_address(&address, object, err))
        return false;
    const struct kube_request request = {
        .verb = "get",
        .what = bytes_text(&address.what),
        .method = "GET",
        .path = bytes_text(&address.path),
    };
    return ask_for_tree(kube, arena, &request, out, err);
}

/* Strict: a member that the kind does not have is a mistake to be told, not to be dropped. */
static bool add_write_query(struct bytes *path, const struct kube *kube, bool dry_run, struct error *err)
{
    return kube_add_query(path, "fieldManager", kube->options.field_manager, err) &&
           kube_add_query(path, "fieldValidation", "Strict", err) &&
           kube_add_query(path, "dryRun", dry_run ? "All" : NULL, err);
}

bool kube_patch(struct kube *kube, struct arena *arena, const struct kube_object *object, enum kube_patch_kind kind,
                struct span body, bool dry_run, const struct json **out, struct error *err)
{
    static const char *const types[] = {
        [KUBE_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
        [KUBE_PATCH_JSON] = "application/json-patch+json",
        [KUBE_PATCH_MERGE] = "application/merge-patch+json",
    };
    AUTO(address_release) struct address address = ADDRESS();
    if (!find_address(&address, object, err) || !add_write_query(&address.path, kube, dry_run, err))
        return false;
    const struct kube_request request = {
        .verb = "patch",
        .what = bytes_text(&address.what),
        .method = "PATCH",
        .path = bytes_text(&address.path),
        .content_type = types[kind],
        .body = body,
    };
    return ask_for_tree(kube, arena, &request, out, err);
}

bool kube_create(struct kube *kube, struct arena *arena, const struct kube_object *where, struct span body,
                 bool dry_run, const struct json **out, struct error *err)
{
    const struct kube_object collection = { .resource = where->resource, .namespace = where->namespace };
    AUTO(address_release) struct address address = ADDRESS();
    if (!find_address(&address, &collection, err) || !add_write_query(&address.path, kube, dry_run, err))
        return false;
    const struct kube_request request = {
        .verb = "create",
        .what = bytes_text(&address.what),
        .method = "POST",
        .path = bytes_text(&address.path),
        .content_type = "application/json",
        .body = body,
    };
    return ask_for_tree(kube, arena, &request, out, err);
}

/* ---- discovery ---- */

static const struct json *find_kind(const struct json *list, const char *kind)
{
    for (const struct json *one = json_first(json_get(list, "resources")); one; one = json_next(one)) {
        const char *name = json_get_string(one, "name"), *its_kind = json_get_string(one, "kind");
        bool subresource = name && strchr(name, '/');
        if (name && its_kind && !subresource && strcmp(its_kind, kind) == 0)
            return one;
    }
    return NULL;
}

bool kube_discover(struct kube *kube, struct arena *arena, const char *api_version, const char *kind,
                   struct kube_resource *out, struct error *err)
{
    AUTO(address_release) struct address address = ADDRESS();
    const struct json *list;
    if (!kube_api_path(&address.path, api_version, err) ||
        !bytes_printf(&address.what, err, "what API '%s' has", api_version))
        return false;
    const struct kube_request request = {
        .verb = "ask",
        .what = bytes_text(&address.what),
        .method = "GET",
        .path = bytes_text(&address.path),
    };
    if (!ask_for_tree(kube, arena, &request, &list, err))
        return false;
    const struct json *found = find_kind(list, kind);
    if (!found)
        return error_set(err, ERROR_NOT_FOUND, "API '%s' has no kind '%s'", api_version, kind);
    *out = (struct kube_resource){ .api_version = arena_dup(arena, span_of(api_version)),
                                   .kind = json_get_string(found, "kind"),
                                   .plural = json_get_string(found, "name"),
                                   .pod_template = "/spec/template" };
    return out->api_version || arena_no_room(arena, "what a cluster has", err);
}

/* ---- logs ---- */

/* As many whole lines from the end as there is room for. */
static bool append_last_lines(struct bytes *out, struct span text, struct error *err)
{
    size_t room = out->max - out->len;
    while (text.len > room && text.data)
        (void)span_cut(&text, '\n');
    return bytes_append_span(out, text.data ? text : SPAN(""), err);
}

bool kube_pod_log(struct kube *kube, const char *namespace, const char *pod, const char *container, unsigned lines,
                  bool previous, struct bytes *out, struct error *err)
{
    static const struct kube_resource pods = { .api_version = "v1", .kind = "Pod", .plural = "pods" };
    const struct kube_object object = { .resource = &pods, .namespace = namespace, .name = pod };
    AUTO(address_release) struct address address = ADDRESS();
    AUTO(http_response_release) struct http_response response = { 0 };
    char count[16], most[16];
    snprintf(count, sizeof count, "%u", lines);
    snprintf(most, sizeof most, "%d", LOG_MAX);
    if (!find_address(&address, &object, err) || !bytes_append_text(&address.path, "/log", err) ||
        !kube_add_query(&address.path, "container", container, err) ||
        !kube_add_query(&address.path, "tailLines", count, err) ||
        !kube_add_query(&address.path, "limitBytes", most, err) ||
        !kube_add_query(&address.path, "previous", previous ? "true" : NULL, err))
        return false;
    const struct kube_request request = {
        .verb = "read the log of",
        .what = bytes_text(&address.what),
        .method = "GET",
        .path = bytes_text(&address.path),
    };
    return kube_ask(kube, &request, &response, err) && append_last_lines(out, bytes_span(&response.body), err);
}
