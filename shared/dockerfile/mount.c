#include "shared/dockerfile/mount.h"

#include "shared/dockerfile/path.h"

#include <string.h>
#include <strings.h>

static const char *const type_names[] = { [DOCKERFILE_MOUNT_BIND] = "bind",
                                          [DOCKERFILE_MOUNT_CACHE] = "cache",
                                          [DOCKERFILE_MOUNT_TMPFS] = "tmpfs",
                                          [DOCKERFILE_MOUNT_SECRET] = "secret",
                                          [DOCKERFILE_MOUNT_SSH] = "ssh" };
static const char *const sharing_names[] = {
    [DOCKERFILE_SHARED] = "shared", [DOCKERFILE_PRIVATE] = "private", [DOCKERFILE_LOCKED] = "locked"
};
enum { TYPES = sizeof type_names / sizeof *type_names, SHARINGS = sizeof sharing_names / sizeof *sharing_names };

const char *mount_type_name(enum dockerfile_mount_type type)
{
    return type_names[type];
}

/* ---- a line of comma-separated values, as Go's encoding/csv reads it ---- */

static bool csv_error(size_t column, const char *what, struct error *err)
{
    return error_set(err, ERROR_INVALID, "failed to parse csv mounts: parse error on line 1, column %zu: %s", column,
                     what);
}

/* The field that starts with a quote at *at; "" stands for one inside. */
static bool quoted_field(struct span line, size_t *at, struct bytes *field, struct error *err)
{
    static const char wrong[] = "extraneous or missing \" in quoted-field";
    size_t p = *at + 1, mark = p; /* behind the last quote */
    for (; p < line.len; p++) {
        bool doubled = p + 1 < line.len && line.data[p + 1] == '"';
        if (line.data[p] == '"' && !doubled)
            break;
        if (!bytes_append_char(field, line.data[p], err))
            return false;
        if (line.data[p] == '"')
            mark = ++p + 1;
    }
    if (p == line.len)
        return csv_error(mark + 1, wrong, err);
    if (p + 1 < line.len && line.data[p + 1] != ',')
        return csv_error(p + 1, wrong, err);
    *at = p + 1;
    return true;
}

static bool plain_field(struct span line, size_t *at, struct bytes *field, struct error *err)
{
    size_t p = *at;
    for (; p < line.len && line.data[p] != ','; p++)
        if (line.data[p] == '"')
            return csv_error(p + 1, "bare \" in non-quoted-field", err);
    if (!bytes_append(field, line.data + *at, p - *at, err))
        return false;
    *at = p;
    return true;
}

static bool fields_of(struct arena *arena, const char *text, struct word_list *out, struct error *err)
{
    AUTO(bytes_release) struct bytes field = BYTES(DOCKERFILE_WORD_MAX);
    struct span line = span_of(text);
    if (!line.len)
        return error_set(err, ERROR_INVALID, "failed to parse csv mounts: EOF");
    for (size_t at = 0;; at++) { /* over the comma */
        bytes_clear(&field);
        bool quoted = at < line.len && line.data[at] == '"';
        if (!(quoted ? quoted_field : plain_field)(line, &at, &field, err) ||
            !word_add(arena, out, arena_dup(arena, bytes_span(&field)), err))
            return false;
        if (at == line.len)
            return true;
    }
}

/* ---- values ---- */

/* One key=value, on its way into the fields. */
struct field {
    struct arena *arena;
    const char *text; /* the whole, as written */
    const char *key;  /* lower case */
    const char *value;
    bool bare;         /* no "=" */
    bool *access_said; /* ro, rw */
    struct mount_fields *out;
};

typedef bool field_fn(struct field *field, struct error *err);

static bool unexpected_for_type(const struct field *field, struct error *err)
{
    return error_set(err, ERROR_INVALID, "unexpected key '%s' for mount type '%s'", field->key,
                     mount_type_name(field->out->type));
}

static bool flag_value(const struct field *field, bool *out, struct error *err)
{
    *out = true;
    return field->bare || bool_parse(span_of(field->value), out) ||
           error_set(err, ERROR_INVALID, "invalid value for %s: %s", field->key, field->value);
}

