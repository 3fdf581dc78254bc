/* Lines: from, to, a zone, a time in seconds since 2000. Nothing may crash or hang; what is frozen ends later, and is frozen until then; a zone's clock
 * shows what it is set to. */
#include <stdint.h>
#include <stdlib.h>

#include "shared/policy/calendar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BEGIN_S = 946684800, RANGE_S = 2000000000 };

static void must(bool promise)
{
    if (!promise)
        abort();
}

static int64_t number_of(struct span text)
{
    int64_t number = 0;
    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        number = (number * 10 + text.data[i] - '0') % RANGE_S;
    return BEGIN_S + number;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = { (const char *)data, size };
    struct span from = span_cut(&rest, '\n'), to = span_cut(&rest, '\n'), name = span_cut(&rest, '\n');
    int64_t now = number_of(rest), until, earlier;
    struct error err = { 0 };
    struct freeze freeze = { 0 };
    struct zone zone;
    char *text = span_dup(name);
    freeze.zone = text;
    if (text && name.data && zone_parse(&zone, name, &err)) {
        int64_t early = zone_to_utc(&zone, now + zone_offset(&zone, now), false);
        must(early <= zone_to_utc(&zone, now + zone_offset(&zone, now), true));
        if (cron_parse(&freeze.from, from, &err) && cron_parse(&freeze.to, to, &err)) {
            must(calendar_frozen(&freeze, 1, now * 1000, &until, &err));
            must(until == FROZEN_NOT || until > now * 1000);
            if (until != FROZEN_NOT && until - now * 1000 < 3600 * 1000) {
                must(calendar_frozen(&freeze, 1, until - 1000, &earlier, &err));
                must(earlier == FROZEN_NOT ? until - 1000 < now * 1000 : earlier >= until);
            }
        }
    }
    free(text);
    return 0;
}
