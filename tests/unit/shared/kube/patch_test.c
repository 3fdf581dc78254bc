#include "shared/kube/patch.h"

#include "shared/kube/path.h"
#include "tests/unit/shared/base/test.h"

#define META "\"metadata\":{\"name\":\"web\",\"resourceVersion\":\"7\",\"annotations\":{\"a/b\":\"1\"}}"
#define PODS                                                                                                           \
    "{\"spec\":{\"containers\":[{\"name\":\"helper\",\"image\":\"h:1\"},{\"name\":\"web\",\"image\":\"w:1\"}],"        \
    "\"initContainers\":[{\"name\":\"init\",\"image\":\"i:1\"}]}}"
#define DEPLOYMENT "{" META ",\"spec\":{\"template\":" PODS "}}"
#define CRONJOB "{" META ",\"spec\":{\"jobTemplate\":{\"spec\":{\"template\":" PODS "}}}}"
#define KNATIVE                                                                                                        \
    "{" META ",\"spec\":{\"template\":{\"metadata\":{\"name\":\"web-00001\"},\"spec\":{\"containers\":[{\"image\":"    \
    "\"w:1\"}]}}}}"

struct fixture {
    struct arena *arena;
    const struct json *object;
    const struct kube_resource *resource;
};

static void release(struct fixture *f)
{
    arena_free(f->arena);
}
AUTO_RELEASE(struct fixture, release)

static struct fixture object(const char *kind, const char *text)
{
    struct error err = { 0 };
    struct fixture f = { .arena = arena_new(16 << 20), .resource = kube_resource_find(NULL, kind) };
    f.object = json_parse(f.arena, span_of(text), &err);
    assert_non_null(f.object);
    return f;
}

static struct kube_place container(const struct fixture *f, const char *name)
{
    struct kube_place place;
    struct error err = { 0 };
    if (!kube_place_of_container(f->arena, f->resource, f->object, name, &place, &err))
        fail_msg("%s", err.message);
    return place;
}

static void check_patch(const struct fixture *f, const struct kube_place *place, const struct kube_edit *edit,
                        enum kube_patch_kind kind, const char *patch)
{
    AUTO(bytes_release) struct bytes out = BYTES(1 << 16);
    struct error err = { 0 };
    enum kube_patch_kind given;
    assert_true(kube_patch_write(&out, f->resource, f->object, place, edit, &given, &err));
    assert_int_equal(given, kind);
    assert_string_equal(bytes_text(&out), patch);
}

