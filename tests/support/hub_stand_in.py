"""A small stand-in for the Hugging Face Hub: the HTTP interface that `huggingface_hub` and timm speak, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_of_the_stand_in"


@dataclass
class Hub:
    """Repositories as lists of commits; a commit maps paths to contents.

    Attributes:
            gated: repositories that answer with "restricted". requests: method and path of every request.
    """

    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def put(self, repository: str, files: dict[str, bytes]) -> None:
        """Add a commit."""
        history = self.commits.setdefault(repository, [])
        history.append({**(history[-1] if history else {}), **files})

    def sha(self, repository: str, index: int) -> str:
        """Name of a commit."""
        return hashlib.sha1(f"{repository} {index}".encode()).hexdigest()

    def find(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit that a branch or a name means, and its files."""
        for index, files in enumerate(self.commits[repository]):
            if revision == self.sha(repository, index):
                return revision, files
        if revision != "main":
            return None
        index = len(self.commits[repository]) - 1
        return self.sha(repository, index), self.commits[repository][index] if index >= 0 else {}


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve an empty hub on this machine for as long as the context is open."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _handle(self) -> None:
        path = urlparse(self.path).path
        self.state.requests.append(f"{self.command} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = [unquote(part) for part in path.strip("/").split("/")]
        writes = self.command in ("POST", "PUT") and not path.startswith("/storage/")
        if writes and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "", "Invalid username or password.")
        elif parts[0] == "storage":
            self.state.large[parts[1]] = self.body
            self._answer({})
        elif parts[:2] == ["api", "validate-yaml"]:
            self._answer({"errors": [], "warnings": []})
        elif parts[:3] == ["api", "repos", "create"]:
            self._create()
        elif parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), parts[4:])
        elif len(parts) > 2 and parts[1].endswith(".git"):
            self._lfs_batch()
        elif len(parts) > 3 and parts[2] == "resolve":
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._refuse(404, "", "no such page")

    def _create(self) -> None:
        request = json.loads(self.body)
        repository = f"{request['organization']}/{request['name']}"
        if repository in self.state.commits:
            self._answer({"error": "You already created this model repo", "url": f"{self.state.url}/{repository}"}, 409)
            return
        self.state.commits[repository] = []
        if request.get("private") or request.get("visibility") == "private":
            self.state.private.add(repository)
        self._answer({"url": f"{self.state.url}/{repository}", "id": repository, "name": repository})

    def _may_read(self, repository: str) -> bool:
        if repository in self.state.gated:
            self._refuse(403, "GatedRepo", "Access to this model is restricted.")
            return False
        token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository not in self.state.commits or (repository in self.state.private and not token):
            self._refuse(401 if not token else 404, "RepoNotFound", "Repository not found")
            return False
        return True

    def _api(self, repository: str, rest: list[str]) -> None:
        if not self._may_read(repository):
            return
        kind, revision = (rest[0], rest[1]) if len(rest) > 1 else ("revision", "main")
        if kind == "preupload":
            files = json.loads(self.body)["files"]
            # As the hub decides: text is kept in git, everything else in its store of large files.
            modes = [("regular" if file["path"].endswith((".md", ".json")) else "lfs") for file in files]
            self._answer(
                {
                    "files": [
                        {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
                        for file, mode in zip(files, modes, strict=True)
                    ]
                }
            )
            return
        if kind == "commit":
            self._commit(repository)
            return
        found = self.state.find(repository, revision)
        if found is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        sha, files = found
        if kind == "tree":
            self._answer(
                [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files.items()]
            )
        else:
            siblings = [{"rfilename": name} for name in files]
            self._answer({"_id": "1", "id": repository, "modelId": repository, "sha": sha, "siblings": siblings})

    def _commit(self, repository: str) -> None:
        files = {}
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.state.large[value["oid"]]
        self.state.put(repository, files)
        sha = self.state.sha(repository, len(self.state.commits[repository]) - 1)
        self._answer({"commitOid": sha, "commitUrl": f"{self.state.url}/{repository}/commit/{sha}", "success": True})

    def _lfs_batch(self) -> None:
        objects = json.loads(self.body)["objects"]
        answers = [
            {**item, "actions": {"upload": {"href": f"{self.state.url}/storage/{item['oid']}"}}} for item in objects
        ]
        self._answer({"transfer": "basic", "objects": answers})

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        if not self._may_read(repository):
            return
        found = self.state.find(repository, revision)
        if found is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif name not in found[1]:
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": found[0]})
        else:
            data = found[1][name]
            headers = {"X-Repo-Commit": found[0], "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            self._send(200, data, "application/octet-stream", headers)

    def _answer(self, document: Any, status: int = 200) -> None:
        self._send(status, json.dumps(document).encode(), "application/json", {})

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        named = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._send(status, json.dumps({"error": message}).encode(), "application/json", {**named, **(headers or {})})

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
