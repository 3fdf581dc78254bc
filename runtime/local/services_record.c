#include "runtime/local/services_record.h"

#include "shared/base/file.h"
#include "shared/base/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TREE_MAX = 4 * 1024 * 1024, READY_TIMEOUT_DEFAULT_S = 60, READY_TIMEOUT_MAX_S = 24 * 3600 };

static const char *const state_names[] = {
    [SERVICE_STARTING] = "starting",
    [SERVICE_RUNNING] = "running",
    [SERVICE_FAILED] = "failed",
};
enum { STATES = sizeof state_names / sizeof state_names[0] };

void service_spec_release(struct service_spec *spec)
{
    free(spec->image);
    free(spec->digest);
    free(spec->service_port);
    free(spec->annotations);
    *spec = (struct service_spec){ 0 };
}

void service_record_release(struct service_record *record)
{
    service_spec_release(&record->wanted);
    service_spec_release(&record->running);
}

static bool copy_text(char **out, const char *text)
{
    *out = text ? strdup(text) : NULL;
    return !text || *out;
}

bool service_spec_copy(struct service_spec *out, const struct service_spec *spec, struct error *err)
{
    AUTO(service_spec_release)
    struct service_spec copy = {
        .container_port = spec->container_port,
        .ready_timeout_s = spec->ready_timeout_s,
    };
    if (!copy_text(&copy.image, spec->image) || !copy_text(&copy.digest, spec->digest) ||
        !copy_text(&copy.service_port, spec->service_port) || !copy_text(&copy.annotations, spec->annotations))
        return error_set(err, ERROR_INTERNAL, "out of memory");
    *out = copy;
    copy = (struct service_spec){ 0 };
    return true;
}

