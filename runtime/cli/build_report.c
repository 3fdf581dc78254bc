#include "runtime/cli/build_report.h"

#include "runtime/cli/story.h"
#include "shared/dockerfile/lint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LINT_MEMORY_MAX = 64 * 1024 * 1024, PREFIX_BYTES = 100 };

/* ---- places ---- */

static size_t count_lines(struct span text)
{
    size_t lines = 0;

    while (text.data) {
        span_cut(&text, '\n');
        lines++;
    }
    return lines;
}

static void print_line(FILE *out, struct span line)
{
    AUTO(free) char *text = span_dup(line);
    size_t len = text ? line.len : 0;

    if (!text)
        return;
    progress_mask(NULL, text, &len);
    text[len] = '\0';
    story_print(out, text);
}

/* Four more lines around one, two around several: buildkit, solver/errdefs/source.go. */
static void print_lines(const struct build_source *source, size_t first, size_t last, FILE *out)
{
    struct span text = bytes_span(&source->context.dockerfile), rest = text;
    size_t lines = count_lines(text), start = first, number = 0;

    if (first == 0 || first > lines)
        return;
    if (last < first || last > lines)
        last = last < first ? first : lines;
    size_t end = last;
    for (int shown = 0, most = first == last ? 4 : 2; shown < most; shown++) {
        if (start > 1) {
            start--;
            shown++;
        }
        if (end < lines) {
            end++;
            shown++;
        }
    }
    story_print(out, source->name);
    fprintf(out, ":%zu\n--------------------\n", first);
    while (rest.data && number < end) {
        struct span line = span_cut(&rest, '\n');
        if (++number < start)
            continue;
        fprintf(out, " %3zu | %s ", number, number >= first && number <= last ? ">>>" : "   ");
        print_line(out, line);
        putc('\n', out);
    }
    fputs("--------------------\n", out);
}

/* Errors begin "line 3: RUN: ...", "dockerfile line 3: ..." or "dockerfile parse error on line 3: ..." (dockerfile.h, engine.h). */
static unsigned line_of(const struct error *failed)
{
    const char *at = strstr(failed->message, "line ");

    if (!at || at - failed->message > PREFIX_BYTES || !isdigit((unsigned char)at[5]))
        return 0;
    return (unsigned)strtoul(at + 5, NULL, 10);
}

static unsigned last_line_of(const struct dockerfile *dockerfile, unsigned line)
{
    for (size_t i = 0; dockerfile && i < dockerfile->stage_count; i++) {
        const struct dockerfile_stage *stage = &dockerfile->stages[i];
        for (size_t k = 0; k < stage->count; k++) {
            if (stage->instructions[k].line == line)
                return stage->instructions[k].last_line;
        }
    }
    return line;
}

void report_place(const struct build_source *source, const struct error *failed, FILE *out)
{
    unsigned line = line_of(failed);
    struct error ignored = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = line ? dockerfile_parse(bytes_span(&source->context.dockerfile), &ignored) : NULL;

    if (line)
        print_lines(source, line, last_line_of(dockerfile, line), out);
}

/* ---- warnings ---- */

struct linted {
    struct dockerfile_warnings warnings;
    struct error failed;
    bool good;
};

static struct linted lint(const struct build_request *request, const struct build_source *source, struct arena *arena)
{
    const struct dockerfile_lint_options options = {
        .build = { .args = { request->args.items, request->args.count },
                   .target = request->target,
                   .target_platform = request->platforms.count > 0 ? request->platforms.items[0] : NULL },
        .ignore = source->context.ignore,
    };
    struct linted linted = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse(bytes_span(&source->context.dockerfile), &linted.failed);

    linted.good = dockerfile && dockerfile_lint(dockerfile, &options, arena, &linted.warnings, &linted.failed);
    return linted;
}

int report_check(const struct build_request *request, const struct build_source *source, FILE *out)
{
    AUTO(arena_free) struct arena *arena = arena_new(LINT_MEMORY_MAX);

    if (!arena)
        return EXIT_FAILURE;
    const struct linted linted = lint(request, source, arena);
    size_t count = linted.warnings.count;
    if (count > 0)
        fprintf(out,
                count == 1 ? "Check complete, %zu warning has been found!\n"
                           : "Check complete, %zu warnings have been found!\n",
                count);
    for (size_t i = 0; i < count; i++) {
        const struct dockerfile_warning *warning = &linted.warnings.items[i];
        const struct dockerfile_rule *rule = dockerfile_rule_find(warning->rule);
        fprintf(out, "\nWARNING: %s%s%s\n", rule->name, *rule->url ? " - " : "", rule->url);
        story_print(out, warning->message);
        putc('\n', out);
        print_lines(source, warning->line, warning->last_line, out);
    }
    if (!linted.good) {
        fputs(count > 0 ? "\nERROR: " : "ERROR: ", out);
        story_print(out, linted.failed.message);
        putc('\n', out);
        report_place(source, &linted.failed, out);
    } else if (count == 0) {
        fputs("Check complete, no warnings found.\n", out);
    }
    return count > 0 || !linted.good;
}

void report_warnings(const struct dockerfile_warnings *warnings, FILE *out)
{
    size_t count = warnings->count;

    if (count == 0)
        return;
    fprintf(out, "\n %zu warning%s found (--check shows the places):\n", count, count == 1 ? "" : "s");
    for (size_t i = 0; i < count; i++) {
        const struct dockerfile_warning *warning = &warnings->items[i];
        fprintf(out, " - %s: ", warning->rule);
        story_print(out, warning->message);
        fprintf(out, " (line %u)\n", warning->line);
    }
}

/* ---- stages ---- */

static const char *description_of(const struct dockerfile_stage *stage)
{
    const struct dockerfile_words *comments = &stage->head->comments;
    const char *name = stage->from.written_name,
               *last = comments->count > 0 ? comments->items[comments->count - 1] : "";
    size_t len = name ? strlen(name) : 0;

    return len > 0 && strncasecmp(last, name, len) == 0 && last[len] == ' ' ? last + len + 1 : "";
}

int report_targets(const struct build_source *source, FILE *out)
{
    struct error err = { 0 };
    AUTO(dockerfile_free)
    struct dockerfile *dockerfile = dockerfile_parse(bytes_span(&source->context.dockerfile), &err);

    if (!dockerfile) {
        fputs("ERROR: ", out);
        story_print(out, err.message);
        putc('\n', out);
        report_place(source, &err, out);
        return EXIT_FAILURE;
    }
    fprintf(out, "%-24s %-32s %s\n", "TARGET", "BASE", "DESCRIPTION");
    for (size_t i = 0; i < dockerfile->stage_count; i++) {
        const struct dockerfile_stage *stage = &dockerfile->stages[i];
        bool last = i + 1 == dockerfile->stage_count;
        const char *name = stage->from.written_name && *stage->from.written_name ? stage->from.written_name : "";
        char shown[64];
        snprintf(shown, sizeof(shown), "%.40s%s", name, last ? (*name ? " (default)" : "(default)") : "");
        fprintf(out, "%-24s %-32.200s %.200s\n", shown, stage->from.image, description_of(stage));
    }
    return EXIT_SUCCESS;
}
