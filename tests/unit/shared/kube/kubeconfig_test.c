#include "shared/kube/kubeconfig.h"

#include "shared/base/file.h"
#include "tests/unit/shared/base/test.h"

/* As kubectl writes it; C and U stand for members of the cluster and the user. */
#define FILE_OF(c, u)                                                                                                  \
    "apiVersion: v1\nkind: Config\npreferences: {}\n"                                                                  \
    "clusters:\n- name: prod\n  cluster:\n" c "users:\n- name: ann\n  user:\n" u                                       \
    "contexts:\n- name: prod-ann\n  context:\n    cluster: prod\n    namespace: shop\n    user: ann\n"                 \
    "current-context: prod-ann\n"
#define SERVER "    server: https://10.0.0.1:6443\n"
#define TOKEN "    token: s3cret\n"

static struct kube_access read_with(const char *text, const char *context, bool insecure)
{
    struct kube_access access = { 0 };
    struct error err = { 0 };
    if (!kubeconfig_read(&access, span_of(text), "/etc/kube", context, insecure, &err))
        fail_msg("%s", err.message);
    return access;
}

static struct error refused(const char *text, const char *context)
{
    AUTO(kube_access_release) struct kube_access access = { 0 };
    struct error err = { 0 };
    if (kubeconfig_read(&access, span_of(text), NULL, context, false, &err))
        fail_msg("was read: %s", text);
    return err;
}

static void the_current_context_says_where_and_as_whom(void **state)
{
    (void)state;
    AUTO(kube_access_release) struct kube_access access = read_with(FILE_OF(SERVER, TOKEN), NULL, false);
    assert_string_equal(access.server, "https://10.0.0.1:6443");
    assert_string_equal(access.namespace, "shop");
    assert_true(secret_equal(access.token, SPAN("s3cret")));
    assert_null(access.ca_pem);
    assert_null(access.token_file);
    assert_false(access.insecure);
}

static void every_form_of_credentials_is_read(void **state)
{
    (void)state;
    AUTO(kube_access_release)
    struct kube_access certificate = read_with(
        FILE_OF("    server: https://api.example.com/k8s/clusters/c-1/\n    certificate-authority-data: Q0E=\n"
                "    tls-server-name: kube.internal\n    proxy-url: socks5://127.0.0.1:1080\n",
                "    client-certificate-data: |\n      Q0VS\n      VA==\n    client-key-data: S0VZ\n"),
        "prod-ann", false);
    assert_string_equal(certificate.server, "https://api.example.com/k8s/clusters/c-1");
    assert_string_equal(certificate.ca_pem, "CA");
    assert_string_equal(certificate.tls_server_name, "kube.internal");
    assert_string_equal(certificate.proxy, "socks5://127.0.0.1:1080");
    assert_string_equal(certificate.certificate_pem, "CERT");
    assert_true(secret_equal(certificate.key_pem, SPAN("KEY")));

    AUTO(kube_access_release)
    struct kube_access file = read_with(
        FILE_OF(SERVER, "    token: old\n    tokenFile: tokens/now\n    username: ann\n    password: '1234'\n"), NULL,
        false);
    assert_string_equal(file.token_file, "/etc/kube/tokens/now");
    assert_null(file.token);
    assert_string_equal(file.username, "ann");
    assert_true(secret_equal(file.password, SPAN("1234")));
}

static void files_are_relative_to_the_kubeconfig(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(free) char *folder = directory_make_temporary("pw-kubeconfig", &err);
    AUTO(kube_access_release) struct kube_access access = { 0 };
    char path[256], ca[256];
    snprintf(path, sizeof path, "%s/config", folder);
    snprintf(ca, sizeof ca, "%s/ca.pem", folder);
    assert_true(
        file_write_atomic(path, SPAN(FILE_OF(SERVER "    certificate-authority: ca.pem\n", TOKEN)), 0600, &err));
    assert_true(file_write_atomic(ca, SPAN("PEM"), 0600, &err));
    assert_true(kubeconfig_load(&access, path, NULL, false, &err));
    assert_string_equal(access.ca_pem, "PEM");
    unlink(ca);
    AUTO(kube_access_release) struct kube_access without = { 0 };
    assert_false(kubeconfig_load(&without, path, NULL, false, &err));
    assert_error(err, ERROR_NOT_FOUND, "'certificate-authority'");
    assert_true(directory_remove(folder, &err));
}