bool service_name_is_legal(struct span name)
{
    if (name.len == 0 || name.len > RECORD_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool inner = c == '-' && i > 0 && i + 1 < name.len;
        if (!inner && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

static bool digits(const char *text, unsigned *out)
{
    unsigned value = 0;
    if (!text[0] || strlen(text) > 5)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
    }
    *out = value;
    return value <= 65535;
}

bool service_port_parse(const char *text, char address[static 16], unsigned *port, struct error *err)
{
    char host[16] = "127.0.0.1";
    unsigned number = 0;
    struct in_addr ignored;
    const char *colon = text ? strrchr(text, ':') : NULL;
    if (colon && (size_t)(colon - text) < sizeof host) {
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
    }
    bool host_fits = !colon || (size_t)(colon - text) < sizeof host;
    if (text && (!host_fits || !digits(colon ? colon + 1 : text, &number) || inet_pton(AF_INET, host, &ignored) != 1))
        return error_set(err, ERROR_INVALID, "'%s' is no port and no IPv4 address with a port", text);
    memcpy(address, host, sizeof host);
    *port = number;
    return true;
}

static bool port_read(const struct json *value, unsigned *out)
{
    int64_t number = 0;
    if (value && (!json_integer(value, &number) || number < 0 || number > 65535))
        return false;
    *out = (unsigned)number;
    return true;
}

static bool annotations_read(const struct json *value, char **out, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(ANNOTATIONS_MAX);
    if (value && json_type(value) != JSON_OBJECT)
        return error_set(err, ERROR_INVALID, "annotations: want an object, have %s", json_type_name(json_type(value)));
    if (!(value ? json_print(&text, value, err) : bytes_append_text(&text, "{}", err)))
        return error_wrap(err, "annotations");
    *out = bytes_take(&text);
    return *out || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool image_read(const char *text, struct service_spec *spec, struct error *err)
{
    AUTO(reference_release) struct reference reference = { 0 };
    if (!text)
        return error_set(err, ERROR_INVALID, "image: missing");
    if (!reference_parse(span_of(text), &reference, err))
        return error_wrap(err, "image '%s'", text);
    if (!reference.digest)
        return error_set(err, ERROR_INVALID, "image '%s': a digest is needed, a tag alone may move", text);
    spec->digest = TAKE(reference.digest);
    return copy_text(&spec->image, text) || error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool spec_read(const struct json *body, struct service_spec *out, struct error *err)
{
    AUTO(service_spec_release) struct service_spec spec = { 0 };
    char address[16];
    unsigned port;
    int64_t ready_s = READY_TIMEOUT_DEFAULT_S;
    const struct json *ready = json_get(body, "readyTimeoutSeconds");
    const char *service_port = json_get_string(body, "servicePort");
    if (!image_read(json_get_string(body, "image"), &spec, err) ||
        !annotations_read(json_get(body, "annotations"), &spec.annotations, err))
        return false;
    if (!port_read(json_get(body, "containerPort"), &spec.container_port))
        return error_set(err, ERROR_INVALID, "containerPort: want a number from 0 to 65535");
    if (!service_port_parse(service_port, address, &port, err))
        return error_wrap(err, "servicePort");
    if (ready && (!json_integer(ready, &ready_s) || ready_s < 0 || ready_s > READY_TIMEOUT_MAX_S))
        return error_set(err, ERROR_INVALID, "readyTimeoutSeconds: want a number from 0 to %d", READY_TIMEOUT_MAX_S);
    spec.ready_timeout_s = ready_s > 0 ? (long)ready_s : READY_TIMEOUT_DEFAULT_S;
    if (!copy_text(&spec.service_port, service_port))
        return error_set(err, ERROR_INTERNAL, "out of memory");
    *out = spec;
    spec = (struct service_spec){ 0 };
    return true;
}

bool service_spec_parse(struct span body, struct service_spec *out, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    const struct json *tree = json_parse(arena, body, err);
    return tree && spec_read(tree, out, err);
}

static bool add_members(struct json_writer *w, const struct json *object, const struct json *but, struct error *err)
{
    for (const struct json *member = json_first(object); member; member = json_next(member)) {
        AUTO(bytes_release) struct bytes value = BYTES(ANNOTATIONS_MAX);
        if (json_get(but, json_key(member)))
            continue;
        if (!json_print(&value, member, err))
            return false;
        json_add_raw(w, json_key(member), bytes_span(&value));
    }
    return true;
}

bool service_spec_annotate(struct service_spec *spec, struct span body, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    AUTO(bytes_release) struct bytes text = BYTES(ANNOTATIONS_MAX);
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    const struct json *tree = json_parse(arena, body, err);
    const struct json *before = tree ? json_parse(arena, span_of(spec->annotations), err) : NULL;
    const struct json *more = json_get(tree, "annotations");
    if (!before)
        return false;
    if (!more || json_type(more) != JSON_OBJECT)
        return error_set(err, ERROR_INVALID, "annotations: want an object");
    struct json_writer w = json_writer_on(&text);
    json_open_object(&w, NULL);
    if (!add_members(&w, before, more, err) || !add_members(&w, more, NULL, err))
        return error_wrap(err, "annotations");
    json_close_object(&w);
    if (!json_writer_end(&w, err))
        return error_wrap(err, "annotations");
    char *merged = bytes_take(&text);
    if (!merged)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    free(spec->annotations);
    spec->annotations = merged;
    return true;
}

static const char *non_empty(const char *text)
{
    return text[0] ? text : NULL;
}

static void tell_members(const struct service_record *record, struct json_writer *w)
{
    char url[64] = "";
    bool everywhere = strcmp(record->address, "0.0.0.0") == 0;
    if (record->port && record->running.image)
        snprintf(url, sizeof url, "http://%s:%u", everywhere ? "127.0.0.1" : record->address, record->port);
    json_add_string(w, "namespace", record->namespace);
    json_add_string(w, "name", record->name);
    json_add_integer(w, "generation", record->generation);
    json_add_string(w, "state", state_names[record->state]);
    json_add_string(w, "reason", non_empty(record->reason));
    json_add_string(w, "image", record->wanted.image);
    json_add_string(w, "digest", record->wanted.digest);
    json_add_raw(w, "annotations", span_of(record->wanted.annotations));
    json_add_string(w, "runningImage", record->running.image);
    json_add_string(w, "runningDigest", record->running.digest);
    json_add_string(w, "previousDigest", non_empty(record->previous_digest));
    json_add_string(w, "url", non_empty(url));
}

bool service_record_tell(const struct service_record *record, struct bytes *out, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    json_open_object(&w, NULL);
    tell_members(record, &w);
    json_close_object(&w);
    return json_writer_end(&w, err);
}

static void write_spec(struct json_writer *w, const char *key, const struct service_spec *spec)
{
    if (!spec->image)
        return;
    json_open_object(w, key);
    json_add_string(w, "image", spec->image);
    json_add_integer(w, "containerPort", spec->container_port);
    json_add_string(w, "servicePort", spec->service_port);
    json_add_integer(w, "readyTimeoutSeconds", spec->ready_timeout_s);
    json_add_raw(w, "annotations", span_of(spec->annotations));
    json_close_object(w);
}

static void record_path(const struct service_record *record, const char *directory, char *out, size_t size)
{
    snprintf(out, size, "%s/%s.%s.json", directory, record->namespace, record->name); /* labels hold no dot */
}

bool service_record_write(const struct service_record *record, const char *directory, struct error *err)
{
    char path[4096];
    AUTO(bytes_release) struct bytes text = BYTES(RECORD_MAX);
    struct json_writer w = json_writer_on(&text);
    json_open_object(&w, NULL);
    tell_members(record, &w);
    json_add_string(&w, "address", record->address);
    json_add_integer(&w, "port", record->port);
    write_spec(&w, "wanted", &record->wanted);
    write_spec(&w, "running", &record->running);
    json_close_object(&w);
    record_path(record, directory, path, sizeof path);
    return json_writer_end(&w, err) && file_write_atomic(path, bytes_span(&text), 0600, err);
}

static bool fill_text(char *out, size_t size, const char *text)
{
    if (!text)
        return true;
    size_t len = strlen(text);
    if (len >= size)
        return false;
    memcpy(out, text, len + 1);
    return true;
}

static bool state_read(const char *name, enum service_state *out)
{
    for (unsigned i = 0; name && i < STATES; i++) {
        if (strcmp(name, state_names[i]) != 0)
            continue;
        *out = (enum service_state)i;
        return true;
    }
    return false;
}

static bool record_read(const struct json *tree, struct service_record *out, struct error *err)
{
    const char *namespace = json_get_string(tree, "namespace"), *name = json_get_string(tree, "name");
    const struct json *running = json_get(tree, "running");
    if (!service_name_is_legal(span_of(namespace)) || !service_name_is_legal(span_of(name)) ||
        !json_integer(json_get(tree, "generation"), &out->generation) || out->generation < 1 ||
        !state_read(json_get_string(tree, "state"), &out->state) || !port_read(json_get(tree, "port"), &out->port) ||
        !fill_text(out->address, sizeof out->address, json_get_string(tree, "address")) ||
        !fill_text(out->reason, sizeof out->reason, json_get_string(tree, "reason")) ||
        !fill_text(out->previous_digest, sizeof out->previous_digest, json_get_string(tree, "previousDigest")))
        return error_set(err, ERROR_INVALID, "not a service's record");
    fill_text(out->namespace, sizeof out->namespace, namespace);
    fill_text(out->name, sizeof out->name, name);
    return spec_read(json_get(tree, "wanted"), &out->wanted, err) &&
           (!running || spec_read(running, &out->running, err));
}

bool service_record_read(const char *path, struct service_record *out, struct error *err)
{
    AUTO(bytes_release) struct bytes text = BYTES(RECORD_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(TREE_MAX);
    AUTO(service_record_release) struct service_record record = { .generation = 0 };
    if (!arena)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (!file_read(&text, path, err))
        return false;
    const struct json *tree = json_parse(arena, bytes_span(&text), err);
    if (!tree || !record_read(tree, &record, err))
        return error_wrap(err, "read '%s'", path);
    *out = record;
    record = (struct service_record){ .generation = 0 };
    return true;
}

bool service_record_remove(const struct service_record *record, const char *directory, struct error *err)
{
    char path[4096];
    record_path(record, directory, path, sizeof path);
    return unlink(path) == 0 || errno == ENOENT || error_set_errno(err, errno, "remove '%s'", path);
}
