#include "shared/gitrefs/listing.h"

#include "shared/gitrefs/pktline.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_MAX = 4 * LISTING_BYTES_MAX, CAPACITY_FIRST = 64 };

#define HEADS "refs/heads/"
#define TAGS "refs/tags/"
#define PEELED "^{}"

struct listing *listing_new(struct error *err)
{
    AUTO(listing_free) struct listing *listing = calloc(1, sizeof(*listing));

    if (listing && (listing->arena = arena_new(ARENA_MAX)))
        return TAKE(listing);
    error_set(err, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    free(listing->refs.items);
    arena_free(listing->arena);
    free(listing);
}

/* ---- one ref ---- */

static bool is_oid(struct span text)
{
    bool is_hex = text.len == 40 || text.len == 64;

    for (size_t i = 0; is_hex && i < text.len; i++)
        is_hex = (text.data[i] >= '0' && text.data[i] <= '9') || (text.data[i] >= 'a' && text.data[i] <= 'f');
    return is_hex;
}

static bool is_wanted(struct span name)
{
    bool wanted = name.len <= REF_NAME_MAX && (span_starts(name, HEADS) || span_starts(name, TAGS));

    for (size_t i = 0; wanted && i < name.len; i++)
        wanted = (unsigned char)name.data[i] > ' ' && name.data[i] != 0x7f;
    return wanted;
}

/* Where the next one goes. */
static struct ref *make_room(struct listing *listing, struct error *err)
{
    struct refs *refs = &listing->refs;