/* What is refused, and what is said about it. */
static const struct {
    const char *text, *context;
    enum error_kind kind;
    const char *says;
} refusals[] = {
    { FILE_OF(SERVER, "    exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}\n"), NULL,
      ERROR_UNSUPPORTED, "a program gives the credentials ('exec')" },
    { FILE_OF(SERVER, "    auth-provider: {name: gcp}\n"), NULL, ERROR_UNSUPPORTED, "('auth-provider')" },
    { FILE_OF(SERVER, TOKEN "    as: root\n"), NULL, ERROR_UNSUPPORTED, "impersonation ('as')" },
    { FILE_OF(SERVER, TOKEN "    as-groups: [a]\n"), NULL, ERROR_UNSUPPORTED, "impersonation ('as-groups')" },
    { FILE_OF(SERVER "    insecure-skip-tls-verify: true\n", TOKEN), NULL, ERROR_DENIED,
      "'insecure-skip-tls-verify' would trust whoever answers" },
    { FILE_OF("    server: http://10.0.0.1:8080\n", TOKEN), NULL, ERROR_DENIED, "over plain http" },
    { FILE_OF("    server: ftp://10.0.0.1\n", TOKEN), NULL, ERROR_INVALID, "must be an https URL" },
    { FILE_OF("    server: https://user:password@10.0.0.1\n", TOKEN), NULL, ERROR_INVALID, "must be an https URL" },
    { FILE_OF("    name: prod\n", TOKEN), NULL, ERROR_INVALID, "no 'server'" },
    { FILE_OF(SERVER "    certificate-authority-data: \"%\"\n", TOKEN), NULL, ERROR_INVALID,
      "'certificate-authority-data'" },
    { FILE_OF(SERVER "    certificate-authority: ca.pem\n", TOKEN), NULL, ERROR_INVALID,
      "must be named from the root" },
    { FILE_OF(SERVER "    proxy-url: gopher://p\n", TOKEN), NULL, ERROR_INVALID, "'proxy-url' must start with" },
    { FILE_OF(SERVER, "    client-certificate-data: QQ==\n"), NULL, ERROR_INVALID, "belong together" },
    { FILE_OF(SERVER, "    token: [a]\n"), NULL, ERROR_INVALID, "'token' must be a text, not a list" },
    { FILE_OF(SERVER, TOKEN), "stage", ERROR_NOT_FOUND, "no context 'stage'" },
    { "clusters: []\n", NULL, ERROR_NOT_FOUND, "no 'current-context'" },
    { "clusters: []\ncontexts: [{name: a, context: {cluster: b}}]\ncurrent-context: a\n", NULL, ERROR_NOT_FOUND,
      "names cluster 'b', which it has not" },
    { "clusters: [{name: b, cluster: {server: 'https://h'}}]\ncontexts: [{name: a, context: {cluster: b, user: u}}]\n"
      "current-context: a\n",
      NULL, ERROR_NOT_FOUND, "names user 'u', whom it has not" },
    { "just words", NULL, ERROR_INVALID, "no 'clusters'" },
    { "", NULL, ERROR_INVALID, "there is nothing in it" },
    { "clusters: [\n", NULL, ERROR_INVALID, "line 2 column 1" },
};

static void what_cannot_be_honoured_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct error err = refused(refusals[i].text, refusals[i].context);
        assert_error(err, refusals[i].kind, refusals[i].says);
        assert_null(strstr(err.message, "s3cret"));
    }
}

static void insecurity_that_was_asked_for_is_taken(void **state)
{
    (void)state;
    AUTO(kube_access_release)
    struct kube_access access = read_with(FILE_OF(SERVER "    insecure-skip-tls-verify: true\n", TOKEN), NULL, true);
    assert_true(access.insecure);
    AUTO(kube_access_release)
    struct kube_access plain = read_with(FILE_OF("    server: http://10.0.0.1:8080\n", TOKEN), NULL, true);
    assert_false(plain.insecure);
    AUTO(kube_access_release)
    struct kube_access own = read_with(FILE_OF("    server: http://127.0.0.1:8001\n", TOKEN), NULL, false);
    assert_string_equal(own.server, "http://127.0.0.1:8001");
}

static void other_peoples_secrets_are_not_kept(void **state)
{
    (void)state;
    AUTO(kube_access_release)
    struct kube_access access = read_with("clusters: [{name: c, cluster: {server: 'https://h'}}]\n"
                                          "users: [{name: a, user: {token: aaa}}, {name: b, user: {token: bbb}}]\n"
                                          "contexts: [{name: x, context: {cluster: c, user: a}}, "
                                          "{name: y, context: {cluster: c, user: b}}]\ncurrent-context: x\n",
                                          "y", false);
    assert_true(secret_equal(access.token, SPAN("bbb")));
    assert_string_equal(access.server, "https://h");
}

static void a_pods_own_cluster_is_found_by_its_environment(void **state)
{
    (void)state;
    struct error err = { 0 };
    AUTO(free) char *folder = directory_make_temporary("pw-account", &err);
    AUTO(kube_access_release) struct kube_access access = { 0 };
    char path[256];
    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_false(kube_access_in_cluster(&access, folder, &err));
    assert_error(err, ERROR_UNAVAILABLE, "inside a pod only");
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_false(kube_access_in_cluster(&access, folder, &err));
    assert_error(err, ERROR_NOT_FOUND, "the pod's service account");
    snprintf(path, sizeof path, "%s/ca.crt", folder);
    assert_true(file_write_atomic(path, SPAN("PEM"), 0600, &err));
    assert_true(kube_access_in_cluster(&access, folder, &err));
    assert_string_equal(access.server, "https://[fd00::1]:443");
    assert_string_equal(access.ca_pem, "PEM");
    assert_null(access.namespace);
    assert_true(directory_remove(folder, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_current_context_says_where_and_as_whom),
        cmocka_unit_test(every_form_of_credentials_is_read),
        cmocka_unit_test(files_are_relative_to_the_kubeconfig),
        cmocka_unit_test(what_cannot_be_honoured_is_refused_by_name),
        cmocka_unit_test(insecurity_that_was_asked_for_is_taken),
        cmocka_unit_test(other_peoples_secrets_are_not_kept),
        cmocka_unit_test(a_pods_own_cluster_is_found_by_its_environment),
    };
    return cmocka_run_group_tests_name("kube/kubeconfig", tests, NULL, NULL);
}
