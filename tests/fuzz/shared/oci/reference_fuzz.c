/* Any bytes as an image name or package URL: what is taken can be written and is read as the same again. */
#include "shared/oci/reference.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SOME_DIGEST "sha256:0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"

enum { OUT_MAX = 64 * 1024 };

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void check_name(const struct reference *r)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(OUT_MAX);
    AUTO(reference_release) struct reference again = { .registry = NULL };
    assert(!r->tag || reference_tag_is_legal(span_of(r->tag)));
    assert(!r->digest || digest_is_legal(span_of(r->digest)));
    assert(reference_name(&name, r, &err));
    if (reference_is_layout(r) && strchr(r->repository, ':'))
        return; /* its last colon would be taken for a tag's */
    if (reference_is_layout(r) && strchr(r->repository, '@'))
        return;
    assert(reference_parse(bytes_span(&name), &again, &err));
    assert(same(r->registry, again.registry) && same(r->repository, again.repository) && !again.tag && !again.digest);
}

static void check_purl(const struct reference *r)
{
    struct error err = { 0 };
    AUTO(bytes_release) struct bytes purl = BYTES(OUT_MAX);
    AUTO(reference_release) struct reference again = { .registry = NULL };
    assert(reference_purl(&purl, r, r->digest ? r->digest : SOME_DIGEST, r->tag, &err));
    if (reference_is_layout(r) && strpbrk(r->repository, ":@"))
        return;
    assert(reference_from_purl(bytes_span(&purl), &again, &err));
    assert(same(r->registry, again.registry) && same(r->repository, again.repository) && same(r->tag, again.tag));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct span text = { (const char *)data, size };
    struct error err = { 0 };
    AUTO(reference_release) struct reference name = { .registry = NULL };
    AUTO(reference_release) struct reference purl = { .registry = NULL };
    if (reference_parse(text, &name, &err)) {
        check_name(&name);
        check_purl(&name);
    }
    if (reference_from_purl(text, &purl, &err))
        check_name(&purl);
    return 0;
}