    if (refs->count >= REFS_MAX) {
        error_set(err, ERROR_TOO_LARGE, "more than %d branches and tags", REFS_MAX);
        return NULL;
    }
    if (!refs->items || refs->count == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : CAPACITY_FIRST;
        struct ref *items = realloc(refs->items, capacity * sizeof(*items));
        if (!items) {
            error_set(err, ERROR_INTERNAL, "out of memory");
            return NULL;
        }
        refs->items = items;
        listing->capacity = capacity;
    }
    return &refs->items[refs->count];
}

static const char *keep(struct listing *listing, struct span text, struct error *err)
{
    const char *copy = arena_dup(listing->arena, text);

    if (!copy)
        error_set(err, ERROR_TOO_LARGE, "the refs take too much memory");
    return copy;
}

bool listing_add(struct listing *listing, struct span oid, struct span name, struct span peeled, struct error *err)
{
    if (!is_oid(oid) || (peeled.data && !is_oid(peeled)))
        return error_set(err, ERROR_INVALID, "a ref does not point to an object's name");
    if (!is_wanted(name))
        return true;
    struct ref *ref = make_room(listing, err);
    if (!ref || !(ref->name = keep(listing, name, err)) || !(ref->direct = keep(listing, oid, err)) ||
        !(ref->commit = peeled.data ? keep(listing, peeled, err) : ref->direct))
        return false;
    listing->refs.count++;
    return true;
}

/* The line behind an annotated tag's own tells what it is about. */
static bool add_peeled(struct listing *listing, struct span oid, struct span name, struct error *err)
{
    struct ref *last = listing->refs.count > 0 ? &listing->refs.items[listing->refs.count - 1] : NULL;

    if (!is_oid(oid))
        return error_set(err, ERROR_INVALID, "a tag is not about an object's name");
    if (!last || (name.data && !span_is(name, last->name)))
        return true;
    const char *commit = keep(listing, oid, err);
    if (commit)
        last->commit = commit;
    return commit != NULL;
}

bool listing_set_head(struct listing *listing, struct span branch, struct error *err)
{
    if (!is_wanted(branch) || listing->refs.head)
        return true;
    listing->refs.head = keep(listing, branch, err);
    return listing->refs.head != NULL;
}

/* ---- protocol 0 and 1: "OID NAME", the first with capabilities behind a NUL ---- */

static bool read_capabilities(struct listing *listing, struct span text, struct error *err)
{
    static const char symref[] = "symref=HEAD:";

    while (text.data) {
        struct span word = span_cut(&text, ' ');
        struct span target = { word.data + sizeof(symref) - 1, word.len - (sizeof(symref) - 1) };
        if (span_starts(word, symref) && !listing_set_head(listing, target, err))
            return false;
    }
    return true;
}

static bool read_told(struct listing *listing, struct span line, struct error *err)
{
    struct span capabilities = line;
    struct span told = span_cut(&capabilities, '\0');
    struct span name = told;
    struct span oid = span_cut(&name, ' ');

    if (span_starts(line, "shallow "))
        return true;
    if (!name.data)
        return error_set(err, ERROR_INVALID, "a line of the server names no ref");
    if (!read_capabilities(listing, capabilities, err))
        return false;
    if (!span_ends(name, PEELED))
        return listing_add(listing, oid, name, (struct span){ NULL, 0 }, err);
    name.len -= sizeof(PEELED) - 1;
    return add_peeled(listing, oid, name, err);
}

static bool read_told_all(struct listing *listing, struct packet packet, struct span rest, struct error *err)
{
    while (packet.kind == PACKET_LINE) {
        if (!read_told(listing, packet.line, err) || !packet_next(&rest, &packet, err))
            return false;
    }
    return packet.kind == PACKET_FLUSH || error_set(err, ERROR_INVALID, "the server's list of refs has no end");
}

/* ---- protocol 2 ---- */

static bool read_abilities(struct span rest, struct error *err)
{
    struct packet packet;
    bool lists = false;

    do {
        if (!packet_next(&rest, &packet, err))
            return false;
        lists = lists || span_is(packet.line, "ls-refs") || span_starts(packet.line, "ls-refs=");
    } while (packet.kind == PACKET_LINE);
    return lists || error_set(err, ERROR_INVALID, "the server does not list its refs");
}

bool listing_read_advertisement(struct listing *listing, struct span body, bool *commands, struct error *err)
{
    struct packet packet;

    *commands = false;
    if (!packet_next(&body, &packet, err))
        return false;
    if (span_is(packet.line, "# service=git-upload-pack") &&
        (!packet_next(&body, &packet, err) || !packet_next(&body, &packet, err)))
        return false;
    if (span_is(packet.line, "version 2")) {
        *commands = true;
        return read_abilities(body, err);
    }
    if (span_is(packet.line, "version 1") && !packet_next(&body, &packet, err))
        return false;
    return read_told_all(listing, packet, body, err);
}

/* "OID NAME[ symref-target:NAME][ peeled:OID]"; a HEAD without a commit is "unborn". */
static bool read_answered(struct listing *listing, struct span line, struct error *err)
{
    struct span rest = line, peeled = { NULL, 0 };
    struct span oid = span_cut(&rest, ' '), name = span_cut(&rest, ' ');

    if (!name.data)
        return error_set(err, ERROR_INVALID, "a line of the server names no ref");
    while (rest.data) {
        struct span word = span_cut(&rest, ' '), value = word;
        struct span key = span_cut(&value, ':');
        if (span_is(key, "peeled"))
            peeled = value;
        else if (span_is(key, "symref-target") && span_is(name, "HEAD") && !listing_set_head(listing, value, err))
            return false;
    }
    return span_is(oid, "unborn") || listing_add(listing, oid, name, peeled, err);
}

bool listing_read_answer(struct listing *listing, struct span body, struct error *err)
{
    struct packet packet;

    for (;;) {
        if (!packet_next(&body, &packet, err))
            return false;
        if (packet.kind != PACKET_LINE)
            break;
        if (!read_answered(listing, packet.line, err))
            return false;
    }
    return packet.kind == PACKET_FLUSH || error_set(err, ERROR_INVALID, "the server's list of refs has no end");
}

/* ---- packed-refs: "OID NAME", behind an annotated tag "^OID" ---- */

bool listing_read_packed(struct listing *listing, struct span text, struct error *err)
{
    while (text.data) {
        struct span line = span_cut(&text, '\n');
        struct span name = line;
        struct span oid = span_cut(&name, ' ');

        if (line.len == 0 || *line.data == '#')
            continue;
        bool good = *line.data == '^' ? add_peeled(listing, (struct span){ line.data + 1, line.len - 1 },
                                                   (struct span){ NULL, 0 }, err)
                                      : listing_add(listing, oid, name, (struct span){ NULL, 0 }, err);
        if (!good)
            return error_wrap(err, "packed-refs");
    }
    return true;
}

bool refs_write(struct bytes *out, const struct refs *refs, struct error *err)
{
    bool good = bytes_append_text(out, "# pack-refs with: peeled fully-peeled sorted\n", err);

    for (size_t i = 0; good && i < refs->count; i++) {
        const struct ref *ref = &refs->items[i];
        good = bytes_printf(out, err, "%s %s\n", ref->direct, ref->name) &&
               (strcmp(ref->direct, ref->commit) == 0 || bytes_printf(out, err, "^%s\n", ref->commit));
    }
    return good;
}

struct refs *refs_parse(struct span text, struct error *err)
{
    AUTO(listing_free) struct listing *listing = listing_new(err);

    if (!listing || !listing_read_packed(listing, text, err))
        return NULL;
    listing_settle(listing);
    return &TAKE(listing)->refs;
}

/* ---- in order ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct ref *)a)->name, ((const struct ref *)b)->name);
}

void listing_settle(struct listing *listing)
{
    struct refs *refs = &listing->refs;
    size_t kept = 0;

    if (refs->count == 0)
        return;
    qsort(refs->items, refs->count, sizeof(refs->items[0]), compare);
    for (size_t i = 0; i < refs->count; i++) {
        if (kept == 0 || strcmp(refs->items[kept - 1].name, refs->items[i].name) != 0)
            refs->items[kept++] = refs->items[i];
    }
    refs->count = kept;
}

void refs_free(struct refs *refs)
{
    listing_free((struct listing *)refs);
}

const struct ref *refs_find(const struct refs *refs, const char *name)
{
    struct ref key = { .name = name };

    return refs->count > 0 ? bsearch(&key, refs->items, refs->count, sizeof(key), compare) : NULL;
}
