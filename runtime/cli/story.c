#include "runtime/cli/story.h"

#include "shared/base/json.h"
#include "shared/oci/reference.h"

#include <stdio.h>
#include <string.h>

/* What a teller reads from: the CDEvent's parts. */
struct facts {
    struct arena *arena;
    const struct json *content, *custom;
    const char *subject;
};

static const char *custom(const struct facts *f, const char *key)
{
    return json_get_string(f->custom, key);
}

static const char *or_else(const char *text, const char *fallback)
{
    return text ? text : fallback;
}

static const char *short_ref(const char *ref)
{
    static const char *const prefixes[] = { "refs/heads/", "refs/tags/" };
    for (size_t i = 0; ref && i < 2; i++)
        if (strncmp(ref, prefixes[i], strlen(prefixes[i])) == 0)
            return ref + strlen(prefixes[i]);
    return or_else(ref, "?");
}

/* For people the first digits of a digest do. */
static const char *short_image(const struct facts *f, const char *fallback)
{
    enum { DIGITS = 19 }; /* "sha256:" and twelve */
    const char *image = custom(f, "image");
    const char *at = image ? strchr(image, '@') : NULL;
    return at ? arena_printf(f->arena, "%.*s@%.*s", (int)(at - image), image, DIGITS, at + 1)
              : or_else(image, fallback);
}

static void tell_push(const struct facts *f, struct story *s)
{
    s->text = arena_printf(f->arena, "push of %s (%.7s) to %s", short_ref(custom(f, "ref")),
                           or_else(custom(f, "commit"), f->subject),
                           or_else(json_get_string(json_get(f->content, "repository"), "id"), "?"));
}

static void tell_queued(const struct facts *f, struct story *s)
{
    s->about = custom(f, "build");
    bool by_person = strcmp(or_else(custom(f, "asked"), ""), "person") == 0;
    const char *reason = or_else(custom(f, "reason"), by_person ? "a person asked for it" : NULL);
    s->text = arena_printf(f->arena, "build '%s' of %s (%.7s) is queued%s%s", or_else(s->about, "?"),
                           short_ref(custom(f, "ref")), or_else(custom(f, "commit"), "its tip"), reason ? ", " : "",
                           or_else(reason, ""));
}

static void tell_gone(const struct facts *f, struct story *s)
{
    s->text = arena_printf(f->arena, "%s of %s is gone", f->subject, or_else(custom(f, "repository"), "?"));
}

/* Artifacts are named by purl; people know images by their references. */
static const char *image_of_purl(const struct facts *f, const char *purl)
{
    struct error ignored = { 0 };
    AUTO(reference_release) struct reference image = { 0 };
    AUTO(bytes_release) struct bytes name = BYTES(4096);
    if (!reference_from_purl(span_of(purl), &image, &ignored) || !reference_name(&name, &image, &ignored))
        return purl;
    return arena_printf(f->arena, "%s%s%s (%.19s)", bytes_text(&name), image.tag ? ":" : "", image.tag ? image.tag : "",
                        image.digest ? image.digest : "no digest told");
}

static void tell_published(const struct facts *f, struct story *s)
{
    s->about = custom(f, "build");
    s->text = arena_printf(f->arena, "image %s", image_of_purl(f, f->subject));
}

static void tell_finished(const struct facts *f, struct story *s)
{
    const char *outcome = or_else(custom(f, "outcome"), "success");
    s->about = custom(f, "build");
    if (strcmp(outcome, "success") == 0)
        return;
    s->bad = true;
    s->text = arena_printf(f->arena, "build '%s' ended with %s: %s", or_else(s->about, "?"), outcome,
                           or_else(custom(f, "errors"), "no reason given"));
}

static void tell_matched(const struct facts *f, struct story *s)
{
    s->about = f->subject;
    s->text = arena_printf(f->arena, "trigger '%s' matches: %s", f->subject,
                           or_else(json_get_string(f->content, "constraint"), ""));
}

static void tell_requested(const struct facts *f, struct story *s)
{
    s->about = custom(f, "trigger");
    const char *undo = custom(f, "undo");
    s->text = arena_printf(f->arena, "%s shall %srun %s%s%s", f->subject, undo ? "not " : "",
                           or_else(short_image(f, "?"), "?"), undo ? ": " : "", or_else(undo, ""));
}