static void built_in_kinds_merge_by_the_containers_name(void **state)
{
    (void)state;
    const struct kube_annotation annotations[] = { { "a/b", NULL }, { "c", "2" } };
    const struct kube_edit edit = {
        .image = "w:2", .annotations = annotations, .annotation_count = 2, .guarded = true
    };
    AUTO(release) struct fixture deployment = object("deployment", DEPLOYMENT);
    struct kube_place place = container(&deployment, "web");
    assert_string_equal(place.image, "w:1");
    assert_string_equal(place.pointer, "/spec/template/spec/containers/1/image");
    check_patch(
        &deployment, &place, &edit, KUBE_PATCH_STRATEGIC,
        "{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":{\"a/b\":null,\"c\":\"2\"}},\"spec\":{\"template\":"
        "{\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"w:2\"}]}}}}");

    AUTO(release) struct fixture cronjob = object("CronJob", CRONJOB);
    place = container(&cronjob, "init");
    check_patch(&cronjob, &place, &(struct kube_edit){ .image = "i:2" }, KUBE_PATCH_STRATEGIC,
                "{\"spec\":{\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{\"initContainers\":[{\"name\":\"init\","
                "\"image\":"
                "\"i:2\"}]}}}}}}");
    check_patch(&cronjob, &place, &(struct kube_edit){ .annotations = annotations, .annotation_count = 1 },
                KUBE_PATCH_STRATEGIC, "{\"metadata\":{\"annotations\":{\"a/b\":null}}}");
}

static void other_kinds_are_tested_before_they_are_changed(void **state)
{
    (void)state;
    const struct kube_annotation annotations[] = { { "a/b", "2" }, { "gone", NULL }, { "new", "3" } };
    AUTO(release) struct fixture knative = object("Service", KNATIVE);
    struct kube_place place = container(&knative, NULL);
    assert_null(place.container);
    check_patch(&knative, &place,
                &(struct kube_edit){ .image = "w:2",
                                     .annotations = annotations,
                                     .annotation_count = 3,
                                     .guarded = true,
                                     .clear_revision = true },
                KUBE_PATCH_JSON,
                "[{\"op\":\"replace\",\"path\":\"/metadata/resourceVersion\",\"value\":\"7\"},"
                "{\"op\":\"test\",\"path\":\"/spec/template/spec/containers/0/image\",\"value\":\"w:1\"},"
                "{\"op\":\"replace\",\"path\":\"/spec/template/spec/containers/0/image\",\"value\":\"w:2\"},"
                "{\"op\":\"remove\",\"path\":\"/spec/template/metadata/name\"},"
                "{\"op\":\"replace\",\"path\":\"/metadata/annotations/a~1b\",\"value\":\"2\"},"
                "{\"op\":\"add\",\"path\":\"/metadata/annotations/new\",\"value\":\"3\"}]");

    const struct kube_resource rollout = { "argoproj.io/v1alpha1", "Rollout", "rollouts", false, "/spec/template" };
    AUTO(release) struct fixture custom = object("Deployment", "{\"spec\":{\"template\":" PODS "}}");
    custom.resource = &rollout;
    place = container(&custom, "web");
    check_patch(&custom, &place,
                &(struct kube_edit){ .image = "w:2", .annotations = annotations, .annotation_count = 1 },
                KUBE_PATCH_JSON,
                "[{\"op\":\"test\",\"path\":\"/spec/template/spec/containers/1/name\",\"value\":\"web\"},"
                "{\"op\":\"test\",\"path\":\"/spec/template/spec/containers/1/image\",\"value\":\"w:1\"},"
                "{\"op\":\"replace\",\"path\":\"/spec/template/spec/containers/1/image\",\"value\":\"w:2\"},"
                "{\"op\":\"add\",\"path\":\"/metadata/annotations\",\"value\":{}},"
                "{\"op\":\"add\",\"path\":\"/metadata/annotations/a~1b\",\"value\":\"2\"}]");
}

static void a_guard_needs_a_version(void **state)
{
    (void)state;
    AUTO(release) struct fixture f = object("Deployment", "{\"spec\":{\"template\":" PODS "}}");
    AUTO(bytes_release) struct bytes out = BYTES(1 << 16);
    struct kube_place place = container(&f, "web");
    struct error err = { 0 };
    enum kube_patch_kind kind;
    assert_false(kube_patch_write(&out, f.resource, f.object, &place,
                                  &(struct kube_edit){ .image = "w:2", .guarded = true }, &kind, &err));
    assert_error(err, ERROR_UNAVAILABLE, "without a resourceVersion");
}

static void containers_that_are_not_there_are_told_with_those_that_are(void **state)
{
    (void)state;
    AUTO(release) struct fixture f = object("Deployment", DEPLOYMENT);
    struct kube_place place;
    struct error err = { 0 };
    assert_false(kube_place_of_container(f.arena, f.resource, f.object, "nginx", &place, &err));
    assert_error(err, ERROR_NOT_FOUND, "no container 'nginx': there are 'helper', 'web', 'init'");
    assert_false(kube_place_of_container(f.arena, f.resource, f.object, NULL, &place, &err));
    assert_error(err, ERROR_NOT_FOUND, "which container is meant");
    AUTO(release) struct fixture empty = object("Deployment", "{\"spec\":{}}");
    assert_false(kube_place_of_container(empty.arena, empty.resource, empty.object, "web", &place, &err));
    assert_error(err, ERROR_NOT_FOUND, "no pod template at '/spec/template'");
}

static void paths_lead_to_where_kubectl_would_go(void **state)
{
    (void)state;
    static const char text[] =
        "{\"spec\":{\"image\":\"x\",\"a.b\":\"dot\",\"a/b~\":\"slash\",\"sets\":[{\"name\":\"p\",\"image\":\"1\"},"
        "{\"name\":\"q\",\"image\":\"2\"}],\"0\":\"zero\"}}";
    static const struct {
        const char *path, *pointer, *image;
    } rows[] = {
        { "/spec/image", "/spec/image", "x" },
        { "spec.image", "/spec/image", "x" },
        { ".spec.image", "/spec/image", "x" },
        { "{.spec.image}", "/spec/image", "x" },
        { "$.spec.image", "/spec/image", "x" },
        { "{$.spec['image']}", "/spec/image", "x" },
        { ".spec.a\\.b", "/spec/a.b", "dot" },
        { "$['spec'][\"a.b\"]", "/spec/a.b", "dot" },
        { "/spec/a~1b~0", "/spec/a~1b~0", "slash" },
        { "/spec/sets/1/image", "/spec/sets/1/image", "2" },
        { "/spec/0", "/spec/0", "zero" },
        { ".spec.sets[1].image", "/spec/sets/1/image", "2" },
        { "{.spec.sets[?(@.name=='q')].image}", "/spec/sets/1/image", "2" },
        { "{.spec.sets[?( @.name == \"p\" )].image}", "/spec/sets/0/image", "1" },
        { ".spec.newImage", "/spec/newImage", NULL },
    };
    AUTO(release) struct fixture f = object("Deployment", text);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct kube_place place;
        struct error err = { 0 };
        if (!kube_path_check(span_of(rows[i].path), &err) ||
            !kube_place_of_path(f.arena, f.object, rows[i].path, &place, &err))
            fail_msg("%s: %s", rows[i].path, err.message);
        assert_string_equal(place.pointer, rows[i].pointer);
        assert_string_equal(place.image ? place.image : "none", rows[i].image ? rows[i].image : "none");
        assert_null(place.list);
    }
}

