/* For tests/peers/policies_test.py: a line "semver RANGE<tab>VERSION" or "glob PATTERN<tab>NAME" in, a line out: 1, 0, or why it is neither. */
#include "shared/policy/pattern.h"
#include "shared/policy/semver.h"

#include <stdio.h>
#include <string.h>

static const char *judge_semver(struct span range_text, struct span version_text)
{
    struct error err = { 0 };
    struct semver version;
    AUTO(semver_range_free) struct semver_range *range = semver_range_new(range_text, &err);
    if (!range)
        return "no range";
    if (!semver_parse(version_text, &version))
        return "no version";
    return semver_range_accepts(range, &version) ? "1" : "0";
}

static const char *judge_glob(struct span pattern, struct span name)
{
    struct error err = { 0 };
    return !glob_check(pattern, &err) ? "no glob" : glob_match(pattern, name) ? "1" : "0";
}

int main(void)
{
    static char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        struct span rest = { line, strcspn(line, "\n") };
        struct span kind = span_cut(&rest, ' '), pattern = span_cut(&rest, '\t');
        puts(span_is(kind, "semver") ? judge_semver(pattern, rest) : judge_glob(pattern, rest));
    }
    return 0;
}
