#include "shared/builder/publish.h"
#include "shared/oci/descriptor.h"

#include "shared/base/clock.h"
#include "shared/base/digest.h"
#include "shared/base/json.h"
#include "shared/base/parallel.h"

#include <stdlib.h>
#include <string.h>

static const int64_t copied_layer_max = INT64_C(64) << 30;

struct publication {
    struct publish_options options;
    struct reference reference;
    struct store *store, *own_store; /* that of the options, or our own */
    struct bytes *manifests;         /* one for each platform */
    struct descriptor *described;
    struct bytes index; /* of several platforms */
    struct descriptor top;
    bool stands; /* the registry has it already */
    struct registry_options registries;
    struct registry_session *session; /* our own, when the options bring none */
};

void publication_free(struct publication *publication)
{
    if (!publication)
        return;
    for (size_t i = 0; publication->manifests && i < publication->options.count; i++)
        bytes_release(&publication->manifests[i]);
    free(publication->manifests);
    free(publication->described);
    bytes_release(&publication->index);
    store_free(publication->own_store);
    registry_session_free(publication->session);
    reference_release(&publication->reference);
    free(publication);
}

const struct reference *publication_reference(const struct publication *publication)
{
    return &publication->reference;
}

const struct descriptor *publication_descriptor(const struct publication *publication)
{
    return &publication->top;
}

const struct descriptor *publication_platform(const struct publication *publication, size_t platform)
{
    return &publication->described[platform];
}

struct store *publication_store(const struct publication *publication)
{
    return publication->store;
}

/* ---- manifests ---- */

