/* Any bytes as a kubeconfig file, its current context. */
#include "shared/kube/kubeconfig.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names of files from the root would be opened: which ones is up to the file's owner. */
static bool names_files(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] == '/' && (i == 0 || data[i - 1] != '/') && (i + 1 == size || data[i + 1] != '/'))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(kube_access_release) struct kube_access access = { 0 };
    struct error err = { 0 };
    if (names_files(data, size))
        return 0;
    if (kubeconfig_read(&access, (struct span){ (const char *)data, size }, NULL, NULL, false, &err)) {
        assert(access.server && *access.server && access.server[strlen(access.server) - 1] != '/');
        assert(!access.insecure && (access.certificate_pem != NULL) == (access.key_pem != NULL));
    } else {
        assert(err.kind != ERROR_NONE && err.kind != ERROR_INTERNAL);
    }
    return 0;
}