static void paths_that_lead_nowhere_say_where_they_end(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum error_kind kind;
        const char *says;
    } rows[] = {
        { ".spec.sets[2].image", ERROR_NOT_FOUND, "'/spec/sets' has no element 2" },
        { ".spec.sets[?(@.name=='r')].image", ERROR_NOT_FOUND, "nothing in '/spec/sets' has name 'r'" },
        { "/status/image", ERROR_NOT_FOUND, "'/' has no 'status'" },
        { "/spec/sets", ERROR_INVALID, "leads to a list, not to an image's name" },
        { "/spec/sets/2", ERROR_NOT_FOUND, "has no" },
        { "/spec/image/x", ERROR_NOT_FOUND, "'/spec/image' has no 'x'" },
        { "{.spec.image", ERROR_INVALID, "belong together" },
        { "", ERROR_INVALID, "an empty path" },
        { "{}", ERROR_INVALID, "leads nowhere" },
        { "$", ERROR_INVALID, "leads nowhere" },
        { ".spec.*", ERROR_INVALID, "holds what names do not" },
        { ".spec..image", ERROR_INVALID, "a member has no name" },
        { ".spec[", ERROR_INVALID, "[ ] holds" },
        { ".spec['x", ERROR_INVALID, "a quote has no end" },
        { ".spec.sets[?(@.name!='x')]", ERROR_INVALID, "compares" },
        { ".spec.sets[?(@.name=='x'", ERROR_INVALID, "a filter ends" },
        { ".spec.sets[99999999]", ERROR_INVALID, "[ ] holds" },
        { "/spec/~2", ERROR_INVALID, "'~' in a pointer" },
    };
    AUTO(release) struct fixture f = object("Deployment", "{\"spec\":{\"image\":\"x\",\"sets\":[{\"name\":\"p\"}]}}");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct kube_place place;
        struct error err = { 0 };
        if (kube_place_of_path(f.arena, f.object, rows[i].path, &place, &err))
            fail_msg("%s leads to %s", rows[i].path, place.pointer);
        assert_error(err, rows[i].kind, rows[i].says);
        assert_int_equal(kube_path_check(span_of(rows[i].path), &err),
                         rows[i].kind == ERROR_NOT_FOUND || strstr(rows[i].says, "leads to") != NULL);
    }
}

static void objects_have_their_places_in_the_api(void **state)
{
    (void)state;
    static const struct {
        const char *api_version, *kind, *namespace, *name, *path, *what;
    } rows[] = {
        { "apps/v1", "Deployment", "shop", "web", "/apis/apps/v1/namespaces/shop/deployments/web",
          "deployments.apps 'web' in namespace 'shop'" },
        { NULL, "pod", "shop", NULL, "/api/v1/namespaces/shop/pods", "pods in namespace 'shop'" },
        { NULL, "service", "a b", "x/../y", "/apis/serving.knative.dev/v1/namespaces/a%20b/services/x%2F..%2Fy",
          "services.serving.knative.dev 'x/../y' in namespace 'a b'" },
        { "v1", "Event", NULL, NULL, "/api/v1/events", "events" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(bytes_release) struct bytes path = BYTES(1 << 12), what = BYTES(1 << 12);
        const struct kube_object it = { kube_resource_find(rows[i].api_version, rows[i].kind), rows[i].namespace,
                                        rows[i].name };
        struct error err = { 0 };
        assert_true(kube_object_path(&path, &it, &err) && kube_object_describe(&what, &it, &err));
        assert_string_equal(bytes_text(&path), rows[i].path);
        assert_string_equal(bytes_text(&what), rows[i].what);
    }
    static const char *const names[] = { "", ".", ".." };
    for (size_t i = 0; i < COUNT(names); i++) {
        AUTO(bytes_release) struct bytes path = BYTES(1 << 12);
        const struct kube_object it = { kube_resource_find(NULL, "Pod"), "shop", names[i] };
        struct error err = { 0 };
        assert_false(kube_object_path(&path, &it, &err));
        assert_error(err, ERROR_INVALID, "is no name");
    }
    assert_null(kube_resource_find("v1", "Service"));
    assert_null(kube_resource_find(NULL, "Rollout"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_kinds_merge_by_the_containers_name),
        cmocka_unit_test(other_kinds_are_tested_before_they_are_changed),
        cmocka_unit_test(a_guard_needs_a_version),
        cmocka_unit_test(containers_that_are_not_there_are_told_with_those_that_are),
        cmocka_unit_test(paths_lead_to_where_kubectl_would_go),
        cmocka_unit_test(paths_that_lead_nowhere_say_where_they_end),
        cmocka_unit_test(objects_have_their_places_in_the_api),
    };
    return cmocka_run_group_tests_name("kube/patch", tests, NULL, NULL);
}
