#include "shared/config/settings.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/json_scan.h"
#include "shared/config/suggest.h"

enum { MISTAKES_MAX = 100, MISTAKES_ARENA_MAX = 1024 * 1024, PATH_MAX_LENGTH = 4096 };

static void give_up(struct reading *r)
{
    if (!r->out_of_memory.kind)
        arena_no_room(r->into->arena, "the configuration", &r->out_of_memory);
}

void *keep_memory(struct reading *r, size_t size)
{
    void *memory = arena_take(r->into->arena, size);
    if (!memory)
        give_up(r);
    return memory;
}

const char *keep_text(struct reading *r, struct span text)
{
    const char *kept = arena_dup(r->into->arena, text);
    if (!kept)
        give_up(r);
    return kept;
}

static size_t enter(struct reading *r, const char *member, size_t index)
{
    assert(r->depth < PATH_STEPS_MAX);
    r->steps[r->depth] = (struct path_step){ member, index };
    return r->depth++;
}

size_t path_enter(struct reading *r, const char *member)
{
    return enter(r, member, 0);
}

size_t path_enter_element(struct reading *r, size_t index)
{
    return enter(r, NULL, index);
}

void path_leave(struct reading *r, size_t mark)
{
    r->depth = mark;
}

static bool write_key(struct bytes *out, const char *key, struct error *err)
{
    bool fits = out->len == 0 || bytes_append_char(out, '.', err);
    for (; fits && *key; key++) {
        if (strchr(".[\\", *key))
            fits = bytes_append_char(out, '\\', err);
        fits = fits && bytes_append_char(out, *key, err);
    }
    return fits;
}

/* As json_locate() takes it. Only mistakes need it as text; one cut short still leads near the place. */
static void write_path(const struct reading *r, struct bytes *out)
{
    struct error err = { 0 };
    bool fits = true;
    for (const struct path_step *step = r->steps; fits && step < r->steps + r->depth; step++)
        fits = step->member ? write_key(out, step->member, &err) : bytes_printf(out, &err, "[%zu]", step->index);
}

static void add_mistake(struct reading *r, const char *path, size_t offset, const char *sentence)
{
    struct config_mistakes *mistakes = r->mistakes;
    if (!mistakes->arena)
        mistakes->arena = arena_new(MISTAKES_ARENA_MAX);
    if (mistakes->arena && !mistakes->items)
        mistakes->items = arena_take(mistakes->arena, MISTAKES_MAX * sizeof *mistakes->items);
    if (mistakes->count == MISTAKES_MAX)
        return;
    const char *text =
        mistakes->items ? arena_printf(mistakes->arena, "%s%s%s", path, *path ? ": " : "", sentence) : NULL;
    if (!text) {
        give_up(r);
        return;
    }
    struct config_mistake *next = &mistakes->items[mistakes->count++];
    next->text = text;
    json_position(r->text, offset, &next->line, &next->column);
}

void mistake(struct reading *r, const char *member, const char *format, ...)
{
    char sentence[900];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    AUTO(bytes_release) struct bytes path = BYTES(PATH_MAX_LENGTH);
    size_t mark = member ? path_enter(r, member) : r->depth;
    write_path(r, &path);
    path_leave(r, mark);
    add_mistake(r, bytes_text(&path), (member ? json_locate_key : json_locate)(r->text, bytes_text(&path)), sentence);
}

void mistake_of(struct reading *r, const char *member, const struct error *err)
{
    if (err->kind == ERROR_INTERNAL)
        r->out_of_memory = *err;
    else
        mistake(r, member, "%s", err->message);
}

static const struct setting *find_setting(const struct shape *shape, const char *name)
{
    for (size_t i = 0; i < shape->count; i++)
        if (strcmp(shape->settings[i].name, name) == 0)
            return &shape->settings[i];
    return NULL;
}

/* "name, kind and secret", for somebody who has to guess. */
static void list_names(const struct shape *shape, struct bytes *out)
{
    struct error err = { 0 };
    for (size_t i = 0; i < shape->count; i++)
        (void)bytes_printf(out, &err, "%s'%s'",
                           i == 0                  ? ""
                           : i + 1 == shape->count ? " and "
                                                   : ", ",
                           shape->settings[i].name); /* cut off where there are too many for a sentence */
}

static void unknown_member(struct reading *r, const struct shape *shape, const char *name)
{
    const char *known[SETTINGS_MAX];
    for (size_t i = 0; i < shape->count; i++)
        known[i] = shape->settings[i].name;
    const char *meant = suggest_word(span_of(name), known, shape->count);
    if (meant) {
        mistake(r, name, "unknown member, did you mean '%s'?", meant);
        return;
    }
    AUTO(bytes_release) struct bytes names = BYTES(400);
    list_names(shape, &names);
    mistake(r, name, "unknown member, %s has %s", shape->what, bytes_text(&names));
}

static bool type_fits(const struct setting *setting, const struct json *value)
{
    enum json_type type = json_type(value);
    return type == setting->type || (setting->flags & OR_NUMBER && type == JSON_NUMBER);
}

