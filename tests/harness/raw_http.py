"""A request sent and an answer read at the level of the socket, so that a test sees resets, cut answers and silence."""

import http.client
import socket
import ssl
import urllib.parse


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def code(self):
        """S3's <Code>"""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def connect(url, ca_file=None, timeout=60):
    parts = urllib.parse.urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout)
    if parts.scheme == "https":
        sock = ssl.create_default_context(cafile=ca_file).wrap_socket(sock, server_hostname=parts.hostname)
    return sock


def request_bytes(method, url, headers, body=b""):
    parts = urllib.parse.urlsplit(url)
    target = parts.path + ("?" + parts.query if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def read_answer(sock, method="GET"):
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def send(method, url, headers, body=b"", ca_file=None):
    """One request on a connection of its own."""
    with connect(url, ca_file) as sock:
        sock.sendall(request_bytes(method, url, headers, body))
        return read_answer(sock, method)
