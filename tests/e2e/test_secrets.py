"""Secrets: where a database's password comes from (Vault, AWS, the older system's Fernet tokens), settings encrypted at
rest, their keys changed, and that nothing of it is shown or handed to children."""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import os
import struct
import subprocess

import pytest

from harness.fakes import FakeCredentials

from test_api import Api
from test_backupctl import refused, snapshot

SECRET = "hunter2-is-secret"
CONFIG = {"read_back": True, "smb_password": SECRET}


@pytest.fixture
def fake():
    with FakeCredentials() as server:
        yield server


def key_file(bm, name):
    """A file with a new key, as the program's own advice makes it."""
    path = os.path.join(bm.tmp, name)
    with open(path, "w") as f:
        subprocess.run(["openssl", "rand", "-base64", "32"], stdout=f, check=True)
    os.chmod(path, 0o644)
    return path


def keys(*paths):
    return {"BM_ENCRYPTION_KEY_REF": ",".join(f"file:{path}" for path in paths)}


def add_sealed(bm, name, env, config=CONFIG):
    bm.ctl("destination", "add", name, "--type", "local", "--base-path", bm.directory(name), "--config", "-",
           "--encrypt-config", stdin=json.dumps(config), env=env)  # fmt: skip


def stored(bm, name):
    return json.loads(bm.value("SELECT storage_config FROM destinations WHERE name = %s", name))


# -- passwords of databases


def password_comes(bm, postgres, source_database, reference, **env):
    """A whole backup over TCP, where the server asks for the password; gives the worker's log."""
    bm.ctl("database", "add", "shop", "--type", "postgresql", "--host", "127.0.0.1", "--port", postgres.port, "--username",
           "postgres", "--database-name", source_database, *(["--password-ref", reference] if reference else []))  # fmt: skip
    bm.destination("d")
    bm.assign("shop", "d")
    worker = bm.worker(BM_MAX_ATTEMPTS="2", BM_RETRY_BASE_MS="1", **env)
    backup = bm.run("shop")
    ended = bm.wait_ended(backup)
    log = worker.log()
    assert postgres.password not in log and postgres.password not in json.dumps(bm.query("SELECT * FROM backups"), default=str)
    return ended, log


@pytest.mark.parametrize("login", ["token", "approle", "kubernetes"])
def test_password_from_vault(bm, postgres, source_database, fake, login):
    fake.change(vault={"secrets": {"databases/shop": {"password": postgres.password, "user": "postgres"}}, "namespace": "team"})
    jwt = os.path.join(bm.tmp, "jwt")
    with open(jwt, "w") as f:
        f.write("jwt\n")
    env = {"token": {"VAULT_TOKEN": "root"}, "approle": {"VAULT_ROLE_ID": "role-id", "VAULT_SECRET_ID": "secret-id"},
           "kubernetes": {"VAULT_K8S_ROLE": "backup", "VAULT_K8S_TOKEN_FILE": jwt}}[login]  # fmt: skip
    ended, log = password_comes(bm, postgres, source_database, "vault:secret/databases/shop#password",
                                VAULT_ADDR=fake.https, VAULT_CACERT=fake.ca_file, VAULT_NAMESPACE="team", **env)  # fmt: skip
    assert ended["status"] == "completed", ended["error_message"]
    for given in env.values():
        assert given not in log or given in ("root", "backup", jwt)


def test_vault_that_refuses(bm, postgres, source_database, fake):
    ended, _ = password_comes(bm, postgres, source_database, "vault:secret/databases/shop#password",
                              VAULT_ADDR=fake.https, VAULT_CACERT=fake.ca_file, VAULT_TOKEN="wr0ng-token")  # fmt: skip
    assert ended["status"] == "failed"
    assert "vault:secret/databases/shop#password" in ended["error_message"] and "403" in ended["error_message"]
    assert "wr0ng" not in ended["error_message"]


