/* Announces every service that was upgraded. Copy this folder to functions/NAME/ and write your own handler. */
#include "runtime/function.h"

static bool announce(struct call *call, struct error *err)
{
    const struct json *data = call_data(call, err);
    if (!data)
        return false;
    const char *service = json_get_string(json_get(data, "subject"), "id");
    if (!service)
        return error_set(err, ERROR_INVALID, "the event does not say which service was upgraded");
    return call_emit(call,
                     &(struct draft){ .type = "dev.cdeventsx.example-announcement.made.0.1.0",
                                      .subject = service,
                                      .content = SPAN("{\"text\":\"there is a new version\"}") },
                     err);
}

FUNCTION(.handle = announce)
