"""Short-lived credentials of Amazon, Google and Azure, against services that are played: the real ones are not to be had
here. Signatures are computed anew by the player."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from fake_clouds import KEY_ID, SECRET_KEY, SESSION, TOKEN, basic, fake_clouds  # noqa: E402
from pushwright import BIN, Skip, run_tests, temporary_directory  # noqa: E402

PROGRAM = BIN.parent / "tests/unit/shared/oci/cloud_peer_test"


def look(fake, cloud, want=None, **variables):
    """Looks at two images; `want`: it must fail with this in the message."""
    if not PROGRAM.exists():
        raise Skip(f"{PROGRAM} is not built")
    kept = {"PATH": os.environ["PATH"], "CMOCKA_MESSAGE_OUTPUT": "STDOUT", "AWS_REGION": "eu-west-1",
            # A proxy that leads nowhere: services of this machine are not asked through one.
            "http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}
    done = subprocess.run([PROGRAM], env={**kept, "PUSHWRIGHT_TEST_REGISTRY": fake.address, "PUSHWRIGHT_TEST_CLOUD": cloud,
                                          **({"PUSHWRIGHT_TEST_WANT": want} if want else {}), **variables},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "PASSED  ] 1 test" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    return [name for name in fake.seen if name != "registry"]


def amazon(fake, **variables):
    return {"AWS_ENDPOINT_URL": f"http://{fake.address}", "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{fake.address}", **variables}


KEYS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


def amazons_keys_come_from_where_its_libraries_look():
    with temporary_directory() as directory:
        token = directory / "token"
        token.write_text(TOKEN + "\n")
        for session, variables, want in (
                (False, KEYS, ["ecr"]),
                (True, {**KEYS, "AWS_SESSION_TOKEN": SESSION}, ["ecr"]),
                (True, {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}, ["sts", "ecr"]),
                (True, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://{}/v1/credentials",
                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}, ["container", "ecr"]),
                (True, {}, ["imds_token", "imds_roles", "imds_keys", "ecr"])):
            with fake_clouds(session=session) as fake:
                variables = {name: value.format(fake.address) for name, value in variables.items()}
                # Two repositories, each asked twice: one login.
                assert look(fake, "ecr", **amazon(fake, **variables)) == want, fake.seen


def a_password_that_amazon_took_back_is_replaced():
    with fake_clouds(mood="takes-back", session=False) as fake:
        assert look(fake, "ecr", **amazon(fake, **KEYS)) == ["ecr", "ecr"]


def what_amazon_answers_wrongly_is_told():
    wrong = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": "s3cret/other"}
    for mood, variables, want in (
            ("", wrong, "the signature does not match"),
            ("", {"AWS_ACCESS_KEY_ID": KEY_ID}, "AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY"),
            ("ecr-garbage", KEYS, "answered what is no JSON"),
            ("ecr-empty", KEYS, "the answer of Amazon ECR holds no 'authorizationToken'"),
            ("imds_keys-empty", {}, "holds no 'AccessKeyId'"),
            ("imds_token-fails", {}, "AWS keys of the machine's role (no variable names others)"),
            ("", {"AWS_EC2_METADATA_DISABLED": "true"}, "no AWS keys: neither"),
            ("", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/keys"}, "is not asked for credentials: it is not https"),
            ("", {**KEYS, "AWS_REGION": "../../x"}, "tells no region"),
            ("", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent", "AWS_ROLE_ARN": "x"}, "token file '/nonexistent'")):
        with fake_clouds(mood=mood, session=False) as fake:
            look(fake, "ecr", want, **amazon(fake, **variables))


def google_file(directory, fake, **members):
    (directory / "token").write_text(TOKEN)
    (directory / "token.json").write_text(json.dumps({"id": TOKEN}))
    file = directory / "google.json"
    file.write_text(json.dumps({"type": "external_account", "audience": "//iam/pool", "token_url": f"http://{fake.address}/v1/token",
                                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                                "credential_source": {"file": str(directory / "token")}, **members}))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}


def googles_tokens_come_from_where_its_libraries_look():
    with temporary_directory() as directory:
        with fake_clouds() as fake:
            assert look(fake, "gar", GCE_METADATA_HOST=fake.address) == ["google_metadata"]
        with fake_clouds() as fake:
            assert look(fake, "gar", **google_file(directory, fake)) == ["google_exchange"]
        with fake_clouds() as fake:
            source = {"file": str(directory / "token.json"), "format": {"type": "json", "subject_token_field_name": "id"}}
            acting = f"http://{fake.address}/v1/projects/-/serviceAccounts/x:generateAccessToken"
            assert look(fake, "gar", **google_file(directory, fake, credential_source=source,
                                                   service_account_impersonation_url=acting)) == ["google_exchange", "google_impersonate"]
        with fake_clouds() as fake:
            variables = google_file(directory, fake, type="service_account", private_key="s3cret")
            fake.good.add(basic("_json_key", (directory / "google.json").read_text()))
            assert look(fake, "gar", **variables) == []


def what_google_answers_wrongly_is_told():
    with temporary_directory() as directory:
        for mood, members, want in (
                ("google_exchange-fails", {}, "no, not you"),
                ("google_exchange-empty", {}, "Google's token service holds no 'access_token'"),
                ("google_exchange-garbage", {}, "answered what is no JSON"),
                ("", {"token_url": "http://192.0.2.1/"}, "it is not https"),
                ("", {"credential_source": {"url": "http://169.254.169.254/"}}, "names no 'file'"),
                ("", {"type": "authorized_user"}, "is neither a 'service_account' nor an 'external_account'")):
            with fake_clouds(mood=mood) as fake:
                look(fake, "gar", want, **google_file(directory, fake, **members))
        with fake_clouds(mood="google_metadata-fails") as fake:
            look(fake, "gar", "the account of this machine", GCE_METADATA_HOST=fake.address)


def a_token_that_azure_took_back_is_replaced():
    with fake_clouds(wants="bearer", mood="takes-back") as fake:
        assert look(fake, "acr", AZURE_AUTHORITY_HOST=f"http://{fake.address}/", AZURE_TENANT_ID="tenant", AZURE_CLIENT_ID="app",
                    AZURE_CLIENT_SECRET=TOKEN) == ["entra", "exchange", "token", "token"], fake.seen


def azures_tokens_come_from_where_its_libraries_look():
    with temporary_directory() as directory:
        (directory / "token").write_text(TOKEN)
        for variables, want in (
                ({"AZURE_FEDERATED_TOKEN_FILE": str(directory / "token")}, "entra"),
                ({"AZURE_CLIENT_SECRET": TOKEN}, "entra"),
                ({"IDENTITY_ENDPOINT": "http://{}/msi/token", "IDENTITY_HEADER": TOKEN}, "identity")):
            with fake_clouds(wants="bearer") as fake:
                variables = {name: value.format(fake.address) for name, value in variables.items()}
                assert look(fake, "acr", AZURE_AUTHORITY_HOST=f"http://{fake.address}/", AZURE_TENANT_ID="tenant",
                            AZURE_CLIENT_ID="app", **variables) == [want, "exchange", "token", "token"], fake.seen


def what_azure_answers_wrongly_is_told():
    for mood, secret, want in (
            ("", "other", "AADSTS700016"),
            ("exchange-fails", TOKEN, "no, not you"),
            ("exchange-empty", TOKEN, "the answer of the registry holds no 'refresh_token'"),
            ("token-fails", TOKEN, "token for 'acme/web'"),
            ("realm-elsewhere", TOKEN, "the cloud's credentials are for")):
        with fake_clouds(wants="bearer", mood=mood) as fake:
            look(fake, "acr", want, AZURE_AUTHORITY_HOST=f"http://{fake.address}/", AZURE_TENANT_ID="tenant",
                 AZURE_CLIENT_ID="app", AZURE_CLIENT_SECRET=secret)


if __name__ == "__main__":
    run_tests([amazons_keys_come_from_where_its_libraries_look, a_password_that_amazon_took_back_is_replaced,
               what_amazon_answers_wrongly_is_told, googles_tokens_come_from_where_its_libraries_look,
               what_google_answers_wrongly_is_told, azures_tokens_come_from_where_its_libraries_look,
               a_token_that_azure_took_back_is_replaced,
               what_azure_answers_wrongly_is_told])
