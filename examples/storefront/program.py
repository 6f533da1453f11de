"""The storefront as a child process, for `drive` and `check`."""
import http.client
import json
import re
import signal
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
    return answer.status, json.loads(answer.read() or "null")
