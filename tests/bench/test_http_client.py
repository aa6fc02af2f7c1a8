"""The load generator's HTTP client."""

import socketserver
import threading

import pytest

from vna.bench.http import Client, request
from vna.bench.reactor import Reactor
from vna.bench.target import Target


class Impatient(socketserver.StreamRequestHandler):
    """Answers one request, says that it would take another, and closes."""

    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")


@pytest.fixture
def impatient():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Impatient) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Target.parse(None, f"http://127.0.0.1:{server.server_address[1]}/dicom-web", None)
        server.shutdown()
        thread.join()


def test_a_connection_that_the_server_ended_meanwhile_is_made_again(impatient):
    reactor = Reactor(5)
    client = Client(reactor, impatient)
    answers = []

    def lane():
        for _ in range(3):
            answers.append((yield from client.ask(request(impatient, "/"), keep=True)).body)
            while not client._connection.ended:
                yield 0.001
        client.close()

    reactor.spawn(lane())
    reactor.run()
    assert answers == [b"hi"] * 3
