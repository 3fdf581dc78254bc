#include "runtime/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int make_arena(void **state)
{
    *state = arena_new(1024 * 1024);
    return *state ? 0 : -1;
}

static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static struct keyring *ring(const char *first, const char *second)
{
    struct error err = { 0 };
    struct keyring *made = keyring_new();
    assert_non_null(made);
    assert_true(keyring_add(made, secret_new(span_of(first), &err), &err));
    if (second)
        assert_true(keyring_add(made, secret_new(span_of(second), &err), &err));
    return made;
}

/* An event of four attributes, one of them to be the signature. */
struct sample {
    struct attribute extensions[4];
    struct event event;
};

static void make_sample(struct sample *sample)
{
    *sample = (struct sample){
        .extensions = { { "vcsref", "refs/heads/main", ATTRIBUTE_STRING },
                        { "traceparent", "00-1", ATTRIBUTE_STRING },
                        { "knativearrivaltime", "1", ATTRIBUTE_STRING } },
        .event = { .id = "1",
                   .source = "/s",
                   .type = "t",
                   .subject = "x",
                   .time = "2026-09-01T12:00:00.12Z",
                   .datacontenttype = "application/json",
                   .data = SPAN("{\"a\":1}") },
    };
    sample->event.extensions = sample->extensions;
    sample->event.extension_count = 3;
}

static void sign(struct sample *sample, const struct keyring *keyring, struct arena *arena)
{
    struct error err = { 0 };
    const char *value = signature_make(keyring, arena, &sample->event, &err);
    assert_non_null(value);
    sample->extensions[3] = (struct attribute){ SIGNATURE_ATTRIBUTE, value, ATTRIBUTE_STRING };
    sample->event.extension_count = 4;
}

static const char KEY[] = "0123456789abcdef";
static const char OTHER[] = "fedcba9876543210";

/* Computed with Python's hmac over the text that the header of the module describes. */
static void value_is_the_documented_one(void **state)
{
    AUTO(keyring_free) struct keyring *keyring = ring(KEY, OTHER);
    struct sample sample;
    make_sample(&sample);
    sign(&sample, keyring, *state);
    assert_string_equal(sample.extensions[3].value, "v1,1hsADusrSepc1ds5h7+LVY0/wBiDWoZAY04OAIxSWjc=");
}

static void signed_event_verifies_and_each_covered_part_counts(void **state)
{
    AUTO(keyring_free) struct keyring *keyring = ring(KEY, NULL);
    static const struct attribute forged = { "vcsref", "refs/heads/evil", ATTRIBUTE_STRING };
    for (int part = 0; part < 10; part++) {
        struct sample sample;
        struct error err = { 0 };
        make_sample(&sample);
        sign(&sample, keyring, *state);
        assert_true(signature_verify(keyring, &sample.event, &err));
        const char **core[] = { &sample.event.id,        &sample.event.source, &sample.event.type,
                                &sample.event.subject,   &sample.event.time,   &sample.event.datacontenttype,
                                &sample.event.dataschema };
        if (part < 7)
            *core[part] = part == 4 ? "2026-09-01T12:00:01Z" : "other";
        else if (part == 7)
            sample.event.data = SPAN("{\"a\":2}");
        else if (part == 8)
            sample.extensions[0] = forged;
        else
            sample.event.subject = NULL;
        assert_false(signature_verify(keyring, &sample.event, &err));
        assert_int_equal(err.kind, ERROR_DENIED);
    }
}

static void what_hops_change_is_not_covered(void **state)
{
    AUTO(keyring_free) struct keyring *keyring = ring(KEY, NULL);
    struct sample sample;
    struct error err = { 0 };
    make_sample(&sample);
    sign(&sample, keyring, *state);
    sample.extensions[1].value = "00-2";
    sample.extensions[2].value = "2";
    sample.event.time = "2026-09-01T14:00:00.120000000+02:00";
    assert_true(signature_verify(keyring, &sample.event, &err));
    struct attribute fewer[] = { sample.extensions[3], sample.extensions[0] };
    sample.event.extensions = fewer;
    sample.event.extension_count = 2;
    assert_true(signature_verify(keyring, &sample.event, &err));
}

/* Lengths keep one attribute's end from being another's beginning. */
static void moving_text_between_attributes_is_noticed(void **state)
{
    AUTO(keyring_free) struct keyring *keyring = ring(KEY, NULL);
    struct error err = { 0 };
    struct attribute one[] = { { "a", "xb=1:y", 0 }, { SIGNATURE_ATTRIBUTE, NULL, 0 } };
    struct attribute two[] = { { "a", "x", 0 }, { "b", "y", 0 }, { SIGNATURE_ATTRIBUTE, NULL, 0 } };
    struct event event = { .id = "1", .source = "/s", .type = "t", .extensions = one, .extension_count = 1 };
    const char *value = signature_make(keyring, *state, &event, &err);
    two[2].value = value;
    event.extensions = two;
    event.extension_count = 3;
    assert_false(signature_verify(keyring, &event, &err));
}

