#include "shared/kube/patch.h"

#include "shared/kube/path.h"

#include <assert.h>
#include <string.h>

enum { NAMES_MAX = 600 };

/* In the order in which a name is looked for. */
static const char *const lists[] = { "containers", "initContainers" };

/* ---- where the image stands ---- */

static const struct json *pod_spec(const struct kube_resource *resource, const struct json *object)
{
    const struct json *template = resource->pod_template ? pointer_get(object, resource->pod_template) : NULL;
    return json_get(template, "spec");
}

static bool no_such_container(const struct json *spec, const char *container, struct error *err)
{
    AUTO(bytes_release) struct bytes names = BYTES(NAMES_MAX);
    struct error full = { 0 };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct json *one = json_first(json_get(spec, lists[i])); one; one = json_next(one)) {
            const char *name = json_get_string(one, "name");
            (void)bytes_printf(&names, &full, "%s'%s'", names.len > 0 ? ", " : "", name ? name : "");
        }
    if (container)
        return error_set(err, ERROR_NOT_FOUND, "there is no container '%s': there are %s", container,
                         names.len > 0 ? bytes_text(&names) : "none");
    return error_set(err, ERROR_NOT_FOUND, "which container is meant is not said ('container'): there are %s",
                     names.len > 0 ? bytes_text(&names) : "none");
}

static bool found_container(struct arena *arena, const struct kube_resource *resource, const char *list, size_t index,
                            const struct json *one, struct kube_place *out, struct error *err)
{
    *out = (struct kube_place){
        .pointer = arena_printf(arena, "%s/spec/%s/%zu/image", resource->pod_template, list, index),
        .image = json_get_string(one, "image"),
        .list = list,
        .container = json_get_string(one, "name"),
    };
    return out->pointer || arena_no_room(arena, "where an image stands", err);
}

bool kube_place_of_container(struct arena *arena, const struct kube_resource *resource, const struct json *object,
                             const char *container, struct kube_place *out, struct error *err)
{
    const struct json *spec = pod_spec(resource, object);
    if (!spec)
        return error_set(err, ERROR_NOT_FOUND, "it has no pod template at '%s': name the image by a 'path'",
                         resource->pod_template ? resource->pod_template : "");
    if (!container && json_count(json_get(spec, lists[0])) == 1)
        return found_container(arena, resource, lists[0], 0, json_first(json_get(spec, lists[0])), out, err);
    for (size_t i = 0; container && i < sizeof lists / sizeof lists[0]; i++) {
        size_t index = 0;
        for (const struct json *one = json_first(json_get(spec, lists[i])); one; one = json_next(one), index++) {
            const char *name = json_get_string(one, "name");
            if (name && strcmp(name, container) == 0)
                return found_container(arena, resource, lists[i], index, one, out, err);
        }
    }
    return no_such_container(spec, container, err);
}

bool kube_place_of_path(struct arena *arena, const struct json *object, const char *path, struct kube_place *out,
                        struct error *err)
{
    AUTO(bytes_release) struct bytes pointer = BYTES(PATH_TEXT_MAX * 2);
    const struct json *parent, *value;
    if (!path_follow(&pointer, object, span_of(path), &parent, &value, err))
        return error_wrap(err, "path '%s'", path);
    if (value && json_type(value) != JSON_STRING)
        return error_set(err, ERROR_INVALID, "path '%s' leads to %s, not to an image's name", path,
                         json_type_name(json_type(value)));
    *out = (struct kube_place){ .pointer = arena_dup(arena, bytes_span(&pointer)), .image = json_string(value) };
    return out->pointer || arena_no_room(arena, "where an image stands", err);
}

bool kube_path_check(struct span path, struct error *err)
{
    AUTO(bytes_release) struct bytes pointer = BYTES(PATH_TEXT_MAX * 2);
    const struct json *parent, *value;
    return path_follow(&pointer, NULL, path, &parent, &value, err);
}

/* ---- strategic merge ---- */

static void add_annotations(struct json_writer *w, const struct kube_edit *edit)
{
    if (edit->annotation_count == 0)
        return;
    json_open_object(w, "annotations");
    for (size_t i = 0; i < edit->annotation_count; i++) {
        const struct kube_annotation *one = &edit->annotations[i];
        if (one->value)
            json_add_string(w, one->name, one->value);
        else
            json_add_raw(w, one->name, SPAN("null"));
    }
    json_close_object(w);
}

static void add_metadata(struct json_writer *w, const char *version, const struct kube_edit *edit)
{
    if (!version && edit->annotation_count == 0)
        return;
    json_open_object(w, "metadata");
    json_add_string(w, "resourceVersion", version);
    add_annotations(w, edit);
    json_close_object(w);
}