static bool name_index(const char *const *names, size_t count, const char *value, const char *what, size_t *out,
                       struct error *err)
{
    for (*out = 0; *out < count; (*out)++)
        if (!strcasecmp(names[*out], value))
            return true;
    AUTO(free) char *quoted = quote(span_of(value));
    const char *meant = suggest(value, names, count, true);
    return error_set(err, ERROR_INVALID, meant ? "unsupported %s %s (did you mean %s?)" : "unsupported %s %s", what,
                     quoted ? quoted : "", meant);
}

static bool set_type(struct field *field, struct error *err)
{
    size_t type = 0;
    if (!name_index(type_names, TYPES, field->value, "mount type", &type, err))
        return false;
    field->out->type = (enum dockerfile_mount_type)type;
    return true;
}

static bool set_sharing(struct field *field, struct error *err)
{
    size_t sharing = 0;
    if (!name_index(sharing_names, SHARINGS, field->value, "sharing value", &sharing, err))
        return false;
    field->out->sharing = sharing_names[sharing];
    return true;
}

static bool set_from(struct field *field, struct error *err)
{
    (void)err;
    field->out->from = field->value;
    return true;
}

static bool set_source(struct field *field, struct error *err)
{
    (void)err;
    field->out->source = field->value;
    return true;
}

static bool set_target(struct field *field, struct error *err)
{
    (void)err;
    field->out->target = field->value;
    return true;
}

static bool set_id(struct field *field, struct error *err)
{
    (void)err;
    field->out->id = field->value;
    return true;
}

static bool set_env(struct field *field, struct error *err)
{
    (void)err;
    field->out->env = field->value;
    return true;
}

static bool set_readonly(struct field *field, struct error *err)
{
    *field->access_said = true;
    return flag_value(field, &field->out->readonly, err);
}

static bool set_readwrite(struct field *field, struct error *err)
{
    bool writable = false;
    *field->access_said = true;
    if (!flag_value(field, &writable, err))
        return false;
    field->out->readonly = !writable;
    return true;
}

static bool set_required(struct field *field, struct error *err)
{
    enum dockerfile_mount_type type = field->out->type;
    if (type != DOCKERFILE_MOUNT_SECRET && type != DOCKERFILE_MOUNT_SSH)
        return unexpected_for_type(field, err);
    return flag_value(field, &field->out->required, err);
}

static bool set_size(struct field *field, struct error *err)
{
    if (field->out->type != DOCKERFILE_MOUNT_TMPFS)
        return unexpected_for_type(field, err);
    return size_parse(field->value, &field->out->size) ||
           error_set(err, ERROR_INVALID, "invalid value for %s: %s", field->key, field->value);
}

static bool set_number(const struct field *field, unsigned base, uint32_t *out, bool *said, struct error *err)
{
    uint64_t value = 0;
    const char *p = field->value;
    for (; *p >= '0' && (unsigned)(*p - '0') < base && value <= UINT32_MAX; p++)
        value = value * base + (unsigned)(*p - '0');
    if (p == field->value || *p || value > UINT32_MAX)
        return error_set(err, ERROR_INVALID, "invalid value %s for %s", field->value, field->key);
    *out = (uint32_t)value;
    *said = true;
    return true;
}

static bool set_mode(struct field *field, struct error *err)
{
    return set_number(field, 8, &field->out->mode, &field->out->mode_set, err);
}

static bool set_uid(struct field *field, struct error *err)
{
    return set_number(field, 10, &field->out->uid, &field->out->uid_set, err);
}

static bool set_gid(struct field *field, struct error *err)
{
    return set_number(field, 10, &field->out->gid, &field->out->gid_set, err);
}

static const struct {
    const char *key;
    field_fn *set;
    bool flag; /* may stand without a value */
} keys[] = {
    { "type", set_type, false },       { "from", set_from, false },        { "source", set_source, false },
    { "target", set_target, false },   { "readonly", set_readonly, true }, { "id", set_id, false },
    { "sharing", set_sharing, false }, { "required", set_required, true }, { "size", set_size, false },
    { "mode", set_mode, false },       { "uid", set_uid, false },          { "gid", set_gid, false },
    { "src", set_source, false },      { "dst", set_target, false },       { "destination", set_target, false },
    { "ro", set_readonly, true },      { "rw", set_readwrite, true },      { "readwrite", set_readwrite, true },
    { "env", set_env, false },
};
enum { KEYS = sizeof keys / sizeof *keys };