static void keys_rotate(void **state)
{
    AUTO(keyring_free) struct keyring *old = ring(OTHER, NULL);
    AUTO(keyring_free) struct keyring *both = ring(KEY, OTHER);
    AUTO(keyring_free) struct keyring *new_only = ring(KEY, NULL);
    struct sample sample;
    struct error err = { 0 };
    make_sample(&sample);
    sign(&sample, old, *state);
    assert_true(signature_verify(both, &sample.event, &err));
    assert_false(signature_verify(new_only, &sample.event, &err));
    make_sample(&sample);
    sign(&sample, both, *state);
    assert_true(signature_verify(new_only, &sample.event, &err));
    assert_false(signature_verify(old, &sample.event, &err));
}

static void refusals_say_what_is_wrong_and_reveal_nothing(void **state)
{
    AUTO(keyring_free) struct keyring *keyring = ring(KEY, NULL);
    struct sample sample;
    make_sample(&sample);
    sign(&sample, keyring, *state);
    const char *good = sample.extensions[3].value;
    const struct {
        const char *value;
        const char *error; /* NULL: accepted */
    } rows[] = {
        { NULL, "missing" },
        { "", "v1,<base64>" },
        { "v1,", "v1,<base64>" },
        { "v1", "v1,<base64>" },
        { good + 3, "v1,<base64>" },
        { "v1,AAAA", "v1,<base64>" },
        { "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "none of the chain's keys" },
        { arena_printf(*state, "v2,%s", good + 3), "v1,<base64>" },
        { arena_printf(*state, "%.40s", good), "v1,<base64>" },
        { arena_printf(*state, "v2,xyz v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= %s", good), NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = { 0 };
        sample.extensions[3].value = rows[i].value ? rows[i].value : "";
        sample.event.extension_count = rows[i].value ? 4 : 3;
        bool accepted = signature_verify(keyring, &sample.event, &err);
        assert_int_equal(accepted, rows[i].error == NULL);
        if (accepted)
            continue;
        assert_int_equal(err.kind, ERROR_DENIED);
        assert_non_null(strstr(err.message, rows[i].error));
        assert_null(strstr(err.message, good + 3));
    }
}

static void weak_and_too_many_keys_are_refused(void **state)
{
    (void)state;
    AUTO(keyring_free) struct keyring *keyring = keyring_new();
    struct error err = { 0 };
    assert_false(keyring_add(keyring, secret_new(SPAN("0123456789abcde"), &err), &err));
    assert_int_equal(err.kind, ERROR_INVALID);
    assert_null(strstr(err.message, "0123456789abcde"));
    assert_int_equal(keyring_count(keyring), 0);
    for (int i = 0; i < 16; i++)
        assert_true(keyring_add(keyring, secret_new(span_of(KEY), &err), &err));
    assert_false(keyring_add(keyring, secret_new(span_of(KEY), &err), &err));
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_int_equal(keyring_count(keyring), 16);
}

static void empty_ring_signs_and_accepts_nothing(void **state)
{
    AUTO(keyring_free) struct keyring *keyring = ring(KEY, NULL);
    AUTO(keyring_free) struct keyring *empty = keyring_new();
    struct sample sample;
    struct error err = { 0 };
    make_sample(&sample);
    assert_null(signature_make(empty, *state, &sample.event, &err));
    sign(&sample, keyring, *state);
    assert_false(signature_verify(empty, &sample.event, &err));
    assert_int_equal(err.kind, ERROR_DENIED);
}

static void bytes_of_a_functions_own_are_sealed(void **state)
{
    AUTO(keyring_free) struct keyring *old = ring("0123456789abcdef-old", NULL);
    AUTO(keyring_free) struct keyring *both = ring("0123456789abcdef-new", "0123456789abcdef-old");
    AUTO(keyring_free) struct keyring *other = ring("0123456789abcdef-other", NULL);
    uint8_t mac[SHA256_SIZE];

    (void)state;
    assert_true(keyring_seal(old, SPAN("index of a layer"), mac));
    assert_true(keyring_sealed(old, SPAN("index of a layer"), mac));
    assert_true(keyring_sealed(both, SPAN("index of a layer"), mac)); /* while keys rotate */
    assert_false(keyring_sealed(other, SPAN("index of a layer"), mac));
    assert_false(keyring_sealed(old, SPAN("index of a layeR"), mac));
    assert_false(keyring_seal(NULL, SPAN("index of a layer"), mac));
    assert_false(keyring_sealed(NULL, SPAN("index of a layer"), mac));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        T(value_is_the_documented_one),
        T(signed_event_verifies_and_each_covered_part_counts),
        T(what_hops_change_is_not_covered),
        T(moving_text_between_attributes_is_noticed),
        T(keys_rotate),
        T(refusals_say_what_is_wrong_and_reveal_nothing),
        T(weak_and_too_many_keys_are_refused),
        T(empty_ring_signs_and_accepts_nothing),
        T(bytes_of_a_functions_own_are_sealed),
    };
    return cmocka_run_group_tests_name("runtime/signature", tests, NULL, NULL);
}
