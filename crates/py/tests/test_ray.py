"""Ray Data: every row exactly once, though the run is killed half-way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest

import kun.ray

ROWS = 2000
PROGRAM = """
import sys
import ray
import kun.ray

source, target, model, shared = sys.argv[1:]
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=shared, object_store_memory=100 << 20)
work = kun.ray.Work("text", answer="answer", vector="vector", chat=False,
                    params={"max_tokens": 12, "temperature": 0, "ignore_eos": True})
options = {"threads": 1, "context": 256, "memory": "256MiB"}
print(kun.ray.run(source, target, work, model=model, options=options, hosts=2, cpus=1, shard_rows=50))
"""


def test_a_run_that_was_killed_goes_on_and_has_every_row_once(tiny, tiny_path, tmp_path):
    source, target = tmp_path / "rows.jsonl", tmp_path / "out"
    rows = [{"number": number, "text": f"row {number}"} for number in range(ROWS)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # A short path: Ray puts sockets there.
    shared = Path(f"/tmp/kun-ray-{os.getpid()}")
    command = [sys.executable, "-c", PROGRAM, *map(str, (source, target, tiny_path, shared))]
    first = subprocess.Popen(command, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while len(list(target.glob("shard-*.parquet"))) < 10:
            assert first.poll() is None and time.monotonic() < end, "it does not get to a quarter"
            time.sleep(0.005)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = {path.name: path.stat().st_mtime_ns for path in target.glob("shard-*.parquet")}
    assert 10 <= len(before) < ROWS // 50
    second = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert second.returncode == 0, second.stderr
    computed = int(second.stdout.split()[-1])
    # What was being written when the first one ended may be there by now as well.
    assert 0 < computed <= ROWS - 50 * len(before)
    table = pyarrow.parquet.read_table(target).sort_by("number")
    assert table.column("number").to_pylist() == list(range(ROWS))
    assert set(table.column("error").to_pylist()) == {None}
    assert all(path.stat().st_mtime_ns == before.get(path.name, path.stat().st_mtime_ns) for path in target.iterdir())
    expected = tiny.generate(["row 7", "row 1999"], max_tokens=12, temperature=0, ignore_eos=True)
    answers = table.column("answer").to_pylist()
    assert [answers[7], answers[1999]] == [answer.text for answer in expected]
    assert len(table.column("vector")[0].as_py()) == 32


def test_work_answers_rows_and_says_which_failed(tiny):
    work = kun.ray.Work("text", template="<{text}>", chat=False, params={"max_tokens": 3, "temperature": 0})
    out = work(tiny, [{"text": "a", "kept": 1}, {"text": "b" * 9000, "kept": 2}])
    assert out[0] == {"text": "a", "kept": 1, "answer": tiny.generate(["<a>"], max_tokens=3, temperature=0)[0].text, "error": None}
    assert out[1]["answer"] is None and "context" in out[1]["error"] and out[1]["kept"] == 2
    with pytest.raises(kun.RequestError):
        kun.ray.Work("text", answer=None)
    with pytest.raises(kun.RequestError, match="wanted"):
        kun.ray.run("rows.csv", "out", work)
