#include "shared/policy/skip.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* GitHub's five words; GitLab writes its two in any capitalisation, which harms nobody elsewhere. */
bool skip_is_asked(const char *message)
{
    static const char *const words[] = { "[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]" };
    for (const char *p = message ? strchr(message, '[') : NULL; p; p = strchr(p + 1, '['))
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (strncasecmp(p, words[i], strlen(words[i])) == 0)
                return true;
    return false;
}