/* The same bytes have two names, OCI's and Docker's; one image has those of one family, whatever its base has. */
enum media { MEDIA_CONFIG, MEDIA_MANIFEST, MEDIA_INDEX, MEDIA_NAMES = 6 };
static const char *const media_names[MEDIA_NAMES][2] = {
    [MEDIA_CONFIG] = { MEDIA_OCI_CONFIG, "application/vnd.docker.container.image.v1+json" },
    [MEDIA_MANIFEST] = { MEDIA_OCI_MANIFEST, MEDIA_DOCKER_MANIFEST },
    [MEDIA_INDEX] = { MEDIA_OCI_INDEX, MEDIA_DOCKER_INDEX },
    { MEDIA_OCI_LAYER_GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip" },
    { MEDIA_OCI_LAYER_ZSTD, "application/vnd.docker.image.rootfs.diff.tar.zstd" },
    { "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar" },
};

static const char *media_name(const struct publish_options *options, enum media media)
{
    return media_names[media][options->docker_types];
}

static const char *media_renamed(const struct publish_options *options, const char *type)
{
    for (size_t i = 0; i < MEDIA_NAMES; i++) {
        if (strcmp(type, media_names[i][!options->docker_types]) == 0)
            return media_names[i][options->docker_types];
    }
    return type;
}

static void write_descriptor(struct json_writer *w, const struct publish_options *options, const char *key,
                             const struct descriptor *blob, const char *platform)
{
    struct span rest = span_of(platform), os = span_cut(&rest, '/'), architecture = span_cut(&rest, '/');

    json_open_object(w, key);
    json_add_string(w, "mediaType", media_renamed(options, blob->media_type));
    json_add_string(w, "digest", blob->digest);
    json_add_integer(w, "size", blob->size);
    if (platform) {
        json_open_object(w, "platform");
        json_add_span(w, "architecture", architecture);
        json_add_span(w, "os", os);
        if (rest.data)
            json_add_span(w, "variant", rest);
        json_close_object(w);
    }
    json_close_object(w);
}

static void annotate(struct json_writer *w, const struct publish_options *options, const char *key, const char *value)
{
    for (size_t i = 0; i < options->annotations.count; i++) {
        if (strcmp(options->annotations.items[i].key, key) == 0)
            return;
    }
    json_add_string(w, key, value);
}

/* Of one key the last word counts. */
static void write_asked(struct json_writer *w, const struct dockerfile_pairs *asked)
{
    for (size_t i = 0; i < asked->count; i++) {
        bool last = true;

        for (size_t k = i + 1; k < asked->count; k++)
            last = last && strcmp(asked->items[k].key, asked->items[i].key) != 0;
        if (last)
            json_add_string(w, asked->items[i].key, asked->items[i].value);
    }
}

static bool write_base(struct json_writer *w, const struct publish_options *options, const struct base *base,
                       struct error *err)
{
    AUTO(bytes_release) struct bytes name = BYTES(TAR_PATH_MAX);

    if (!base || reference_is_layout(&base->reference))
        return true; /* a path of this machine tells nobody anything */
    if (!reference_name(&name, &base->reference, err) ||
        !bytes_printf(&name, err, ":%s", base->reference.tag ? base->reference.tag : "latest"))
        return false;
    annotate(w, options, "org.opencontainers.image.base.digest", base->image.manifest.digest);
    annotate(w, options, "org.opencontainers.image.base.name", name.data);
    return true;
}

static void write_facts(struct json_writer *w, const struct publish_options *options)
{
    char time[RFC3339_SIZE];

    rfc3339_format(time, options->time_s * 1000);
    annotate(w, options, "org.opencontainers.image.created", time);
    annotate(w, options, "org.opencontainers.image.revision", options->commit);
    annotate(w, options, "org.opencontainers.image.source", options->source);
}

/* Docker's manifests have none. */
static bool write_annotations(struct json_writer *w, const struct publish_options *options, const struct base *base,
                              struct error *err)
{
    json_open_object(w, "annotations");
    if (!write_base(w, options, base, err))
        return false;
    write_facts(w, options);
    write_asked(w, &options->annotations);
    json_close_object(w);
    return true;
}

static bool write_manifest(struct publication *publication, size_t i, struct error *err)
{
    const struct publish_options *options = &publication->options;
    const struct built *built = &options->built[i];
    struct descriptor config = descriptor_of(media_name(options, MEDIA_CONFIG), bytes_span(&built->config));
    struct json_writer w = json_writer_on(&publication->manifests[i]);

    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", media_name(options, MEDIA_MANIFEST));
    write_descriptor(&w, options, "config", &config, NULL);
    json_open_array(&w, "layers");
    for (size_t k = 0; k < built->layer_count; k++)
        write_descriptor(&w, options, NULL, &built->layers[k].blob, NULL);
    json_close_array(&w);
    if (!options->docker_types && !write_annotations(&w, options, built->base, err))
        return false;
    json_close_object(&w);
    if (!json_writer_end(&w, err))
        return false;
    publication->described[i] =
        descriptor_of(media_name(options, MEDIA_MANIFEST), bytes_span(&publication->manifests[i]));
    return true;
}

static bool write_index(struct publication *publication, struct error *err)
{
    const struct publish_options *options = &publication->options;
    struct json_writer w = json_writer_on(&publication->index);

    json_open_object(&w, NULL);
    json_add_integer(&w, "schemaVersion", 2);
    json_add_string(&w, "mediaType", media_name(options, MEDIA_INDEX));
    json_open_array(&w, "manifests");
    for (size_t i = 0; i < options->count; i++)
        write_descriptor(&w, options, NULL, &publication->described[i], options->platforms[i]);
    json_close_array(&w);
    if (!options->docker_types) {
        json_open_object(&w, "annotations");
        write_facts(&w, options);
        json_close_object(&w);
    }
    json_close_object(&w);
    if (!json_writer_end(&w, err))
        return false;
    publication->top = descriptor_of(media_name(options, MEDIA_INDEX), bytes_span(&publication->index));
    return true;
}

static bool write_manifests(struct publication *publication, struct error *err)
{
    size_t count = publication->options.count;

    publication->manifests = calloc(count, sizeof(publication->manifests[0]));
    publication->described = calloc(count, sizeof(publication->described[0]));
    if (!publication->manifests || !publication->described)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        bytes_init(&publication->manifests[i], STORE_MANIFEST_MAX);
        if (!write_manifest(publication, i, err))
            return false;
    }
    publication->top = publication->described[0];
    if (count == 1)
        return true;
    bytes_init(&publication->index, STORE_MANIFEST_MAX);
    return write_index(publication, err);
}

/* For pushing from the first request on, with a session that all the workers share. */
static bool set_registries(struct publication *publication, struct error *err)
{
    if (publication->options.registries)
        publication->registries = *publication->options.registries;
    publication->registries.push = true;
    if (publication->registries.session)
        return true;
    publication->registries.session = publication->session = registry_session_new(err);
    return publication->session != NULL;
}

struct publication *publication_new(const struct publish_options *options, struct error *err)
{
    AUTO(publication_free) struct publication *publication = calloc(1, sizeof(*publication));

