#include "shared/kube/yaml.h"

#include "shared/base/bytes.h"

#include <string.h>
#include <yaml.h>

/* What an alias may stand for: a piece of the JSON text that was written so far. */
struct anchor {
    char *name;
    size_t start, len;
};

/* A mapping or sequence that is open. */
struct level {
    bool mapping;
    bool at_value; /* of a mapping: its key was read */
    char *key;     /* that one */
    char *anchor;  /* its name, if it has one */
    size_t start;  /* of its text */
};

struct reader {
    yaml_parser_t parser;
    struct bytes text;
    struct json_writer out;
    struct level levels[YAML_DEPTH_MAX];
    size_t depth;
    struct anchor anchors[YAML_ANCHORS_MAX];
    size_t anchor_count;
    bool done; /* the document is complete */
};

static void reader_release(struct reader *r)
{
    while (r->depth > 0) {
        free(r->levels[--r->depth].key);
        free(r->levels[r->depth].anchor);
    }
    while (r->anchor_count > 0)
        free(r->anchors[--r->anchor_count].name);
    yaml_parser_delete(&r->parser);
    bytes_wipe(&r->text);
}
AUTO_RELEASE(struct reader, reader_release)
AUTO_RELEASE(yaml_event_t, yaml_event_delete)

static bool fail_at(const yaml_mark_t *mark, const char *what, struct error *err)
{
    return error_set(err, ERROR_INVALID, "line %zu column %zu: %s", mark->line + 1, mark->column + 1, what);
}

static bool fail_of_parser(const yaml_parser_t *parser, struct error *err)
{
    const char *what = parser->problem ? parser->problem : "malformed";
    if (parser->error == YAML_MEMORY_ERROR)
        return error_set(err, ERROR_INTERNAL, "out of memory");
    if (parser->error == YAML_READER_ERROR)
        return error_set(err, ERROR_INVALID, "byte %zu: %s", parser->problem_offset, what);
    return fail_at(&parser->problem_mark, what, err);
}

/* ---- where a value goes ---- */

static struct level *present(struct reader *r)
{
    return r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
}

static const char *key_for_value(struct reader *r)
{
    struct level *level = present(r);
    return level && level->mapping ? level->key : NULL;
}

/* The value is complete: the next one of a mapping is a key. */
static void value_done(struct reader *r)
{
    struct level *level = present(r);
    if (!level) {
        r->done = true;
    } else if (level->mapping) {
        free(TAKE(level->key));
        level->at_value = false;
    }
}

static bool remember(struct reader *r, char *name, size_t start, const yaml_mark_t *mark, struct error *err)
{
    if (!name)
        return true;
    if (r->anchor_count == YAML_ANCHORS_MAX) {
        free(name);
        return fail_at(mark, "too many anchors", err);
    }
    r->anchors[r->anchor_count++] = (struct anchor){ name, start, r->text.len - start };
    return true;
}

static bool dup_anchor(const yaml_char_t *name, char **out, struct error *err)
{
    *out = name ? strdup((const char *)name) : NULL;
    return !name || *out || error_set(err, ERROR_INTERNAL, "out of memory");
}

/* ---- events ---- */

static bool is_one_of(struct span text, const char *const *words)
{
    for (; *words; words++)
        if (span_is(text, *words))
            return true;
    return false;
}

/* The core schema's words, as the YAML library of Kubernetes reads them. */
static const char *word_of(const yaml_event_t *event)
{
    static const char *const truths[] = { "true", "True", "TRUE", NULL },
                             *const lies[] = { "false", "False", "FALSE", NULL }, *const nothings[] = { "",     "~",
                                                                                                        "null", "Null",
                                                                                                        "NULL", NULL };
    struct span text = { (const char *)event->data.scalar.value, event->data.scalar.length };
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return NULL;
    return is_one_of(text, truths)     ? "true"
           : is_one_of(text, lies)     ? "false"
           : is_one_of(text, nothings) ? "null"
                                       : NULL;
}

static bool put_text(struct reader *r, struct span json, const yaml_char_t *anchor, const yaml_mark_t *mark,
                     struct error *err)
{
    char *name;
    if (!dup_anchor(anchor, &name, err))
        return false;
    json_add_raw(&r->out, key_for_value(r), json);
    if (!remember(r, name, r->text.len - json.len, mark, err))
        return false;
    value_done(r);
    return true;
}

static bool take_key(struct reader *r, const yaml_event_t *event, struct error *err)
{
    struct level *level = present(r);
    struct span text = { (const char *)event->data.scalar.value, event->data.scalar.length };
    if (event->data.scalar.anchor)
        return fail_at(&event->start_mark, "a key with an anchor is not read here", err);
    level->key = span_dup(text);
    if (!level->key)
        return fail_at(&event->start_mark, "a key holds a NUL, or memory is out", err);
    level->at_value = true;
    return true;
}

