/* Against clouds that tests/integration/clouds_test.py plays: $PUSHWRIGHT_TEST_REGISTRY (host:port) is the registry,
 * $PUSHWRIGHT_TEST_CLOUD its cloud; what is configured for the cloud is in the environment as its libraries expect it.
 * $PUSHWRIGHT_TEST_WANT: it fails, and the message holds this. Skipped without the first. */
#include "images.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

static enum cloud cloud_of_test(void)
{
    static const char *const names[CLOUD_KINDS] = { "", "ecr", "gar", "acr" };
    const char *wanted = getenv("PUSHWRIGHT_TEST_CLOUD");
    for (size_t i = 1; i < CLOUD_KINDS; i++)
        if (strcmp(wanted, names[i]) == 0)
            return (enum cloud)i;
    return CLOUD_NONE;
}

static bool look(const struct registry_options *options, const char *repository, struct error *err)
{
    char name[300];
    struct descriptor out;
    snprintf(name, sizeof name, "%s/%s", options->logins->host, repository);
    AUTO(store_free) struct store *store = open_named(name, options, err);
    return store && store_resolve(store, "v1", &out, err) && store_resolve(store, "v1", &out, err);
}

static void an_image_is_seen_with_the_clouds_credentials(void **state)
{
    (void)state;
    struct error err = { 0 };
    const char *host = getenv("PUSHWRIGHT_TEST_REGISTRY"), *want = getenv("PUSHWRIGHT_TEST_WANT");
    if (!host)
        skip();
    const struct registry_login login = { .host = host, .cloud = cloud_of_test(), .plain_http = true };
    AUTO(registry_session_free) struct registry_session *session = registry_session_new(&err);
    const struct registry_options options = { .logins = &login, .login_count = 1, .session = session };
    bool seen = look(&options, "acme/web", &err) && look(&options, "acme/other", &err);
    if (seen != !want)
        fail_msg("%s", seen ? "it was seen" : err.message);
    if (want && !strstr(err.message, want))
        fail_msg("wanted \"%s\" in \"%s\"", want, err.message);
    if (strstr(err.message, "s3cret"))
        fail_msg("a secret is in \"%s\"", err.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(an_image_is_seen_with_the_clouds_credentials) };
    return cmocka_run_group_tests_name("shared/oci/cloud", tests, NULL, NULL);
}
