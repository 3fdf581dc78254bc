/* Any bytes as what a git host says about its refs, and as the file packed-refs. The first byte chooses the form. */
#include "shared/gitrefs/listing.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ref *ref)
{
    size_t direct = strlen(ref->direct), commit = strlen(ref->commit), name = strlen(ref->name);
    assert((direct == 40 || direct == 64) && (commit == 40 || commit == 64));
    assert(name > 0 && name <= REF_NAME_MAX && !strchr(ref->name, ' ') && !strchr(ref->name, '\n'));
    assert(strncmp(ref->name, "refs/heads/", 11) == 0 || strncmp(ref->name, "refs/tags/", 10) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    AUTO(listing_free) struct listing *listing = listing_new(&err);
    bool commands = false, good;
    if (!listing || size == 0)
        return 0;
    const struct span text = { (const char *)data + 1, size - 1 };
    if (*data == 'a')
        good = listing_read_advertisement(listing, text, &commands, &err);
    else if (*data == 'p')
        good = listing_read_packed(listing, text, &err);
    else
        good = listing_read_answer(listing, text, &err);
    assert(good || err.kind == ERROR_INVALID || err.kind == ERROR_TOO_LARGE);
    listing_settle(listing);
    for (size_t i = 0; i < listing->refs.count; i++) {
        check(&listing->refs.items[i]);
        assert(refs_find(&listing->refs, listing->refs.items[i].name) == &listing->refs.items[i]);
    }
    return 0;
}