    if (!publication) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    publication->options = *options;
    if (!set_registries(publication, err) || !write_manifests(publication, err) ||
        !reference_parse(span_of(options->image), &publication->reference, err))
        return NULL;
    if (!options->ahead)
        publication->own_store = store_open(&publication->reference, &publication->registries, err);
    publication->store = options->ahead ? ahead_store(options->ahead) : publication->own_store;
    return publication->store ? TAKE(publication) : NULL;
}

/* ---- sending ---- */

/* Workers of an upload, each with a connection of its own; as many as other clients open to one registry. */
enum { WORKERS = 4 };

/* What can be sent independently: an own layer, a configuration, a layer of a base. */
struct shipment {
    const struct built_layer *layer; /* NULL: a configuration */
    const struct built *built;
};

struct shipping {
    struct publication *publication;
    struct shipment *shipments;
    size_t count;
    struct store *stores[WORKERS]; /* the first is the publication's */
};

static void shipping_release(struct shipping *shipping)
{
    for (size_t i = 1; i < WORKERS; i++)
        store_free(shipping->stores[i]);
    free(shipping->shipments);
}
AUTO_RELEASE(struct shipping, shipping_release)

static bool to_spool(void *context, const void *data, size_t len, struct error *err)
{
    return spool_append(context, data, len, err);
}

/* A base's store is for one thread, and several layers may come from it: a store for this copy alone. */
static bool copy_base_layer(struct store *to, const struct built_layer *layer,
                            const struct registry_options *registries, struct error *err)
{
    struct registry_options options = { 0 };

    if (registries)
        options = *registries;
    options.push = false;
    options.use_mirrors = true;
    AUTO(store_free) struct store *from = store_open(&layer->base->reference, &options, err);
    AUTO(spool_free) struct spool *spool = from ? spool_new(copied_layer_max, err) : NULL;

    return spool && store_get_blob(from, &layer->blob, to_spool, spool, err) &&
           store_put_blob_file(to, &layer->blob, spool_fd(spool), err);
}

bool publish_layer(struct store *to, const struct built_layer *layer, const struct registry_options *registries,
                   struct error *err)
{
    bool done = false;

    if (layer->layer)
        return store_put_blob_file(to, &layer->blob, spool_fd(layer->layer->spool), err);
    return store_mount_blob(to, &layer->blob, &layer->base->reference, &done, err) &&
           (done || copy_base_layer(to, layer, registries, err));
}

static struct descriptor config_of(const struct built *built)
{
    return descriptor_of(MEDIA_OCI_CONFIG, bytes_span(&built->config));
}

static bool send_config(struct store *store, const struct built *built, struct error *err)
{
    struct descriptor config = config_of(built);

    return store_put_blob(store, &config, bytes_span(&built->config), err);
}

static bool ship(void *context, size_t worker, size_t job, struct error *err)
{
    struct shipping *shipping = context;
    struct publication *publication = shipping->publication;
    const struct built_layer *layer = shipping->shipments[job].layer;

    if (!shipping->stores[worker])
        shipping->stores[worker] = store_open(&publication->reference, &publication->registries, err);
    struct store *store = shipping->stores[worker];
    if (!store)
        return false;
    if (!layer)
        return send_config(store, shipping->shipments[job].built, err);
    return publish_layer(store, layer, &publication->registries, err);
}

static bool is_listed(const struct shipping *shipping, const struct built_layer *layer)
{
    for (size_t i = 0; i < shipping->count; i++) {
        const struct built_layer *other = shipping->shipments[i].layer;

        if (other && strcmp(other->blob.digest, layer->blob.digest) == 0)
            return true;
    }
    return false;
}

static void list_layers(struct shipping *shipping, const struct built *built, bool of_base)
{
    for (size_t k = 0; k < built->layer_count; k++) {
        const struct built_layer *layer = &built->layers[k];

        if ((layer->layer == NULL) == of_base && !is_listed(shipping, layer))
            shipping->shipments[shipping->count++] = (struct shipment){ layer, built };
    }
}

/* What takes longest first: own layers, then configurations, then what is only mounted. Platforms often share layers. */
static bool list_shipments(struct shipping *shipping, struct error *err)
{
    const struct publish_options *options = &shipping->publication->options;
    size_t most = options->count;

    for (size_t i = 0; i < options->count; i++)
        most += options->built[i].layer_count;
    shipping->shipments = calloc(most, sizeof(shipping->shipments[0]));
    if (!shipping->shipments)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < options->count; i++)
        list_layers(shipping, &options->built[i], false);
    for (size_t i = 0; i < options->count; i++)
        shipping->shipments[shipping->count++] = (struct shipment){ NULL, &options->built[i] };
    for (size_t i = 0; i < options->count; i++)
        list_layers(shipping, &options->built[i], true);
    return true;
}