def test_vault_with_an_unknown_certificate(bm, postgres, source_database, fake):
    ended, _ = password_comes(bm, postgres, source_database, "vault:secret/backup/s3#secret_key", VAULT_ADDR=fake.https,
                              VAULT_TOKEN="root")  # fmt: skip
    assert ended["status"] == "failed" and "VAULT_CACERT" in ended["error_message"]
    assert fake.log("VaultRead") == []


def test_password_from_aws(bm, postgres, source_database, fake):
    fake.change(secrets={"shop": {"string": json.dumps({"password": postgres.password})}})
    ended, log = password_comes(bm, postgres, source_database, "aws-sm:shop#password", AWS_ENDPOINT_URL=fake.https,
                                AWS_CA_BUNDLE=fake.ca_file, AWS_REGION="us-east-1", AWS_ACCESS_KEY_ID="AKIAFAKE",
                                AWS_SECRET_ACCESS_KEY="fake-secret")  # fmt: skip
    assert ended["status"] == "completed", ended["error_message"]
    assert "fake-secret" not in log


# -- the older system's passwords


def fernet_token(key, text):
    """By OpenSSL's command line and Python's hmac: not by the program's own code."""
    raw = base64.urlsafe_b64decode(key)
    iv = bytes(range(16))
    sealed = subprocess.run(["openssl", "enc", "-aes-128-cbc", "-K", raw[16:].hex(), "-iv", iv.hex()], input=text.encode(),
                            capture_output=True, check=True).stdout  # fmt: skip
    signed = b"\x80" + struct.pack(">Q", 1700000000) + iv + sealed
    return base64.urlsafe_b64encode(signed + hmac.new(raw[:16], signed, hashlib.sha256).digest()).decode()


def legacy_key(bm, name="legacy-key"):
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    path = os.path.join(bm.tmp, name)
    with open(path, "w") as f:
        f.write(key + "\n")
    return key, path


@pytest.mark.parametrize("case", ["right", "wrong", "absent"])
def test_password_of_the_older_system(bm, postgres, source_database, case):
    key, path = legacy_key(bm)
    _, other = legacy_key(bm, "other-key")
    bm.query("CREATE FUNCTION encrypt_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
             f" NEW.password_encrypted := '{fernet_token(key, postgres.password)}'; RETURN NEW; END $$;"
             "CREATE TRIGGER encrypt_it BEFORE INSERT ON databases FOR EACH ROW EXECUTE FUNCTION encrypt_it()")  # fmt: skip
    env = {"right": {"BM_LEGACY_ENCRYPTION_KEY_REF": f"file:{path}"},
           "wrong": {"BM_LEGACY_ENCRYPTION_KEY_REF": f"file:{other}"}, "absent": {}}[case]  # fmt: skip
    ended, log = password_comes(bm, postgres, source_database, None, **env)
    assert key not in log
    if case == "right":
        assert ended["status"] == "completed", ended["error_message"]
    else:
        assert ended["status"] == "failed" and "BM_LEGACY_ENCRYPTION_KEY_REF" in ended["error_message"]
        assert ("another key" in ended["error_message"]) == (case == "wrong")


def test_a_reference_goes_before_the_older_password(bm, postgres, source_database):
    bm.postgres_database("shop", source_database)
    bm.query("UPDATE databases SET password_encrypted = 'not a token'")
    bm.destination("d")
    bm.assign("shop", "d")
    bm.worker()
    backup = bm.run("shop")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)


# -- settings encrypted at rest


