/* Any bytes as a database of rpm: whatever they say, reading ends, and what is listed makes a document that is JSON. */
#include "shared/attest/rpm.h"
#include "shared/attest/spdx.h"
#include "shared/base/file.h"
#include "shared/base/json.h"

#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 64 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = { 0 };
    AUTO(close) int fd = memfd_create("rpm", MFD_CLOEXEC);
    AUTO(packages_release) struct packages packages = { 0 };
    AUTO(bytes_release) struct bytes out = BYTES(OUT_MAX);
    AUTO(arena_free) struct arena *arena = arena_new(OUT_MAX);

    if (fd < 0 || !arena || !packages_init(&packages, &err) || !file_write_all(fd, data, size, &err))
        return 0;
    bool good = packages_read_rpm(&packages, &(struct rpm_database){ fd, 0, (int64_t)size }, &err);
    assert(good || err.kind == ERROR_INVALID || err.kind == ERROR_TOO_LARGE);
    packages_sort(&packages);
    const struct spdx spdx = { .name = "r.example/a",
                               .digest = "sha256:7a6708975c41af22fef6e88fbb408e9edf95d560730a1434d2c6258c3bd9f74e",
                               .packages = &packages,
                               .distribution = { "rhel", "9" } };
    assert(spdx_write(&out, &spdx, &err));
    assert(json_parse(arena, bytes_span(&out), &err) || err.kind == ERROR_TOO_LARGE);
    return 0;
}
