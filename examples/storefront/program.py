"""The storefront as a child process, and a websocket client, for `drive` and `check`."""
import base64
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time

READY_WITHIN = 30  # seconds; a sanitizer build on a busy machine is slow
STOP_WITHIN = 30


class Program:
    """Started on construction; .address is where it listens."""

    def __init__(self, path, arguments, log, **popen):
        self.log = log
        self.process = subprocess.Popen([path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                        text=True, **popen)
        self.address = None

    def wait_until_ready(self):
        """Its first line says where it listens. Errors: RuntimeError."""
        line = self.process.stdout.readline()
        match = re.search(r"listens on http://([^:/]+):(\d+)", line)
        if not match:
            raise RuntimeError(f"the storefront did not start (exit code {self.process.wait(READY_WITHIN)})")
        self.address = (match[1], int(match[2]))
        return self

    def request(self, method, path, body=None, headers=None, timeout=10):
        """One request on a connection of its own: status and JSON."""
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()

    def stop(self):
        """SIGTERM. Returns seconds until it was gone and its exit code; None if it had to be killed."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            code = None
        return time.monotonic() - began, code

    def kill(self):
        self.process.kill()
        self.process.wait()


def ask(connection, method, path, body=None, headers=None):
    headers = dict(headers or {})
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(body)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return answer.status, text.decode()
    return answer.status, json.loads(text or "null")


class WebSocket:
    """A client of /news: a handshake, then one JSON a message. Errors: ConnectionError if there is no handshake."""

    def __init__(self, address, path, receive_buffer=None, timeout=10):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.buffer = b""
        try:
            self.socket.connect(address)
            key = base64.b64encode(os.urandom(16)).decode()
            self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
            while b"\r\n\r\n" not in self.buffer:
                self._more()
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.status = int(head.split()[1])
            if self.status != 101:
                raise ConnectionError(f"the answer to the handshake is {self.status}")
        except BaseException:
            self.socket.close()
            raise

    def next(self):
        """The next message; None if the other side says goodbye. Errors: OSError if the connection breaks."""
        while True:
            kind, payload = self._frame()
            if kind == 1:
                return json.loads(payload)
            if kind == 9:
                self._send(10, payload)
            if kind == 8:
                self.goodbye = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else None
                return None

    def close(self):
        self.socket.close()

    def _frame(self):
        first, second = self._take(2)
        length = second & 127
        if length == 126:
            length, = struct.unpack(">H", self._take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self._take(8))
        return first & 15, self._take(length)

    def _send(self, kind, payload):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([128 | kind, 128 | len(payload)]) + mask + masked)

    def _take(self, count):
        while len(self.buffer) < count:
            self._more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def _more(self):
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionResetError("closed without a goodbye")
        self.buffer += got