static bool unexpected_key(const struct field *field, struct error *err)
{
    const char *names[KEYS];
    for (size_t i = 0; i < KEYS; i++)
        names[i] = keys[i].key;
    const char *meant = suggest(field->key, names, KEYS, true);
    return error_set(err, ERROR_INVALID,
                     meant ? "unexpected key '%s' in '%s' (did you mean %s?)" : "unexpected key '%s' in '%s'",
                     field->key, field->text, meant);
}

static bool split(struct arena *arena, const char *text, struct field *field, struct error *err)
{
    struct span value = span_of(text), key = span_cut(&value, '=');
    field->text = text;
    field->bare = !value.data;
    field->key = text_lower(arena, key);
    field->value = field->bare ? "" : value.data;
    return field->key || no_memory(err);
}

static bool set_field(struct field *field, const struct mount_expander *expander, struct error *err)
{
    size_t row = 0;
    while (row < KEYS && strcmp(keys[row].key, field->key) != 0)
        row++;
    if (field->bare && (row == KEYS || !keys[row].flag))
        return error_set(err, ERROR_INVALID, "invalid field '%s' must be a key=value pair", field->text);
    if (!field->bare && !expander->expand(expander->context, field->value, &field->value, err))
        return false;
    return row == KEYS ? unexpected_key(field, err) : keys[row].set(field, err);
}

static bool is_said(const char *text)
{
    return text && *text;
}

/* ---- a whole mount ---- */

static bool check_owner(const struct mount_fields *m, struct error *err)
{
    const struct {
        const char *name;
        bool said;
    } rows[] = { { "mode", m->mode_set }, { "uid", m->uid_set }, { "gid", m->gid_set } };
    if (m->type != DOCKERFILE_MOUNT_BIND && m->type != DOCKERFILE_MOUNT_TMPFS)
        return true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].said)
            return error_set(err, ERROR_INVALID, "%s not allowed for \"%s\" type mounts", rows[i].name,
                             mount_type_name(m->type));
    return true;
}

static bool check_secret(const struct mount_fields *m, struct error *err)
{
    if (m->type != DOCKERFILE_MOUNT_SECRET)
        return true;
    if (is_said(m->from))
        return error_set(err, ERROR_INVALID, "secret mount should not have a from");
    if (m->sharing)
        return error_set(err, ERROR_INVALID, "secret mount should not define sharing");
    if (!is_said(m->source) && !is_said(m->target) && !is_said(m->id))
        return error_set(err, ERROR_INVALID, "invalid secret mount. one of source, target required");
    if (is_said(m->source) && is_said(m->id))
        return error_set(err, ERROR_INVALID, "both source and id can't be set");
    return true;
}

static bool check_sharing(const struct mount_fields *m, struct error *err)
{
    return !m->sharing || m->type == DOCKERFILE_MOUNT_CACHE ||
           error_set(err, ERROR_INVALID, "invalid cache sharing set for %s mount", mount_type_name(m->type));
}

bool mount_check(struct arena *arena, struct dockerfile_mount *mount, struct error *err)
{
    struct word_list fields = { 0 };
    if (!fields_of(arena, mount->text, &fields, err))
        return false;
    for (size_t i = 0; i < fields.count; i++) {
        struct field field = { .arena = arena };
        if (!split(arena, fields.items[i], &field, err))
            return false;
        bool target = !strcmp(field.key, "target") || !strcmp(field.key, "dst") || !strcmp(field.key, "destination");
        if (target && !field.bare)
            mount->target = field.value;
        if (field.bare || strcmp(field.key, "from") != 0)
            continue;
        const char *dollar = strchr(field.value, '$');
        if (dollar && dollar[1])
            return error_set(err, ERROR_INVALID,
                             "'from' doesn't support variable expansion, define alias stage instead");
        mount->from = *field.value ? field.value : NULL;
    }
    return true;
}