static void tell_service(const struct facts *f, struct story *s)
{
    s->about = f->subject;
    s->url = custom(f, "url");
    const char *person = custom(f, "person");
    s->text = arena_printf(f->arena, "%s runs %s%s%s%s%s", f->subject, or_else(short_image(f, "the new image"), "?"),
                           person ? ", as asked by " : "", or_else(person, ""), s->url ? ", it answers at " : "",
                           or_else(s->url, ""));
}

static void tell_rolledback(const struct facts *f, struct story *s)
{
    s->about = f->subject;
    s->bad = true;
    const char *stays = json_get_string(f->content, "artifactId");
    s->text = arena_printf(f->arena, "%s is back at %s: %s", f->subject, stays ? image_of_purl(f, stays) : "?",
                           or_else(custom(f, "reason"), "no reason given"));
}

static void tell_incident(const struct facts *f, struct story *s)
{
    s->about = f->subject;
    s->bad = true;
    s->text = arena_printf(f->arena, "%s: %s", f->subject, or_else(json_get_string(f->content, "description"), "?"));
}

static void tell_skipped(const struct facts *f, struct story *s)
{
    s->about = json_get_string(f->content, "rule");
    s->text = arena_printf(f->arena, "nothing to do: %s", or_else(json_get_string(f->content, "reason"), "?"));
}

static void tell_nothing(const struct facts *f, struct story *s)
{
    s->about = custom(f, "build");
}

static const struct {
    const char *type; /* up to the version */
    const char *actor;
    void (*tell)(const struct facts *f, struct story *s);
} tellers[] = {
    { "dev.cdevents.change.merged.", "webhook", tell_push },
    { "dev.cdeventsx.pushwright-tag.created.", "webhook", tell_push },
    { "dev.cdevents.branch.created.", "webhook", tell_nothing },
    { "dev.cdevents.branch.deleted.", "webhook", tell_gone },
    { "dev.cdeventsx.pushwright-tag.deleted.", "webhook", tell_gone },
    { "dev.cdevents.build.queued.", "webhook", tell_queued },
    { "dev.cdevents.build.started.", "build", tell_nothing },
    { "dev.cdevents.build.finished.", "build", tell_finished },
    { "dev.cdevents.taskrun.", "build", tell_nothing },
    { "dev.cdevents.artifact.packaged.", "build", tell_nothing },
    { "dev.cdevents.artifact.published.", NULL, tell_published },
    { "dev.cdeventsx.pushwright-trigger.matched.", "trigger", tell_matched },
    { "dev.cdeventsx.pushwright-deploy.requested.", NULL, tell_requested },
    { "dev.cdevents.service.deployed.", "deploy", tell_service },
    { "dev.cdevents.service.upgraded.", "deploy", tell_service },
    { "dev.cdevents.service.rolledback.", "deploy", tell_rolledback },
    { "dev.cdevents.incident.detected.", "deploy", tell_incident },
    { "dev.cdeventsx.pushwright-decision.skipped.", NULL, tell_skipped },
};

/* The function that speaks is the last part of the source ("/pushwright/build"). */
static const char *speaker(const char *source)
{
    const char *slash = strrchr(source, '/');
    return slash && slash[1] ? slash + 1 : source;
}

void story_of(struct arena *arena, const struct event *event, struct story *out)
{
    struct error unreadable = { 0 };
    const struct json *doc = event->data.data ? json_parse(arena, event->data, &unreadable) : NULL;
    const struct facts facts = {
        .arena = arena,
        .content = json_get(json_get(doc, "subject"), "content"),
        .custom = json_get(doc, "customData"),
        .subject = or_else(event->subject, "?"),
    };
    *out = (struct story){ .actor = speaker(event->source), .text = event->type };
    for (size_t i = 0; i < sizeof tellers / sizeof tellers[0]; i++)
        if (strncmp(event->type, tellers[i].type, strlen(tellers[i].type)) == 0) {
            out->actor = tellers[i].actor ? tellers[i].actor : out->actor;
            out->text = NULL;
            tellers[i].tell(&facts, out);
            return;
        }
}

bool story_is_about(const char *about, const char *name)
{
    const char *slash = about ? strrchr(about, '/') : NULL;
    return about && (strcmp(about, name) == 0 || (slash && strcmp(slash + 1, name) == 0));
}

void story_print(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool is_c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
        if (*p == '\n' || *p == '\t')
            putc(' ', out);
        else if (*p < ' ' || *p == 0x7f || is_c1)
            putc('?', out);
        else
            putc(*p, out);
        p += is_c1;
    }
}