static void read_member(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    size_t mark = path_enter(r, setting->name);
    const struct shape *shape = setting->type == JSON_OBJECT ? setting->shape : NULL;
    if (type_fits(setting, value))
        setting->read(r, setting, value, item);
    else if (shape && shape->if_a_string && json_type(value) == JSON_STRING)
        mistake(r, NULL, "%s", shape->if_a_string);
    else
        mistake(r, NULL, "must be %s, not %s", json_type_name(setting->type), json_type_name(json_type(value)));
    path_leave(r, mark);
}

void read_members(struct reading *r, const struct shape *shape, const struct json *object, void *item)
{
    const struct json *values[SETTINGS_MAX] = { NULL };
    for (const struct json *member = json_first(object); member; member = json_next(member)) {
        const struct setting *setting = find_setting(shape, json_key(member));
        if (setting)
            values[setting - shape->settings] = member;
        else
            unknown_member(r, shape, json_key(member));
    }
    for (size_t i = 0; i < shape->count && !r->out_of_memory.kind; i++) {
        const struct setting *setting = &shape->settings[i];
        if (values[i])
            read_member(r, setting, values[i], item);
        else if (setting->flags & REQUIRED)
            mistake(r, NULL, "'%s' is missing: %s needs it", setting->name, shape->what);
    }
    if (shape->check)
        shape->check(r, object, item);
}

static void *place(const struct setting *setting, void *item)
{
    return (char *)item + setting->offset;
}

static void *count_place(const struct setting *setting, void *item)
{
    return (char *)item + setting->count_offset;
}

void read_nothing(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    (void)r, (void)setting, (void)value, (void)item; /* "$schema" is for editors */
}

/* A text in memory that stays; NULL when it is not fit, which is noted. */
static const char *fit_text(struct reading *r, const struct setting *setting, const struct json *value)
{
    struct error err = { 0 };
    struct span text = span_of(json_string(value));
    if (setting->check(text, &err))
        return keep_text(r, text);
    mistake_of(r, NULL, &err);
    return NULL;
}

void read_text(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    const char *text = fit_text(r, setting, value);
    if (text)
        *(const char **)place(setting, item) = text;
}

void read_boolean(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    (void)r;
    *(bool *)place(setting, item) = json_boolean(value, false);
}

static bool fit_number(struct reading *r, const struct setting *setting, const struct json *value, int64_t *number)
{
    if (json_integer(value, number) && *number >= setting->min && *number <= setting->max)
        return true;
    mistake(r, NULL, "must be a whole number from %lld to %lld", (long long)setting->min, (long long)setting->max);
    return false;
}

void read_long(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    int64_t number;
    if (fit_number(r, setting, value, &number))
        *(long *)place(setting, item) = (long)number;
}

void read_unsigned(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    int64_t number;
    if (fit_number(r, setting, value, &number))
        *(unsigned *)place(setting, item) = (unsigned)number;
}

void read_object(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    read_members(r, setting->shape, value, place(setting, item));
}

/* Room for a list's items in the order of the file; those that are wrong stay as the defaults are, with their mistakes. */
static char *make_items(struct reading *r, const struct shape *shape, size_t count)
{
    char *items = keep_memory(r, count * shape->size);
    for (size_t i = 0; items && shape->defaults && i < count; i++)
        memcpy(items + i * shape->size, shape->defaults, shape->size);
    return items;
}

void read_objects(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    const struct shape *shape = setting->shape;
    size_t count = json_count(value), index = 0;
    if (setting->flags & REQUIRED && count == 0)
        mistake(r, NULL, "must not be empty");
    if (count > ITEMS_MAX) {
        mistake(r, NULL, "must not hold more than %d items", ITEMS_MAX);
        return;
    }
    char *items = make_items(r, shape, count);
    if (!items)
        return;
    *(char **)place(setting, item) = items;
    *(size_t *)count_place(setting, item) = count;
    for (const struct json *element = json_first(value); element; element = json_next(element), index++) {
        size_t mark = path_enter_element(r, index);
        if (json_type(element) == JSON_OBJECT)
            read_members(r, shape, element, items + index * shape->size);
        else if (shape->if_a_string && json_type(element) == JSON_STRING)
            mistake(r, NULL, "%s", shape->if_a_string);
        else
            mistake(r, NULL, "must be an object (%s), not %s", shape->what, json_type_name(json_type(element)));
        path_leave(r, mark);
    }
}

void read_texts(struct reading *r, const struct setting *setting, const struct json *value, void *item)
{
    const char **texts = keep_memory(r, json_count(value) * sizeof(const char *));
    size_t count = 0, index = 0;
    for (const struct json *element = json_first(value); element && texts; element = json_next(element), index++) {
        size_t mark = path_enter_element(r, index);
        const char *text = NULL;
        if (json_type(element) == JSON_STRING)
            text = fit_text(r, setting, element);
        else
            mistake(r, NULL, "must be a string, not %s", json_type_name(json_type(element)));
        if (text)
            texts[count++] = text;
        path_leave(r, mark);
    }
    *(const char ***)place(setting, item) = texts;
    *(size_t *)count_place(setting, item) = count;
}