static bool take_scalar(struct reader *r, const yaml_event_t *event, struct error *err)
{
    struct level *level = present(r);
    const char *tag = (const char *)event->data.scalar.tag;
    if (tag && strcmp(tag, "!") != 0 && strcmp(tag, YAML_STR_TAG) != 0)
        return fail_at(&event->start_mark, "a value with a tag of its own is not read here", err);
    if (level && level->mapping && !level->at_value)
        return take_key(r, event, err);
    const char *word = tag ? NULL : word_of(event);
    AUTO(bytes_wipe) struct bytes text = BYTES(YAML_TEXT_MAX);
    struct json_writer w = json_writer_on(&text);
    json_add_span(&w, NULL, (struct span){ (const char *)event->data.scalar.value, event->data.scalar.length });
    return json_writer_end(&w, err) &&
           put_text(r, word ? span_of(word) : bytes_span(&text), event->data.scalar.anchor, &event->start_mark, err);
}

/* The latest of that name counts (YAML 1.1, 3.2.2.2). */
static bool take_alias(struct reader *r, const yaml_event_t *event, struct error *err)
{
    const struct level *level = present(r);
    if (level && level->mapping && !level->at_value)
        return fail_at(&event->start_mark, "an alias as a key is not read here", err);
    for (size_t i = r->anchor_count; i-- > 0;) {
        const struct anchor *anchor = &r->anchors[i];
        if (strcmp(anchor->name, (const char *)event->data.alias.anchor) != 0)
            continue;
        AUTO(bytes_wipe) struct bytes copy = BYTES(YAML_TEXT_MAX); /* the text moves when it grows */
        return bytes_append(&copy, r->text.data + anchor->start, anchor->len, err) &&
               put_text(r, bytes_span(&copy), NULL, &event->start_mark, err);
    }
    return fail_at(&event->start_mark, "an alias of nothing that came before", err);
}

static bool open_level(struct reader *r, bool mapping, const yaml_char_t *anchor, const yaml_char_t *tag,
                       const yaml_mark_t *mark, struct error *err)
{
    const struct level *around = present(r);
    if (tag && strcmp((const char *)tag, mapping ? YAML_MAP_TAG : YAML_SEQ_TAG) != 0)
        return fail_at(mark, "a value with a tag of its own is not read here", err);
    if (around && around->mapping && !around->at_value)
        return fail_at(mark, "a key must be a scalar", err);
    if (r->depth == YAML_DEPTH_MAX)
        return fail_at(mark, "nested too deep", err);
    struct level level = { .mapping = mapping };
    if (!dup_anchor(anchor, &level.anchor, err))
        return false;
    (mapping ? json_open_object : json_open_array)(&r->out, key_for_value(r));
    level.start = r->text.len > 0 ? r->text.len - 1 : 0;
    r->levels[r->depth++] = level;
    return true;
}

static bool close_level(struct reader *r, const yaml_mark_t *mark, struct error *err)
{
    struct level *level = &r->levels[--r->depth];
    (level->mapping ? json_close_object : json_close_array)(&r->out);
    if (!remember(r, level->anchor, level->start, mark, err))
        return false;
    value_done(r);
    return true;
}

static bool take_event(struct reader *r, const yaml_event_t *event, struct error *err)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(r, event, err);
    case YAML_ALIAS_EVENT:
        return take_alias(r, event, err);
    case YAML_MAPPING_START_EVENT:
        return open_level(r, true, event->data.mapping_start.anchor, event->data.mapping_start.tag, &event->start_mark,
                          err);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(r, false, event->data.sequence_start.anchor, event->data.sequence_start.tag,
                          &event->start_mark, err);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_level(r, &event->start_mark, err);
    case YAML_STREAM_END_EVENT:
        return fail_at(&event->start_mark, "there is nothing in it", err);
    default:
        return true;
    }
}

static bool read_document(struct reader *r, struct error *err)
{
    while (!r->done) {
        AUTO(yaml_event_delete) yaml_event_t event = { .type = YAML_NO_EVENT };
        if (!yaml_parser_parse(&r->parser, &event))
            return fail_of_parser(&r->parser, err);
        if (!take_event(r, &event, err))
            return false;
        if (r->out.err.kind)
            break; /* told by json_writer_end() */
    }
    return json_writer_end(&r->out, err);
}

const struct json *yaml_parse(struct arena *arena, struct span text, struct error *err)
{
    AUTO(reader_release) struct reader r = { .text = BYTES(YAML_TEXT_MAX) };
    r.out = json_writer_on(&r.text);
    if (!yaml_parser_initialize(&r.parser)) {
        error_set(err, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.data ? text.data : ""), text.len);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    if (!read_document(&r, err))
        return NULL;
    char *kept = arena_dup(arena, bytes_span(&r.text)); /* strings of the tree point into it */
    if (!kept) {
        arena_no_room(arena, "a YAML document", err);
        return NULL;
    }
    return json_parse(arena, span_of(kept), err);
}

const struct json *yaml_member(const struct json *mapping, const char *key)
{
    const struct json *found = json_get(mapping, key), *merged = json_get(mapping, "<<");
    if (found || !merged)
        return found;
    if (json_type(merged) == JSON_OBJECT)
        return json_get(merged, key);
    for (const struct json *one = json_first(merged); one && !found; one = json_next(one))
        found = json_get(one, key);
    return found;
}
