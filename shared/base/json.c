#include "shared/base/json.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/json_strict.h"

static_assert(JSON_NUMBER_MAX < 64, "older cJSON reads no more of a number");

enum { SMALL_OBJECT = 16 }; /* members up to which comparing each with each is the fastest */

static const double whole_number_max = 9007199254740992.0; /* 2^53: beyond it a double skips whole numbers */

/* cJSON's hooks are global to the process, the arena that they take from is the parsing thread's. */
static _Thread_local struct arena *parse_arena;

static void *take_from_arena(size_t size)
{
    assert(parse_arena);
    return arena_take(parse_arena, size);
}

static void free_nothing(void *piece)
{
    (void)piece; /* goes with the arena */
}

static void install_hooks(void)
{
    cJSON_InitHooks(&(cJSON_Hooks){ .malloc_fn = take_from_arena, .free_fn = free_nothing });
}

static const cJSON *node(const struct json *value)
{
    return (const cJSON *)(const void *)value;
}

static const struct json *json_of(const cJSON *value)
{
    return (const struct json *)(const void *)value;
}

/* Where in the tree the walk stands: the first member of every container on the way, and which of them each is. */
struct place {
    size_t ordinals[JSON_DEPTH_MAX + 1];
    size_t depth;
};

static int compare_keys(const void *a, const void *b)
{
    const cJSON *const *left = a, *const *right = b;
    return strcmp((*left)->string, (*right)->string);
}

static size_t ordinal_of(const cJSON *member)
{
    const cJSON *first = member;
    size_t ordinal = 0;
    while (first->prev->next) { /* the first one's prev is the last one, whose next is NULL */
        first = first->prev;
        ordinal++;
    }
    return ordinal;
}

/* The later of two members with the same key, or NULL. */
static const cJSON *twin_of_few(const cJSON *object)
{
    for (const cJSON *later = object->child; later; later = later->next)
        for (const cJSON *earlier = object->child; earlier != later; earlier = earlier->next)
            if (strcmp(earlier->string, later->string) == 0)
                return later;
    return NULL;
}

static bool twin_of_many(struct arena *arena, const cJSON *object, size_t count, const cJSON **twin, struct error *err)
{
    const cJSON **sorted = arena_take(arena, count * sizeof(const cJSON *));
    if (!sorted)
        return arena_no_room(arena, "JSON text", err);
    size_t n = 0;
    for (const cJSON *member = object->child; member; member = member->next)
        sorted[n++] = member;
    qsort(sorted, n, sizeof(const cJSON *), compare_keys);
    for (size_t i = 1; i < n && !*twin; i++)
        if (strcmp(sorted[i - 1]->string, sorted[i]->string) == 0)
            *twin = ordinal_of(sorted[i - 1]) > ordinal_of(sorted[i]) ? sorted[i - 1] : sorted[i];
    return true;
}

static bool check_keys(struct arena *arena, struct span text, const cJSON *container, struct place *place,
                       struct error *err)
{
    if (cJSON_IsObject(container)) {
        size_t count = json_count(json_of(container));
        const cJSON *twin = count <= SMALL_OBJECT ? twin_of_few(container) : NULL;
        if (count > SMALL_OBJECT && !twin_of_many(arena, container, count, &twin, err))
            return false;
        if (twin) {
            place->ordinals[place->depth] = ordinal_of(twin);
            return json_error_at(err, text, json_offset_of(text, place->ordinals, place->depth + 1),
                                 "the key '%.100s' stands twice in its object", twin->string);
        }
    }
    size_t ordinal = 0;
    for (const cJSON *child = container->child; child; child = child->next) {
        place->ordinals[place->depth++] = ordinal++;
        if (!check_keys(arena, text, child, place, err))
            return false;
        place->depth--;
    }
    return true;
}

const struct json *json_parse(struct arena *arena, struct span text, struct error *err)
{
    if (!json_check_strictly(text, JSON_DEPTH_MAX, err))
        return NULL;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_hooks);
    parse_arena = arena;
    const cJSON *root = cJSON_ParseWithLength(text.data, text.len);
    parse_arena = NULL;
    if (!root) { /* the text is right, so only memory can have been missing */
        arena_no_room(arena, "JSON text", err);
        return NULL;
    }
    struct place place = { .depth = 0 };
    return check_keys(arena, text, root, &place, err) ? json_of(root) : NULL;
}

