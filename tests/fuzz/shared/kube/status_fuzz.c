/* Any bytes as what a server answers when it refuses; the first two are its code. */
#include "shared/kube/status.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kube_refusal refusal;
    struct error err = { 0 };
    if (size < 2)
        return 0;
    int code = 300 + (data[0] << 8 | data[1]) % 300;
    bool fine = kube_status_error(code, (struct span){ (const char *)data + 2, size - 2 }, 0, &refusal, &err);
    assert(!fine && err.kind != ERROR_NONE && refusal.code >= 300);
    for (const char *c = refusal.message; *c; c++)
        assert((unsigned char)*c >= 0x20 && *c != 0x7f); /* it goes into logs */
    return 0;
}