static bool was_sent(const struct ahead *ahead, const struct shipment *shipment)
{
    struct descriptor config = { .digest = "" };

    if (!shipment->layer)
        config = config_of(shipment->built);
    return ahead_has_sent(ahead, shipment->layer ? shipment->layer->blob.digest : config.digest);
}

/* The configurations follow the layers that went ahead, and the last of the base's. */
static void go_ahead(const struct publication *publication, const struct shipping *shipping)
{
    struct ahead *ahead = publication->options.ahead;

    for (size_t i = 0; i < publication->options.count; i++) {
        const struct built *built = &publication->options.built[i];
        struct descriptor config = config_of(built);

        ahead_send(ahead, &config, bytes_span(&built->config));
    }
    for (size_t i = 0; i < shipping->count; i++) {
        const struct built_layer *layer = shipping->shipments[i].layer;

        if (layer && !layer->layer)
            ahead_send_expected(ahead, layer);
    }
    ahead_wait(ahead);
}

/* What is there already is struck off the list. */
static void strike_off(const struct ahead *ahead, struct shipping *shipping)
{
    size_t left = 0;

    for (size_t i = 0; i < shipping->count; i++) {
        if (!was_sent(ahead, &shipping->shipments[i]))
            shipping->shipments[left++] = shipping->shipments[i];
    }
    shipping->count = left;
}

static bool send_blobs(struct publication *publication, struct error *err)
{
    AUTO(shipping_release)
    struct shipping shipping = { .publication = publication, .stores = { publication->store } };
    struct ahead *ahead = publication->options.ahead;

    if (!list_shipments(&shipping, err))
        return false;
    if (ahead && ahead_has_begun(ahead))
        go_ahead(publication, &shipping);
    if (ahead)
        strike_off(ahead, &shipping);
    return parallel_run(shipping.count, WORKERS, ship, &shipping, err);
}

/* One token for all that is to come, where tokens are asked for. */
static bool announce_mounts(struct publication *publication, struct error *err)
{
    for (size_t i = 0; i < publication->options.count; i++) {
        const struct built *built = &publication->options.built[i];

        for (size_t k = 0; k < built->layer_count; k++) {
            const struct base *base = built->layers[k].base;

            if (base && !store_will_mount(publication->store, &base->reference, err))
                return false;
        }
    }
    return true;
}

/* Does the registry know this image, under whatever name? */
static bool look(struct publication *publication, struct error *err)
{
    const struct ahead *ahead = publication->options.ahead;
    struct error failed = { 0 };
    struct descriptor there;

    if (ahead && ahead_has_begun(ahead))
        return true;
    publication->stands = store_resolve(publication->store, publication->top.digest, &there, &failed);
    if (publication->stands || failed.kind == ERROR_NOT_FOUND)
        return true;
    *err = failed;
    return false;
}

bool publication_upload(struct publication *publication, struct error *err)
{
    size_t count = publication->options.count;
    struct descriptor ignored;

    if (!announce_mounts(publication, err) || !look(publication, err))
        return false;
    if (publication->stands)
        return true;
    if (!send_blobs(publication, err))
        return false;
    for (size_t i = 0; count > 1 && i < count; i++) {
        if (!store_put_manifest(publication->store, NULL, publication->described[i].media_type,
                                bytes_span(&publication->manifests[i]), &ignored, err))
            return false;
    }
    return true;
}

static bool is_tagged(struct publication *publication, const char *tag)
{
    struct error ignored = { 0 };
    struct descriptor there;

    return publication->stands && store_resolve(publication->store, tag, &there, &ignored) &&
           strcmp(there.digest, publication->top.digest) == 0;
}

bool publication_tag(struct publication *publication, struct error *err)
{
    const struct publish_options *options = &publication->options;
    struct span body = bytes_span(options->count > 1 ? &publication->index : &publication->manifests[0]);
    struct descriptor ignored;

    for (size_t i = 0; i < options->tag_count; i++) {
        if (!is_tagged(publication, options->tags[i]) &&
            !store_put_manifest(publication->store, options->tags[i], publication->top.media_type, body, &ignored, err))
            return error_wrap(err, "tag '%s'", options->tags[i]);
    }
    return true;
}