/* {"spec": {"template": {"spec": {LIST: [{"name": ..., "image": ...}]}}}}: lists of containers merge by "name". */
static void add_container(struct json_writer *w, const char *pod_template, const struct kube_place *place,
                          const char *image)
{
    size_t depth = 1;
    struct span rest = span_of(pod_template + 1);
    for (struct span member = span_cut(&rest, '/'); member.data; member = span_cut(&rest, '/'), depth++) {
        char name[64] = "";
        assert(member.len < sizeof name);
        memcpy(name, member.data, member.len);
        json_open_object(w, name);
    }
    json_open_object(w, "spec");
    json_open_array(w, place->list);
    json_open_object(w, NULL);
    json_add_string(w, "name", place->container);
    json_add_string(w, "image", image);
    json_close_object(w);
    json_close_array(w);
    while (depth-- > 0)
        json_close_object(w);
}

static bool write_strategic(struct bytes *out, const struct kube_resource *resource, const char *version,
                            const struct kube_place *place, const struct kube_edit *edit, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    add_metadata(&w, version, edit);
    if (edit->image)
        add_container(&w, resource->pod_template, place, edit->image);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

/* ---- JSON patch ---- */

static void operation(struct json_writer *w, const char *op, const char *pointer, const char *value)
{
    json_open_object(w, NULL);
    json_add_string(w, "op", op);
    json_add_string(w, "path", pointer);
    json_add_string(w, "value", value);
    json_close_object(w);
}

/* The container is the one that was meant, also when the list has changed its order since. */
static bool test_container(struct json_writer *w, const struct kube_place *place, struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(PATH_TEXT_MAX * 2);
    long slash = span_find_last(span_of(place->pointer), '/');
    if (!place->container)
        return true;
    if (!bytes_printf(&name, err, "%.*s/name", (int)slash, place->pointer))
        return false;
    operation(w, "test", bytes_text(&name), place->container);
    return true;
}

static bool set_image(struct json_writer *w, const struct kube_place *place, const char *image, struct error *err)
{
    if (!test_container(w, place, err))
        return false;
    if (place->image)
        operation(w, "test", place->pointer, place->image);
    operation(w, place->image ? "replace" : "add", place->pointer, image);
    return true;
}

static bool set_annotation(struct json_writer *w, const struct json *present, const struct kube_annotation *one,
                           struct error *err)
{
    AUTO(bytes_release) struct bytes pointer = BYTES(PATH_TEXT_MAX * 2);
    bool there = json_get(present, one->name);
    if (!there && !one->value)
        return true;
    if (!bytes_append_text(&pointer, "/metadata/annotations", err) || !pointer_add(&pointer, span_of(one->name), err))
        return false;
    operation(w, !one->value ? "remove" : there ? "replace" : "add", bytes_text(&pointer), one->value);
    return true;
}

static bool set_annotations(struct json_writer *w, const struct json *object, const struct kube_edit *edit,
                            struct error *err)
{
    const struct json *present = json_get(json_get(object, "metadata"), "annotations");
    if (edit->annotation_count > 0 && (!present || json_type(present) != JSON_OBJECT)) {
        json_open_object(w, NULL);
        json_add_string(w, "op", "add");
        json_add_string(w, "path", "/metadata/annotations");
        json_add_raw(w, "value", SPAN("{}"));
        json_close_object(w);
    }
    for (size_t i = 0; i < edit->annotation_count; i++)
        if (!set_annotation(w, present, &edit->annotations[i], err))
            return false;
    return true;
}

static bool write_operations(struct bytes *out, const struct json *object, const char *version,
                             const struct kube_place *place, const struct kube_edit *edit, struct error *err)
{
    static const char revision[] = "/spec/template/metadata/name";
    const char *fixed = edit->clear_revision ? json_string(pointer_get(object, revision)) : NULL;
    struct json_writer w = json_writer_on(out);
    json_open_array(&w, NULL);
    if (version)
        operation(&w, "replace", "/metadata/resourceVersion", version); /* another one is a conflict, 409 */
    if (edit->image && !set_image(&w, place, edit->image, err))
        return false;
    if (fixed)
        operation(&w, "remove", revision, NULL);
    if (!set_annotations(&w, object, edit, err))
        return false;
    json_close_array(&w);
    return json_writer_end(&w, err);
}

bool kube_patch_write(struct bytes *out, const struct kube_resource *resource, const struct json *object,
                      const struct kube_place *place, const struct kube_edit *edit, enum kube_patch_kind *kind,
                      struct error *err)
{
    const char *version = json_get_string(json_get(object, "metadata"), "resourceVersion");
    if (edit->guarded && !version)
        return error_set(err, ERROR_UNAVAILABLE, "an object without a resourceVersion");
    if (!edit->guarded)
        version = NULL;
    bool strategic = resource->strategic && (!edit->image || place->list);
    *kind = strategic ? KUBE_PATCH_STRATEGIC : KUBE_PATCH_JSON;
    return strategic ? write_strategic(out, resource, version, place, edit, err)
                     : write_operations(out, object, version, place, edit, err);
}
