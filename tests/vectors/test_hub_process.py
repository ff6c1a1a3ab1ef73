"""The hub as users reach it: a process of its own, no variables, a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="the extra static")
pytest.importorskip("safetensors", reason="the extra static")
pytest.importorskip("huggingface_hub", reason="the extra static")

from static_toys import numbers, save_model, word_level

COMMIT = "c" * 40


class Hub(ThreadingHTTPServer):
    """A hub with one repository, ``org/name``, whose files lie in a folder."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name} for name in self.server.files]
            about: object = {"id": "org/name", "sha": COMMIT, "siblings": siblings}
            if "/tree/" in path:
                about = [
                    {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                    for name, content in self.server.files.items()
                ]
            self._send(json.dumps(about).encode(), "application/json")
            return
        content = self.server.files.get(path.removeprefix(f"/org/name/resolve/{COMMIT}/"))
        if content is None:
            self.send_error(404)
            return
        self._send(content, "application/octet-stream")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    model = save_model(tmp_path / "m", word_level(), {"embeddings": numbers(8, 3)})
    with Hub(model) as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def test_a_name_of_the_hub_in_a_fresh_process_without_variables(
    server: Hub, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    cleared = ("HF_", "HUGGING", "XDG_", "TRANSFORMERS_", "SENTENCE_", "SKLEARN_TRANSFER")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(cleared)}
    environment |= {"HF_ENDPOINT": server.url, "HOME": str(home), "USERPROFILE": str(home)}
    script = "from sklearn_transfer import load_pretrained as load; print(load('org/name'))"
    shown = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=home,
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("<PretrainedVectors 'org/name': 8 words x 3, float32, from ")
    assert str(home) in shown.stdout  # the cache of the hub's client
