#include "runtime/signature.h"
#include "shared/base/bytes.h"

#include "tests/unit/failing.h"

#define EVENT                                                                                                          \
    "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/"                                                             \
    "s\",\"type\":\"t\",\"subject\":\"s\\u00e9\",\"a\":\"x\",\"b\":1,\"c\":true,"                                      \
    "\"d\":\"x\",\"e\":\"x\",\"f\":\"x\",\"g\":\"x\",\"h\":\"x\",\"i\":\"x\",\"data_base64\":\"aGVsbG8=\"}"

static bool check(struct arena *arena, const struct event_header *headers, size_t count, struct span body,
                  struct error *err)
{
    struct event *events;
    size_t event_count;
    AUTO(bytes_release) struct bytes text = BYTES(64 * 1024);
    return event_decode(arena, headers, count, body, &events, &event_count, err) &&
           event_encode_headers(&text, &events[0], err) && event_encode_structured(&text, &events[0], err);
}

static bool decode(const struct event_header *headers, size_t count, struct span body, struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    return arena ? check(arena, headers, count, body, err) : error_set(err, ERROR_INTERNAL, "out of memory");
}

static bool structured(struct error *err)
{
    static const struct event_header type = { SPAN("Content-Type"), SPAN("application/cloudevents+json") };
    return decode(&type, 1, SPAN(EVENT), err);
}

static bool batched(struct error *err)
{
    static const struct event_header type = { SPAN("Content-Type"), SPAN("application/cloudevents-batch+json") };
    return decode(&type, 1, SPAN("[" EVENT "," EVENT "]"), err);
}

static bool binary(struct error *err)
{
    static const struct event_header headers[] = {
        { SPAN("ce-specversion"), SPAN("1.0") }, { SPAN("ce-id"), SPAN("1") },
        { SPAN("ce-source"), SPAN("/s") },       { SPAN("ce-type"), SPAN("t") },
        { SPAN("ce-x"), SPAN("\"a%20b\"") },     { SPAN("Content-Type"), SPAN("text/plain") },
    };
    return decode(headers, sizeof headers / sizeof headers[0], SPAN("hello"), err);
}

static bool sign(struct arena *arena, struct error *err)
{
    AUTO(keyring_free) struct keyring *keyring = keyring_new();
    if (!keyring)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    struct secret *key = secret_new(SPAN("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"), err);
    struct event event = { .id = "1", .source = "/s", .type = "t" };
    if (!key || !keyring_add(keyring, key, err))
        return false;
    const char *value = signature_make(keyring, arena, &event, err);
    event.extensions = &(struct attribute){ .name = SIGNATURE_ATTRIBUTE, .value = value };
    event.extension_count = 1;
    return value && signature_verify(keyring, &event, err);
}

static bool signing(struct error *err)
{
    AUTO(arena_free) struct arena *arena = arena_new(1024 * 1024);
    return arena ? sign(arena, err) : error_set(err, ERROR_INTERNAL, "out of memory");
}

static void every_path_says_that_memory_is_out(void **state)
{
    (void)state;
    run_without_memory("a structured event", structured);
    run_without_memory("a batch", batched);
    run_without_memory("a binary event", binary);
    run_without_memory("a signature", signing);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_path_says_that_memory_is_out) };
    return cmocka_run_group_tests_name("runtime/event memory", tests, NULL, NULL);
}
