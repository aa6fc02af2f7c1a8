"""nginx as the floor of retrieval: the same bytes as static files, sent with sendfile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from peers.server import Server, first_line
from vna.bench import Stock, Template

BODY = "body"
"""Every resource is a folder, so that a study can lie above its instances; this is its content."""


class Nginx(Server):
    name = "nginx"
    what = "nginx, one worker, sendfile of prepared answers"
    dicomweb = ""
    offers = frozenset({"web"})

    @staticmethod
    def installed() -> bool:
        return shutil.which("nginx") is not None

    @staticmethod
    def version() -> str:
        return first_line("nginx", "-v")

    def command(self) -> tuple[list[str], dict[str, str]]:
        (self.folder / "root").mkdir()
        config = self.folder / "nginx.conf"
        # Its worker must read folders that are the owner's alone.
        user = "user root; " if os.geteuid() == 0 else ""
        config.write_text(
            f"{user}daemon off; worker_processes 1; pid nginx.pid; error_log stderr;\n"
            "events { worker_connections 4096; }\n"
            "http {\n"
            "  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n"
            "  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;\n"
            "  uwsgi_temp_path t4; scgi_temp_path t5;\n"
            f"  server {{ listen 127.0.0.1:{self.http_port}; root root;\n"
            f"    location / {{ try_files $uri/{BODY} =404; }} }}\n"
            "}\n",
            encoding="utf-8",
        )
        return ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(config)], {}

    def feed(self, stock: Stock, templates: list[Template]) -> bool:
        """Write what WADO-RS would answer for every study, instance and frame."""
        root = self.folder / "root"
        for study in range(stock.studies):
            with self._body(root, stock.path(study)).open("wb") as whole:
                for number in range(stock.instances):
                    template = templates[number % len(templates)]
                    path = stock.path(study, number)
                    file = _part(b"application/dicom", template.part10())
                    self._body(root, path).write_bytes(file)
                    frame = _part(b"application/octet-stream", template.data[-FRAME_BYTES:])
                    self._body(root, f"{path}/frames/1").write_bytes(frame)
                    whole.write(file)
        return True

    @staticmethod
    def _body(root: Path, path: str) -> Path:
        folder = root / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        return folder / BODY


FRAME_BYTES = 512 * 512 * 2


def _part(media: bytes, data: bytes) -> bytes:
    return b"\r\n--part\r\nContent-Type: " + media + b"\r\n\r\n" + data + b"\r\n--part--\r\n"
