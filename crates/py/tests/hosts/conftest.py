"""Two hosts on this one: each a network namespace with an address of its own, and a cable that can be pulled.

All of it is within the namespaces that `cargo xtask test` runs this in, so nothing is left behind, and nothing else is reached.
"""

import contextlib
import os
import subprocess

import pytest
from processes import TOKENIZER, until

NETWORK = "10.213.9"
OWN = "KUN_TEST_OWN_NETWORK"
"""The variable that says that the network here is nobody else's."""


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


class Host:
    """A namespace `name` with the address `address`. The tests are the third at the switch."""

    def __init__(self, name, number):
        self.name, self.address, self.cable = name, f"{NETWORK}.{number}", f"to-{name}"
        self.within = ("ip", "netns", "exec", name)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", self.cable, "master", "switch")
        self.connect()
        run(*self.within, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run(*self.within, "ip", "link", "set", device, "up")

    def cut_off(self):
        run("ip", "link", "set", self.cable, "down")

    def connect(self):
        run("ip", "link", "set", self.cable, "up")


@pytest.fixture(scope="session")
def hosts():
    if not os.environ.get(TOKENIZER) or not os.environ.get(OWN):
        raise pytest.UsageError("this needs a network of its own and a tokenizer: run `cargo xtask test`")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "switch", "type", "bridge")
    run("ip", "link", "set", "switch", "up")
    run("ip", "address", "add", f"{NETWORK}.254/24", "dev", "switch")
    return Host("north", 1), Host("south", 2)


@pytest.fixture(scope="session")
def etcd(hosts, tmp_path_factory):
    """etcd on the first host, and the variable that tells the others."""
    folder = tmp_path_factory.mktemp("etcd")
    url = f"http://{hosts[0].address}:2379"
    urls = {f"ETCD_{which}_CLIENT_URLS": url for which in ("LISTEN", "ADVERTISE")}
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [*hosts[0].within, "etcd", "--data-dir", str(folder / "data")],
            env={**os.environ, **urls},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    with contextlib.ExitStack() as ends:
        ends.callback(child.wait)
        ends.callback(child.kill)
        until(lambda: b"ready to serve client requests" in (folder / "log").read_bytes(), "etcd is ready")
        yield {"ETCD_ENDPOINTS": url}
