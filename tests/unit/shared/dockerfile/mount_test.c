#include "shared/dockerfile/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

enum { MEMORY = 16 << 20 };

/* The first stage's instructions gone through up to its RUN, which comes back expanded. */
static bool run_of(const char *text, struct arena *arena, struct dockerfile_instruction *out, struct error *err)
{
    const struct dockerfile_options options = { 0 };
    const struct dockerfile_base scratch = { 0 };
    AUTO(dockerfile_free) struct dockerfile *dockerfile = dockerfile_parse(span_of(text), err);
    AUTO(dockerfile_scope_free)
    struct dockerfile_scope *global = dockerfile ? dockerfile_scope_global(dockerfile, &options, err) : NULL;
    AUTO(dockerfile_scope_free)
    struct dockerfile_scope *scope = global ? dockerfile_scope_on_image(global, &scratch, err) : NULL;
    bool ok = scope;
    for (size_t i = 0; ok && i < dockerfile->stages[0].count; i++)
        ok = dockerfile_expand(scope, &dockerfile->stages[0].instructions[i], arena, out, err);
    return ok;
}

static struct dockerfile_mount mount_of(struct arena *arena, const char *before, const char *mounts)
{
    struct dockerfile_instruction run;
    struct error err = { 0 };
    const char *text = arena_printf(arena, "FROM scratch\n%sRUN %s true\n", before, mounts);
    struct dockerfile_mount none = { 0 };
    if (!run_of(text, arena, &run, &err)) {
        fail_msg("%s: %s", text, err.message);
        return none;
    }
    struct dockerfile_mount last = run.run.mounts.items[run.run.mounts.count - 1];
    char *copies[] = { arena_dup(arena, span_of(last.from)), arena_dup(arena, span_of(last.id)) };
    last.from = last.from ? copies[0] : NULL; /* they stand in the file's memory, which goes */
    last.id = last.id ? copies[1] : NULL;
    return last;
}

