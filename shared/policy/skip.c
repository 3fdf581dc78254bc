#include "shared/policy/skip.h"

#include "shared/base/span.h"

#include <string.h>
#include <strings.h>

/* GitHub's trailer skip-checks, the last of a message. GitHub asks for two empty lines before the trailers; git itself leaves only one of
 * them unless it is told otherwise, so that one serves. */
static bool has_skip_trailer(const char *message)
{
    static const char key[] = "skip-checks:";
    struct span text = span_trim(span_of(message)), last = text;
    bool behind_empty_line = false;
    while (text.data) {
        last = span_trim(span_cut(&text, '\n'));
        behind_empty_line |= last.len == 0;
    }
    if (!behind_empty_line || last.len < sizeof key || strncasecmp(last.data, key, sizeof key - 1) != 0)
        return false;
    return span_is(span_trim((struct span){ last.data + sizeof key - 1, last.len - (sizeof key - 1) }), "true");
}

/* GitHub's five words; GitLab writes its two in any capitalisation, which harms nobody elsewhere. */
bool skip_is_asked(const char *message)
{
    static const char *const words[] = { "[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]" };
    for (const char *p = message ? strchr(message, '[') : NULL; p; p = strchr(p + 1, '['))
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (strncasecmp(p, words[i], strlen(words[i])) == 0)
                return true;
    return has_skip_trailer(message);
}
