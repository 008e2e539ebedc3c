"""GET /docs: the page to read and try the API; what of the folder with its files can be asked for, and what when it is not
there."""

import gzip
import os
import re
import shutil
import subprocess

import pytest

from harness.api import ApiServer
from harness.system import REPOSITORY

FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
SOURCE = os.path.join(REPOSITORY, "api", "docs", "node_modules", "swagger-ui-dist")


@pytest.fixture(scope="module", autouse=True)
def swagger_ui():
    assert os.path.exists(f"{SOURCE}/swagger-ui.css"), "Swagger UI's files are missing; run: api/docs/install"


@pytest.fixture
def api(bm):
    return ApiServer(bm)


def missing(answer):
    assert answer.status == 404 and "api/docs/install" in answer.json["detail"], answer
    return answer.json["detail"]


def test_root_leads_there(api):
    answer = api.ask("GET", "/")
    assert (answer.status, answer.headers["Location"], answer.bytes) == (303, "docs", b"")


def test_page(api):
    """Loads what is of this server, and nothing else; its policy says so too."""
    page = api.ask("GET", "/docs")
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["Content-Security-Policy"] and "http" not in page.headers["Content-Security-Policy"]
    text = page.bytes.decode()
    assert not re.search(r"https?:|//|\son\w+=|style=|<style|<script>", text)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert sorted(loaded) == sorted(["docs/init.js", "openapi.json", *(f"docs/{name}" for name in FILES)])
    for path in loaded:
        assert api.ask("GET", f"/{path}").status == 200
    init = api.ask("GET", "/docs/init.js")
    assert init.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "validatorUrl: null" in init.bytes.decode() and not re.search(r"https?:", init.bytes.decode())


@pytest.mark.parametrize("name", FILES)
def test_files(api, name):
    with open(f"{SOURCE}/{name}", "rb") as f:
        content = f.read()
    answer = api.ask("GET", f"/docs/{name}")
    assert answer.status == 200 and answer.bytes == content and answer.headers["Content-Type"] == FILES[name]
    assert answer.headers["Cache-Control"] == "no-cache" and answer.headers["X-Content-Type-Options"] == "nosniff"
    again = api.ask("GET", f"/docs/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304 and again.bytes == b""
    packed = api.ask("GET", f"/docs/{name}", headers={"Accept-Encoding": "gzip"})
    if name.endswith(".png"):
        assert packed.bytes == content and "Content-Encoding" not in packed.headers
    else:
        assert gzip.decompress(packed.bytes) == content and packed.headers["ETag"] != answer.headers["ETag"]
        assert len(packed.bytes) < len(content) / 3
    head = api.ask("HEAD", f"/docs/{name}")
    assert head.bytes == b"" and int(head.headers["Content-Length"]) == len(content)


@pytest.mark.parametrize(
    "path",
    ["package.json", "index.html", "LICENSE", "swagger-ui.js", "swagger-ui.css.map", ".installed", "x", "swagger-ui.css%20",
     "SWAGGER-UI.CSS", "swagger-ui.css.", "a%5c..%5cswagger-ui.css", "swagger-ui.css/", "swagger-ui.css/x", "./swagger-ui.css",
     "../openapi.json", "%2e%2e/openapi.json", "..%2fswagger-ui-dist%2fswagger-ui.css", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "swagger-ui.css%00",
     "%2fetc%2fpasswd", "/etc/passwd", "%ff", "%", "", "init.js/"],
)  # fmt: skip
def test_only_known_names(api, path):
    answer = api.ask("GET", f"/docs/{path}")
    assert answer.status in (400, 404), answer
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_without_its_files(bm):
    """Says what to install; all else works, and so does the page as soon as they are there."""
    folder = bm.directory("docs")
    api = ApiServer(bm, BM_DOCS_DIR=folder)
    for path in ("/docs", *(f"/docs/{name}" for name in FILES)):
        missing(api.ask("GET", path))
    assert api.ask("GET", "/docs/init.js").status == api.ask("GET", "/openapi.json").status == 200
    shutil.copy(f"{SOURCE}/swagger-ui.css", folder)  # some of them are none
    assert folder not in missing(api.ask("GET", "/docs/swagger-ui.css"))  # anybody may ask
    api.process.wait_log(r"/docs can't be shown: .*swagger-ui-bundle\.js")
    os.mkfifo(f"{folder}/swagger-ui-bundle.js")
    missing(api.ask("GET", "/docs"))
    os.remove(f"{folder}/swagger-ui-bundle.js")
    with open(f"{folder}/swagger-ui-bundle.js", "wb") as f:
        f.truncate(9 << 20)
    missing(api.ask("GET", "/docs"))
    for name in FILES:
        shutil.copy(f"{SOURCE}/{name}", folder)
    assert api.ask("GET", "/docs").status == 200
    shutil.rmtree(folder)  # read once
    assert api.ask("GET", "/docs/swagger-ui-bundle.js").status == 200
    assert "api/docs/install" in missing(ApiServer(bm, BM_DOCS_DIR="/nowhere").ask("GET", "/docs"))


def test_installed(bm, tmp):
    """`cmake --install` puts them where the installed program finds them, their licence with them."""
    bin_dir = bm.programs.api
    build = os.path.dirname(os.path.dirname(bin_dir))
    prefix = os.path.join(tmp, "installed")
    subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True, capture_output=True)
    share = os.path.join(prefix, "share", "backupmanager", "docs")
    assert {*FILES, "LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"} == set(os.listdir(share))
    bm.programs.api, kept = os.path.join(prefix, "bin", "backup-api"), bm.programs.api
    try:
        api = ApiServer(bm)
    finally:
        bm.programs.api = kept
    assert api.ask("GET", "/docs").status == 200 and api.ask("GET", "/docs/swagger-ui-bundle.js").status == 200
    shutil.rmtree(share)
    assert api.ask("GET", "/docs").status == 200
