"""A cluster on this host: Dynamo's frontend and workers, each a process of its own, that find each other by files.

Every process is ended by its id, and has a log that a failure shows. `tests/hosts` has them on several hosts.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

MODEL = "smollm2:135m"
SERVED = "smollm2"
TOKENIZER = "KUN_TEST_TOKENIZER"
"""The variable that says where the model's tokenizer is, as `kun export-hf` writes it."""

READY_SECONDS = 30


def until(condition, what, seconds=READY_SECONDS):
    """Waits for a condition, and gives what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """`python -m kun.dynamo` with these arguments, on this host or within another one's namespace."""

    def __init__(self, name, folder, arguments, variables, within=()):
        self.name, self.log = name, folder / f"{name}.log"
        environment = {**os.environ, "DYN_FILE_KV": str(folder / "discovery"), "DYN_SDK_DISABLE_ANSI_LOGGING": "1"}
        discovery = () if "--discovery" in arguments else ("--discovery", "file")
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [*within, sys.executable, "-m", "kun.dynamo", *arguments, *discovery],
                env={**environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def runs(self):
        return self.child.poll() is None

    def end(self, number=signal.SIGTERM, seconds=30):
        """Sends a signal, and gives the exit code."""
        if self.runs:
            self.child.send_signal(number)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.name} did not end within {seconds} s") from None

    def tail(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(line[:400] for line in lines if " request " not in line)[-3000:]


class Worker(Process):
    def __init__(self, name, folder, drain_seconds, more=(), variables=None, within=()):
        arguments = ["--model", MODEL, "--model-path", os.environ[TOKENIZER], "--served-name", SERVED, "--threads", "1"]
        arguments += ["--drain-seconds", str(drain_seconds), "--context", "2048", "--memory", "1GiB", *more]
        variables = {"DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS": "0.2", **(variables or {})}
        super().__init__(name, folder, arguments, variables, within)

    def get(self, path):
        address = re.search(r"System HTTP listener started.* address=(\S+)", self.log.read_text(errors="replace"))
        if address is None:
            raise ConnectionError("it does not listen yet")
        with urllib.request.urlopen(f"http://{address[1]}{path}", timeout=10) as answer:
            return answer.read().decode()

    def metrics(self):
        """The worker's numbers by their names, whatever their labels."""
        text = self.get("/metrics")
        return {name: float(value) for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.M)}

    @property
    def is_ready(self):
        with contextlib.suppress(OSError):
            return bool(self.get("/health"))
        assert self.runs, f"{self.name} ended:\n{self.tail()}"
        return False


class Frontend(Process):
    def __init__(self, folder, host="127.0.0.1", more=(), variables=None, within=()):
        port = free_port()
        self.url = f"http://{host}:{port}"
        arguments = ["frontend", "--host", host, "--port", str(port), *more]
        super().__init__("frontend", folder, arguments, variables or {}, within)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read().decode()

    def post(self, path, body):
        """Status and answer."""
        try:
            with urllib.request.urlopen(self.request(path, body), timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def complete(self, prompt, **more):
        status, answer = self.post("/v1/completions", {"prompt": prompt, **more})
        assert status == 200, answer
        return answer

    def pieces(self, prompt, **more):
        """The text of an answer as it comes."""
        body = {"prompt": prompt, "stream": True, **more}
        with urllib.request.urlopen(self.request("/v1/completions", body), timeout=120) as answer:
            for line in answer:
                data = line.decode().strip().removeprefix("data: ")
                if data.startswith("{"):
                    event = json.loads(data)
                    assert "error" not in event, event
                    for choice in event["choices"]:
                        yield choice["text"], choice.get("finish_reason")

    def request(self, path, body):
        body = json.dumps({"model": SERVED, **body}).encode()
        return urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})

class Cluster:
    def __init__(self, folder):
        self.folder, self.workers, self.started = folder, [], 0
        self.frontend = Frontend(folder)

    def processes(self):
        return [self.frontend, *self.workers]

    def close(self):
        for process in self.processes():
            process.end(signal.SIGKILL)

    def add(self, drain_seconds=20, more=()):
        """One more worker, which is known to the frontend when this returns."""
        self.started += 1
        worker = Worker(f"worker-{self.started}", self.folder, drain_seconds, more)
        self.workers.append(worker)
        until(lambda: worker.is_ready, f"{worker.name} is ready")
        return worker

    def have(self, count):
        """Has this many workers, and the frontend know them."""
        for worker in [w for w in self.workers if not w.runs]:
            self.workers.remove(worker)
        while len(self.workers) > count:
            self.workers.pop().end()
        while len(self.workers) < count:
            self.add()
        # One that was killed is known until its lease is over.
        known = self.folder / "discovery" / "v1" / "instances"
        until(lambda: len(list(known.glob("*generate*"))) == count, f"{count} workers are known")
        if count:
            until(lambda: SERVED in self.frontend.get("/v1/models"), "the frontend knows the model")

    def busy(self):
        """The workers that work on something."""
        return [worker for worker in self.workers if worker.runs and worker.metrics()["kun_open"]]
