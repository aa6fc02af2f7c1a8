"""The floor of storage: whole objects from a socket, appended to a file, synced, acknowledged.

It speaks just enough of the upper layer that the same sender can be used: it accepts whatever is
proposed, looks for the end of each message, and neither parses, hashes nor indexes anything.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from pathlib import Path

from peers.server import Server
from vna.bench import upper_layer as ul


class Floor(Server):
    name = "floor"
    what = "raw TCP, append, one fdatasync per instance: what disk and loopback allow"
    ae_title = "FLOOR"
    offers = frozenset({"dimse"})

    def command(self) -> tuple[list[str], dict[str, str]]:
        out = str(self.folder / "out")
        here = os.pathsep.join(path for path in sys.path if path)
        arguments = [str(self.dimse_port), out]
        return [sys.executable, "-m", "peers.floor", *arguments], {"PYTHONPATH": here}


BUFFER = 4 << 20
DATA_LAST = 2


def serve(sock: socket.socket, path: Path) -> None:
    """Be the acceptor of one association."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    buffer = bytearray(BUFFER)
    view = memoryview(buffer)
    with sock:
        head = sock.recv(6, socket.MSG_WAITALL)
        body = sock.recv(struct.unpack(">I", head[2:])[0], socket.MSG_WAITALL)
        contexts, _ = ul.proposed(body)
        choice = {number: syntaxes[0] for number, syntaxes in contexts.items()}
        sock.sendall(ul.accept(body, choice, 262_144))
        held = 0
        while True:
            end = _message_end(buffer, held)
            if end < 0:
                sock.sendall(ul.RELEASE_RP)
                break
            if not end:
                got = sock.recv_into(view[held:])
                if not got:
                    break
                held += got
                continue
            os.write(out, view[:end])
            os.fdatasync(out)
            sock.sendall(ul.data_pdus(view[10], RESPONSE, 4096, command=True))
            buffer[: held - end] = buffer[end:held]
            held -= end
    os.close(out)


RESPONSE = ul.command_set({0x0100: 0x8001, 0x0120: 1, 0x0800: ul.NO_DATA_SET, 0x0900: 0})


def _message_end(buffer: bytearray, held: int) -> int:
    """Return where the first whole message ends; 0: not all is there; -1: the peer goes."""
    at = 0
    while at + 12 <= held or (at + 10 <= held and buffer[at] == ul.RELEASE):
        if buffer[at] == ul.RELEASE:
            return -1
        (size,) = struct.unpack_from(">I", buffer, at + 2)
        last = buffer[at + 11] == DATA_LAST
        at += 6 + size
        if last and at <= held:
            return at
    return 0


def main() -> None:
    """Listen on a port; write below a folder."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    number = 0
    while True:
        sock, _ = listener.accept()
        number += 1
        path = folder / str(number)
        threading.Thread(target=serve, args=(sock, path), daemon=True).start()


if __name__ == "__main__":
    main()
