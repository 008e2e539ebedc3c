"""Rows of every kind, with a secret of its own in every place that can hold one; and a path for every operation of
/openapi.json that leads to them. For tests that go through the whole document."""

import hashlib
import os
import re
import urllib.parse

from harness.api import make_token
from harness.backup_rows import add_backup, add_copy, add_database, add_schedule, insert

# A resource's name in paths -> its table, where they differ.
TABLES = {"tokens": "api_tokens", "assignments": "destination_assignments", "copies": "backup_destinations"}
NAMES = {"queues": "default", "docs": "init.js"}
CONTENT = b"what was backed up\n" * 100


class Planted:
    def __init__(self, bm):
        self.bm = bm
        self.secrets = {}  # where it stands -> what nobody may see
        self.references = {}  # what admins alone may see: where secrets live
        self._catalog()
        self._history()
        self._people()

    def secret(self, where):
        text = "canary" + hashlib.sha256(where.encode()).hexdigest()[:40]
        self.secrets[where] = text
        return text

    def reference(self, where):
        text = "env:REFERENCE" + hashlib.sha256(where.encode()).hexdigest()[:20].upper()
        self.references[where] = text
        return text

    def config(self, where):
        """As somebody wrote it by plain SQL: literal secrets, sealed ones, some deep inside, some by their shape."""
        literal, sealed, deep, query, key = (self.secret(f"{where} {kind}") for kind in ("literal", "sealed", "deep", "query", "private key"))
        return (
            f'{{"bucket": "shown", "secret_access_key": "{literal}", "sealed": {{"key_id": "k", "data": "{sealed}"}}, '
            f'"more": {{"inner": [{{"password": "{deep}"}}]}}, "endpoint": "https://u:{query}@store.example/?sig={query}", '
            f'"note": "-----BEGIN PRIVATE KEY----- {key}"}}'
        )

    def _catalog(self):
        bm = self.bm
        self.group = insert(bm, "groups", name="group", description="of databases")
        self.database = add_database(
            bm, "planted", group_id=self.group, password_encrypted=self.secret("password_encrypted"),
            connection_options=f'{{"sslpassword": "{self.secret("connection_options")}"}}',
            source_argv=f'["dump", "--password={self.secret("source_argv")}"]', password_ref=self.reference("password_ref"),
        )  # fmt: skip
        self.schedule = add_schedule(bm, self.database, "nightly")
        self.base = bm.directory("planted")
        self.destination = insert(bm, "destinations", name="disk", storage_type="local", base_path=self.base,
                                  storage_config=self.config("disk's"), credentials_ref=self.reference("disk's"))  # fmt: skip
        self.store = insert(bm, "destinations", name="store", storage_type="s3", priority=1,
                            storage_config=self.config("store's"), credentials_ref=self.reference("store's"))  # fmt: skip
        for destination in (self.destination, self.store):
            insert(bm, "destination_assignments", destination_id=destination, database_id=self.database)
        bm.query("INSERT INTO queues (name) VALUES ('default') ON CONFLICT DO NOTHING")
        # changes, so that the audit log has old and new values
        bm.query("UPDATE databases SET password_encrypted = %s, description = 'changed'", self.secret("new password_encrypted"))
        bm.query("UPDATE destinations SET storage_config = %s", self.config("new"))

    def _history(self):
        bm = self.bm
        with open(os.path.join(self.base, "whole.gz"), "wb") as f:
            f.write(CONTENT)
        facts = {"file_size": len(CONTENT), "checksum": hashlib.sha256(CONTENT).hexdigest(), "base_path": self.base}
        self.backup = add_backup(bm, self.database, "planted_20251102_080000", schedule_id=self.schedule)
        # it can be read, too: its place has no settings that would be refused
        self.copy = add_copy(bm, self.backup, "local", "whole.gz", **facts)
        self.copies = [
            self.copy,
            add_copy(bm, self.backup, "s3", "k", status="failed", priority=1, destination_id=self.store,
                     storage_config=self.config("copy's"), resume_state=self.secret("resume_state"), error_message="gone"),
        ]  # fmt: skip
        add_backup(bm, self.database, "older_20241102_080000", origin="migrated")
        bm.query("INSERT INTO operations (kind, state, backup_id, object_name, result, owner, lease_until, started_at, ended_at) "
                 "VALUES ('verify', 'done', %s, 'planted', '{\"ok\": true, \"copies\": []}', 'another API', now(), now(), now())", self.backup)  # fmt: skip

    def _people(self):
        bm = self.bm
        self.user = insert(bm, "users", username="planted", email="p@example.org", role="viewer", is_active=True,
                           hashed_password=self.secret("hashed_password"))  # fmt: skip
        bm.query("INSERT INTO legacy_passwords (user_id, hashed_password) VALUES (%s, %s)", self.user, self.secret("legacy_passwords"))
        bm.query("UPDATE users SET hashed_password = %s WHERE id = %s", self.secret("new hashed_password"), self.user)
        self.tokens = {role: make_token(bm, role) for role in ("viewer", "operator", "admin")}
        for role, token in self.tokens.items():
            self.secrets[f"the {role}'s token"] = token
            self.secrets[f"the {role}'s token's hash"] = hashlib.sha256(token.encode()).hexdigest()
        # each sees a token of its own: those of the command line are an admin's to see
        bm.query("INSERT INTO api_tokens (name, role, secret_hash, created_by) VALUES ('p', 'viewer', %s, %s)",
                 hashlib.sha256(b"planted").hexdigest(), self.user)  # fmt: skip
        self.secrets["a user's token's hash"] = hashlib.sha256(b"planted").hexdigest()

    def path(self, operation, names=None):
        """The operation's path, leading to a row that is there. names: instead, what its parameters are, in turn."""
        names = iter(names or [])

        def name(match):
            given = next(names, None)
            resource = match.group(1)
            return f"{resource}/{NAMES.get(resource) or self._id(resource)}" if given is None else f"{resource}/{given}"

        return re.sub(r"(?<=/)([^/{}]+)/\{[^}]+\}", name, operation.path)

    def _id(self, resource):
        one = {"users": self.user, "backups": self.backup, "copies": self.copy, "databases": self.database,
               "destinations": self.destination}.get(resource)  # fmt: skip
        if one is not None:
            return one
        table = TABLES.get(resource, resource)
        found = self.bm.value(f"SELECT max(id) FROM {table}") if self.bm.value("SELECT to_regclass(%s)", table) else None
        return found or 1

    def seen_in(self, text, references=False):
        """Where those secrets stand that the text holds, as they are or as URLs and JSON write them."""
        text = urllib.parse.unquote(text)
        known = {**self.secrets, **(self.references if references else {})}
        return [where for where, secret in known.items() if secret in text]


def fingerprint(bm):
    """Of all rows, without what a mere question leaves behind."""
    volatile = "{last_seen_at,last_used_at,last_login_at,heartbeat_at,lease_until}"
    tables = [r["t"] for r in bm.query("SELECT relname AS t FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")]
    rows = "(SELECT to_jsonb(t) - '{volatile}'::text[] AS row FROM {table} t) r"
    sums = "SELECT md5(string_agg(row::text, '|' ORDER BY row::text)) FROM " + rows
    return {table: bm.value(sums.format(volatile=volatile, table=table)) for table in tables}