def test_settings_are_encrypted_and_never_shown(bm):
    env = keys(key_file(bm, "k1"))
    add_sealed(bm, "d", env)
    config = stored(bm, "d")
    assert set(config) == {"read_back", "sealed"} and config["read_back"] is True
    assert SECRET not in bm.value("SELECT storage_config FROM destinations")
    bm.file_database("f", __file__)
    bm.assign("f", "d")
    bm.worker(**env)
    backup = bm.run("f")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    assert json.loads(bm.rows(backup)[0]["storage_config"]) == config, "a copy has what its destination had"

    shown = [bm.ctl(*words, "--json").stdout for words in
             (("destination", "show", "d"), ("destination", "list"), ("backup", "show", backup), ("backup", "list"))]  # fmt: skip
    shown += [bm.ctl("destination", "show", "d").stdout, bm.ctl("backup", "show", backup).stdout]
    api = Api(bm)
    details = api.details(bm.value("SELECT id FROM databases"))
    assert json.loads(details["recent_backups"][0]["destinations"][0]["storage_config"]) == {"read_back": True, "sealed": "***"}
    shown += [json.dumps(details), api.process.log()]
    for text in shown:
        assert SECRET not in text and config["sealed"]["data"] not in text

    # what is shown can be edited, as long as the secret's place isn't written
    assert json.loads(bm.ctl("destination", "show", "d", json=True)["storage_config"])["sealed"] == "***"
    bm.ctl("destination", "update", "d", "--priority", "3")
    assert stored(bm, "d") == config
    assert "--encrypt-config" in refused(bm, "destination", "update", "d", "--config", '{"sealed": "***"}')
    bm.ctl("destination", "update", "d", "--config", "-", "--encrypt-config", stdin='{"smb_password": "another"}', env=env)
    assert set(stored(bm, "d")) == {"sealed"} and stored(bm, "d") != config


def test_configuration_from_files(bm):
    path = os.path.join(bm.tmp, "config.json")
    with open(path, "w") as f:
        json.dump({"read_back": True}, f)
    os.chmod(path, 0o644)
    bm.destination("d", "--config", f"@{path}")
    assert stored(bm, "d") == {"read_back": True}
    add = ("destination", "add", "e", "--type", "local", "--base-path", bm.directory("e"), "--config")
    before = snapshot(bm)
    assert "/nowhere/at/all" in refused(bm, *add, "@/nowhere/at/all", status=1)
    assert "empty" in refused(bm, *add, "-", stdin="")
    assert "more than" in refused(bm, *add, "-", stdin=" " * 70000)
    said = refused(bm, *add, "-", stdin=json.dumps(CONFIG))
    assert "credentials_ref" in said and "--encrypt-config" in said and SECRET not in said
    said = refused(bm, *add, "-", "--encrypt-config", stdin=json.dumps(CONFIG))
    assert "BM_ENCRYPTION_KEY_REF" in said and "openssl rand -base64 32" in said and SECRET not in said
    wrong = os.path.join(bm.tmp, "wrong-key")
    with open(wrong, "w") as f:
        f.write(SECRET)
    said = refused(bm, *add, "-", "--encrypt-config", stdin=json.dumps(CONFIG), env=keys(wrong))
    assert "32 bytes" in said and wrong in said and SECRET not in said
    refused(bm, "destination", "update", "d", "--encrypt-config")
    assert snapshot(bm) == before


def test_keys_are_rotated(bm):
    first, second = key_file(bm, "k1"), key_file(bm, "k2")
    add_sealed(bm, "a", keys(first))
    add_sealed(bm, "b", keys(first))
    bm.file_database("f", __file__)
    bm.assign("f", "a", "b")
    for _ in range(3):
        bm.run("f")
    before = stored(bm, "a")
    status = bm.ctl("secret", "status", json=True, env=keys(second))
    assert [(s["current"], s["available"], s["destinations"], s["backup_destinations"]) for s in status] == [
        (True, True, 0, 0), (False, False, 2, 6)]  # fmt: skip

    # without the older key nothing is touched, and it is said which one is missing
    done = bm.ctl("secret", "rotate", check=False, env=keys(second))
    assert done.returncode == 1 and before["sealed"]["key_id"] in done.stderr and "8 rows were left" in done.stderr
    assert stored(bm, "a") == before

    facts = bm.ctl("secret", "rotate", json=True, env=keys(second, first))
    assert facts["destinations"] == {"encrypted_anew": 2, "failed": 0}
    assert facts["backup_destinations"] == {"encrypted_anew": 6, "failed": 0}
    after = stored(bm, "a")
    assert after["read_back"] is True and after["sealed"]["key_id"] == facts["key_id"] != before["sealed"]["key_id"]
    status = bm.ctl("secret", "status", json=True, env=keys(second))
    assert [(s["key_id"], s["destinations"], s["backup_destinations"]) for s in status] == [(facts["key_id"], 2, 6)]
    assert bm.ctl("secret", "rotate", json=True, env=keys(second))["destinations"] == {"encrypted_anew": 0, "failed": 0}

    # the new key alone opens it: rotating on to a third one shows that the text came through
    third = key_file(bm, "k3")
    assert bm.ctl("secret", "rotate", json=True, env=keys(third, second))["destinations"]["encrypted_anew"] == 2
    assert "BM_ENCRYPTION_KEY_REF" in refused(bm, "secret", "rotate")