static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *before, *mounts;
        struct dockerfile_mount want;
    } rows[] = {
        { "", "--mount=target=/m", { .target = "/m", .source = "/", .readonly = true } },
        { "WORKDIR /w\n",
          "--mount=TYPE=Bind,dst=a/../b,src=./x/../y,from=img,rw",
          { .target = "/w/b", .source = "/y", .from = "img" } },
        { "ARG D=/d\n", "--mount=target=${D}/m,ro=false", { .target = "/d/m", .source = "/" } },
        { "WORKDIR /w\n",
          "--mount=type=cache,target=c/",
          { .type = DOCKERFILE_MOUNT_CACHE, .target = "/w/c", .source = "/", .id = "c", .mode = 0755 } },
        { "",
          "--mount=type=cache,target=/c,id=x,sharing=LOCKED,uid=33,gid=34,mode=0711",
          { .type = DOCKERFILE_MOUNT_CACHE,
            .target = "/c",
            .source = "/",
            .id = "x",
            .sharing = DOCKERFILE_LOCKED,
            .uid = 33,
            .gid = 34,
            .mode = 0711,
            .owner_set = true } },
        { "",
          "--mount=type=tmpfs,target=/t,size=1.5k",
          { .type = DOCKERFILE_MOUNT_TMPFS, .target = "/t", .source = "/", .size = 1536, .mode = 01777 } },
        { "",
          "--mount=type=secret,id=a/b",
          { .type = DOCKERFILE_MOUNT_SECRET,
            .target = "/run/secrets/b",
            .id = "a/b",
            .mode = 0400,
            .readonly = true } },
        { "",
          "--mount=type=secret,target=k/e,required",
          { .type = DOCKERFILE_MOUNT_SECRET,
            .target = "/k/e",
            .id = "e",
            .mode = 0400,
            .readonly = true,
            .required = true } },
        { "",
          "--mount=type=secret,id=a,env=A",
          { .type = DOCKERFILE_MOUNT_SECRET, .id = "a", .env = "A", .mode = 0400, .readonly = true } },
        { "",
          "--mount=type=ssh --mount=type=ssh,id=k,uid=5",
          { .type = DOCKERFILE_MOUNT_SSH,
            .target = "/run/buildkit/ssh_agent.1",
            .id = "k",
            .uid = 5,
            .mode = 0600,
            .owner_set = true,
            .readonly = true } },
        { "", "--mount='target=/m,\\\"src=a,b\\\"'", { .target = "/m", .source = "/a,b", .readonly = true } },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
        const struct dockerfile_mount *want = &rows[i].want, have = mount_of(arena, rows[i].before, rows[i].mounts);
        const char *const texts[][2] = { { want->target, have.target },
                                         { want->source, have.source },
                                         { want->from, have.from },
                                         { want->id, have.id },
                                         { want->env, have.env } };
        for (size_t j = 0; j < COUNT(texts); j++) {
            if (texts[j][0] && texts[j][1])
                assert_string_equal(texts[j][1], texts[j][0]);
            assert_int_equal(!texts[j][1], !texts[j][0]);
        }
        assert_int_equal(have.type, want->type);
        assert_int_equal(have.sharing, want->sharing);
        assert_int_equal(have.size, want->size);
        assert_int_equal(have.uid, want->uid);
        assert_int_equal(have.gid, want->gid);
        assert_int_equal(have.mode, want->mode);
        assert_int_equal(have.owner_set, want->owner_set);
        assert_int_equal(have.readonly, want->readonly);
        assert_int_equal(have.required, want->required);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *mount, *message;
    } rows[] = {
        { "target=/", "dockerfile line 2: invalid mount target \"/\"" },
        { "foo=bar", "dockerfile line 2: unexpected key 'foo' in 'foo=bar' (did you mean from?)" },
        { "x", "dockerfile line 2: invalid field 'x' must be a key=value pair" },
        { "type=tmp", "dockerfile line 2: unsupported mount type \"tmp\" (did you mean tmpfs?)" },
        { "target=/m,mode=1", "dockerfile line 2: mode not allowed for \"bind\" type mounts" },
        { "target=/m,uid=x", "dockerfile line 2: invalid value x for uid" },
        { "target=/m,gid=4294967296", "dockerfile line 2: invalid value 4294967296 for gid" },
        { "target=/m,size=1", "dockerfile line 2: unexpected key 'size' for mount type 'bind'" },
        { "type=tmpfs,target=/m,size=1z", "dockerfile line 2: invalid value for size: 1z" },
        { "target=/m,required", "dockerfile line 2: unexpected key 'required' for mount type 'bind'" },
        { "target=/m,ro=maybe", "dockerfile line 2: invalid value for ro: maybe" },
        { "type=tmpfs,target=/m,sharing=locked", "dockerfile line 2: invalid cache sharing set for tmpfs mount" },
        { "type=cache,target=/m,sharing=zzz", "dockerfile line 2: unsupported sharing value \"zzz\"" },
        { "type=secret,id=a,from=b", "dockerfile line 2: secret mount should not have a from" },
        { "type=secret", "dockerfile line 2: invalid secret mount. one of source, target required" },
        { "type=secret,id=a,source=b", "dockerfile line 2: both source and id can't be set" },
        { "from=$x,target=/m",
          "dockerfile parse error on line 2: 'from' doesn't support variable expansion, define alias stage instead" },
        { "a\\\"b=c", "dockerfile parse error on line 2: failed to parse csv mounts: parse error on line 1, column 2: "
                      "bare \" in non-quoted-field" },
        { "target=/m,\\\"src=b",
          "dockerfile parse error on line 2: failed to parse csv mounts: parse error on line 1, column 12: "
          "extraneous or missing \" in quoted-field" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new(MEMORY);
        struct dockerfile_instruction run;
        struct error err = { 0 };
        assert_false(
            run_of(arena_printf(arena, "FROM scratch\nRUN --mount=%s true\n", rows[i].mount), arena, &run, &err));
        assert_string_equal(err.message, rows[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("shared/dockerfile/mount", tests, NULL, NULL);
}