enum json_type json_type(const struct json *value)
{
    static const struct {
        int bit;
        enum json_type type;
    } rows[] = {
        { cJSON_False, JSON_BOOLEAN }, { cJSON_True, JSON_BOOLEAN },  { cJSON_NULL, JSON_NULL },
        { cJSON_Number, JSON_NUMBER }, { cJSON_String, JSON_STRING }, { cJSON_Array, JSON_ARRAY },
        { cJSON_Object, JSON_OBJECT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (node(value)->type & rows[i].bit)
            return rows[i].type;
    assert(false && "a node of the tree has a type");
    return JSON_NULL;
}

const char *json_type_name(enum json_type type)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",       [JSON_BOOLEAN] = "true or false", [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "a list",          [JSON_OBJECT] = "an object",
    };
    return names[type];
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (!object || !cJSON_IsObject(node(object)))
        return NULL;
    return json_of(cJSON_GetObjectItemCaseSensitive(node(object), key));
}

const char *json_string(const struct json *value)
{
    return value && cJSON_IsString(node(value)) ? node(value)->valuestring : NULL;
}

bool json_boolean(const struct json *value, bool fallback)
{
    return value && cJSON_IsBool(node(value)) ? cJSON_IsTrue(node(value)) : fallback;
}

bool json_integer(const struct json *value, int64_t *out)
{
    if (!value || !cJSON_IsNumber(node(value)))
        return false;
    double number = node(value)->valuedouble;
    if (!(fabs(number) <= whole_number_max) || number != floor(number))
        return false;
    *out = (int64_t)number;
    return true;
}

size_t json_count(const struct json *array_or_object)
{
    size_t count = 0;
    for (const struct json *v = json_first(array_or_object); v; v = json_next(v))
        count++;
    return count;
}

const struct json *json_first(const struct json *array_or_object)
{
    return array_or_object ? json_of(node(array_or_object)->child) : NULL;
}

const struct json *json_next(const struct json *value)
{
    return json_of(node(value)->next);
}

const char *json_key(const struct json *member)
{
    return member ? node(member)->string : NULL;
}

const char *json_get_string(const struct json *object, const char *key)
{
    return json_string(json_get(object, key));
}

static void print_number(struct json_writer *w, const char *key, const cJSON *value)
{
    int64_t whole;
    if (json_integer(json_of(value), &whole) && !(whole == 0 && signbit(value->valuedouble))) {
        json_add_integer(w, key, whole);
        return;
    }
    if (!isfinite(value->valuedouble)) { /* "1e999" in the text; JSON has no word for infinity */
        json_add_raw(w, key, value->valuedouble > 0 ? SPAN("1e999") : SPAN("-1e999"));
        return;
    }
    char text[32]; /* the shorter form where it means the same number */
    snprintf(text, sizeof text, "%.15g", value->valuedouble);
    if (strtod(text, NULL) != value->valuedouble)
        snprintf(text, sizeof text, "%.17g", value->valuedouble);
    json_add_raw(w, key, span_of(text));
}

static void print_value(struct json_writer *w, const char *key, const struct json *value)
{
    bool object = false;
    switch (json_type(value)) {
    case JSON_NULL:
        json_add_raw(w, key, SPAN("null"));
        return;
    case JSON_BOOLEAN:
        json_add_boolean(w, key, json_boolean(value, false));
        return;
    case JSON_NUMBER:
        print_number(w, key, node(value));
        return;
    case JSON_STRING:
        json_add_string(w, key, json_string(value));
        return;
    case JSON_OBJECT:
        object = true;
        break;
    case JSON_ARRAY:
        break;
    }
    (object ? json_open_object : json_open_array)(w, key);
    for (const struct json *child = json_first(value); child; child = json_next(child))
        print_value(w, json_key(child), child);
    (object ? json_close_object : json_close_array)(w);
}

bool json_print(struct bytes *out, const struct json *value, struct error *err)
{
    struct json_writer w = json_writer_on(out);
    print_value(&w, NULL, value);
    return json_writer_end(&w, err);
}