def test_an_edit_meanwhile_is_not_lost(bm, wait_for):
    """Someone changes the row between the reading and the writing: theirs stays, and is seen by the next pass."""
    first, second = key_file(bm, "k1"), key_file(bm, "k2")
    add_sealed(bm, "a", keys(first))
    add_sealed(bm, "b", keys(first))
    editor = bm.postgres.connect(bm.database)
    editor.autocommit = False
    with editor.cursor() as cursor:
        cursor.execute("UPDATE destinations SET storage_config = '{\"read_back\": false}' WHERE name = 'a'")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            rotation = pool.submit(bm.ctl, "secret", "rotate", json=True, env=keys(second, first))
            wait_for(lambda: bm.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                                      " AND wait_event_type = 'Lock' AND application_name = 'backupctl'"))  # fmt: skip
            editor.commit()
            facts = rotation.result()
    editor.close()
    assert stored(bm, "a") == {"read_back": False}
    assert stored(bm, "b")["sealed"]["key_id"] == facts["key_id"]
    assert facts["destinations"] == {"encrypted_anew": 1, "failed": 0}


def test_what_can_not_be_opened_is_left_alone(bm):
    first, second = key_file(bm, "k1"), key_file(bm, "k2")
    for name in ("good", "changed", "strange"):
        add_sealed(bm, name, keys(first))
    changed = stored(bm, "changed")
    data = changed["sealed"]["data"]
    changed["sealed"]["data"] = data[:20] + ("A" if data[20] != "A" else "B") + data[21:]
    bm.query("UPDATE destinations SET storage_config = %s WHERE name = 'changed'", json.dumps(changed))
    bm.query("UPDATE destinations SET storage_config = %s WHERE name = 'strange'", '{"sealed": "not ours", "note": 1}')
    done = bm.ctl("secret", "rotate", check=False, env=keys(second, first))
    assert done.returncode == 1 and "2 rows were left" in done.stderr and "changed since" in done.stderr
    assert stored(bm, "changed") == changed and stored(bm, "strange") == {"sealed": "not ours", "note": 1}
    assert stored(bm, "good")["sealed"]["key_id"] != changed["sealed"]["key_id"]


# -- children


def test_children_see_no_secret(bm):
    bm.command_database("env", "sh", "-c", "cat /proc/self/environ | tr '\\0' '\\n'")
    base = bm.destination("d")
    bm.assign("env", "d")
    bm.worker(VAULT_TOKEN=SECRET, AWS_SECRET_ACCESS_KEY=SECRET, SHOP_PASSWORD=SECRET, PGPASSWORD=SECRET, WANTED="wanted",
              BM_COMMAND_ENVIRONMENT="WANTED,BM_DATABASE_URL")  # fmt: skip
    backup = bm.run("env")
    assert bm.wait_ended(backup)["status"] == "completed", bm.describe(backup)
    row = bm.rows(backup)[0]
    text = subprocess.run(["gunzip", "-c", os.path.join(base, row["file_path"])], capture_output=True, check=True, text=True).stdout
    names = {line.split("=")[0] for line in text.splitlines()}
    assert "PATH" in names and "WANTED=wanted" in text
    assert SECRET not in text and not any(name.startswith(("BM_", "VAULT_", "AWS_")) for name in names)