bool mount_parse(struct arena *arena, const char *text, const struct mount_expander *expander, struct mount_fields *out,
                 struct error *err)
{
    struct word_list fields = { 0 };
    struct mount_fields made = { .type = DOCKERFILE_MOUNT_BIND };
    bool access_said = false;
    if (!fields_of(arena, text, &fields, err))
        return false;
    for (size_t i = 0; i < fields.count; i++) {
        struct field field = { .arena = arena, .access_said = &access_said, .out = &made };
        if (!split(arena, fields.items[i], &field, err) || !set_field(&field, expander, err))
            return false;
    }
    if (!check_owner(&made, err))
        return false;
    if (!access_said)
        made.readonly = made.type != DOCKERFILE_MOUNT_CACHE && made.type != DOCKERFILE_MOUNT_TMPFS;
    *out = made;
    return check_secret(&made, err) && check_sharing(&made, err);
}

static const uint32_t default_modes[] = { [DOCKERFILE_MOUNT_BIND] = 0,
                                          [DOCKERFILE_MOUNT_CACHE] = 0755,
                                          [DOCKERFILE_MOUNT_TMPFS] = 01777,
                                          [DOCKERFILE_MOUNT_SECRET] = 0400,
                                          [DOCKERFILE_MOUNT_SSH] = 0600 };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* A secret that becomes a variable is a file only where a target is said. */
static const char *secret_target(struct arena *arena, const struct mount_fields *m, const char *id)
{
    if (is_said(m->target))
        return path_join(arena, "/", m->target);
    return m->env ? NULL : arena_printf(arena, "/run/secrets/%s", base_name(id));
}

static bool finish_secret(struct arena *arena, const struct mount_fields *m, struct dockerfile_mount *out,
                          struct error *err)
{
    out->id = is_said(m->source) ? m->source : is_said(m->id) ? m->id : base_name(m->target);
    out->source = NULL;
    out->target = secret_target(arena, m, out->id);
    return out->target || m->env || no_memory(err);
}

static bool finish_ssh(struct arena *arena, const struct mount_fields *m, unsigned *agents,
                       struct dockerfile_mount *out, struct error *err)
{
    if (is_said(m->source))
        return error_set(err, ERROR_INVALID, "ssh does not support source");
    out->id = is_said(m->id) ? m->id : "default";
    out->source = NULL;
    out->target = is_said(m->target) ? path_join(arena, "/", m->target)
                                     : arena_printf(arena, "/run/buildkit/ssh_agent.%u", *agents);
    (*agents)++;
    return out->target || no_memory(err);
}

static bool finish_tree(struct arena *arena, const struct mount_fields *m, const char *workdir,
                        struct dockerfile_mount *out, struct error *err)
{
    const char *target = m->target ? m->target : "";
    out->target = path_join(arena, *target == '/' ? "/" : workdir, target);
    out->source = path_join(arena, "/", m->source ? m->source : "");
    if (!out->target || !out->source)
        return no_memory(err);
    if (!strcmp(out->target, "/"))
        return error_set(err, ERROR_INVALID, "invalid mount target \"/\"");
    if (m->type == DOCKERFILE_MOUNT_CACHE)
        out->id = is_said(m->id) ? m->id : path_clean(arena, target);
    return out->id || m->type != DOCKERFILE_MOUNT_CACHE || no_memory(err);
}

bool mount_finish(struct arena *arena, const struct mount_fields *m, const char *workdir, unsigned *agents,
                  struct dockerfile_mount *out, struct error *err)
{
    struct dockerfile_mount made = { .text = out->text,
                                     .type = m->type,
                                     .from = is_said(m->from) ? m->from : NULL,
                                     .env = m->type == DOCKERFILE_MOUNT_SECRET ? m->env : NULL,
                                     .size = m->size,
                                     .uid = m->uid,
                                     .gid = m->gid,
                                     .mode = m->mode_set ? m->mode : default_modes[m->type],
                                     .owner_set = m->uid_set || m->gid_set || m->mode_set,
                                     .readonly = m->readonly,
                                     .required = m->required };
    while (m->sharing && strcmp(sharing_names[made.sharing], m->sharing) != 0)
        made.sharing++;
    bool ok = m->type == DOCKERFILE_MOUNT_SECRET ? finish_secret(arena, m, &made, err)
              : m->type == DOCKERFILE_MOUNT_SSH  ? finish_ssh(arena, m, agents, &made, err)
                                                 : finish_tree(arena, m, workdir, &made, err);
    *out = made;
    return ok;
}
