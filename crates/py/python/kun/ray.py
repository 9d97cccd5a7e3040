"""Large data sets with Ray Data: one engine on each host, and output in shards that a second run does not compute again.

`map_batches` is for those who have a `ray.data.Dataset`. `run` goes from files to files: the input is cut into shards by
row numbers, each shard becomes one Parquet file under its final name at once, and a shard whose file is there is done. So a
run that was killed is started again with the same arguments, and every row is in the output exactly once. Input and output
are on a file system that all hosts see.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import engine as kun_engine
from . import errors

__all__ = ["Work", "map_batches", "run"]


class Work:
    """What is done with each row: a continuation or an answer of `column` into `answer`, a vector into `vector`.

    `answer` or `vector` None leaves that out. With `template` the prompt is `template.format(**row)` instead of the
    column itself; with `chat` it is said by the user of a chat. `params` are those of `Engine.generate` or
    `Engine.chat`. A row that fails has its reason in `error`; the others are answered.
    """

    def __init__(
        self,
        column: str = "text",
        *,
        answer: str | None = "answer",
        vector: str | None = None,
        template: str | None = None,
        chat: bool = True,
        params: dict[str, Any] | None = None,
    ) -> None:
        if answer is None and vector is None:
            raise errors.RequestError("there is nothing to do: name answer, vector or both", "answer")
        self.column, self.answer, self.vector = column, answer, vector
        self.template, self.chat, self.params = template, chat, params or {}

    def __call__(self, engine: kun_engine.Engine, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows with what was added to them."""
        out = [dict(row) for row in rows]
        if self.answer is not None:
            prompts = [self.template.format(**row) if self.template else row[self.column] for row in rows]
            if self.chat:
                prompts = [engine.tokenize(engine.apply_template(prompt)) for prompt in prompts]
            answers = engine.generate(prompts, on_error="return", progress=False, **self.params)
            for row, answer in zip(out, answers, strict=True):
                failed = isinstance(answer, errors.Error)
                row[self.answer] = None if failed else answer.text
                row["error"] = str(answer) if failed else None
        if self.vector is not None:
            vectors = engine.embed([row[self.column] for row in rows])
            for row, vector in zip(out, vectors, strict=True):
                row[self.vector] = vector.tolist()
        return out


class _Worker:
    """An engine of one actor."""

    def __init__(self, model: str, options: dict[str, Any], work: Work) -> None:
        self.engine = kun_engine.Engine(model, progress=False, **options)
        self.work = work

    def __call__(self, batch: Any) -> Any:
        import pyarrow

        return pyarrow.Table.from_pylist(self.work(self.engine, batch.to_pylist()))


class _ShardWorker(_Worker):
    """One that reads its rows and writes them."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import pyarrow
        import pyarrow.parquet

        rows = 0
        for source, target, begin, end in zip(
            batch["source"], batch["target"], batch["begin"], batch["end"], strict=True
        ):
            table = _read(Path(str(source))).slice(int(begin), int(end) - int(begin))
            done = pyarrow.Table.from_pylist(self.work(self.engine, table.to_pylist()))
            # Under its final name it is whole, whoever is killed when.
            part = Path(f"{target}.{uuid.uuid4().hex}.part")
            pyarrow.parquet.write_table(done, part)
            part.replace(str(target))
            rows += done.num_rows
        return {"rows": [rows]}


def map_batches(
    dataset: Any,
    work: Work,
    *,
    model: str = "smollm2:135m",
    options: dict[str, Any] | None = None,
    hosts: int = 1,
    cpus: int | None = None,
    batch_size: int = 128,
) -> Any:
    """A data set with what `work` adds to each row, computed when it is read.

    Each of `hosts` actors has one engine, which is opened with `options`, and asks Ray for `cpus` processors: without it
    as many as this machine has, so that there is one engine on each host.
    """
    return dataset.map_batches(
        _Worker,
        fn_constructor_args=(model, options or {}, work),
        batch_format="pyarrow",
        batch_size=batch_size,
        concurrency=hosts,
        num_cpus=cpus or os.cpu_count(),
    )


def run(
    source: str | Path,
    target: str | Path,
    work: Work,
    *,
    model: str = "smollm2:135m",
    options: dict[str, Any] | None = None,
    hosts: int = 1,
    cpus: int | None = None,
    shard_rows: int = 256,
) -> int:
    """Does `work` for each row of a JSONL or Parquet file, and writes shards of Parquet into the folder `target`.

    Started again with the same `source` and `shard_rows` it goes on where it was killed. Gives how many rows were
    computed by this run. `hosts`, `cpus` and `options` are those of `map_batches`.
    """
    import ray.data

    source, target = Path(source).resolve(), Path(target).resolve()
    target.mkdir(parents=True, exist_ok=True)
    for part in target.glob("*.part"):
        part.unlink()
    total = _read(source).num_rows
    plan = [
        {
            "source": str(source),
            "target": str(target / f"shard-{number:06}.parquet"),
            "begin": begin,
            "end": min(begin + shard_rows, total),
        }
        for number, begin in enumerate(range(0, total, shard_rows))
    ]
    plan = [shard for shard in plan if not Path(shard["target"]).exists()]
    if not plan:
        return 0
    done = ray.data.from_items(plan, override_num_blocks=len(plan)).map_batches(
        _ShardWorker,
        fn_constructor_args=(model, options or {}, work),
        batch_size=1,
        concurrency=min(hosts, len(plan)),
        num_cpus=cpus or os.cpu_count(),
    )
    return sum(row["rows"] for row in done.iter_rows())


def _read(path: Path) -> Any:
    """A file as a table, in the order of its rows."""
    import pyarrow.json
    import pyarrow.parquet

    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path)
    if path.suffix in (".jsonl", ".ndjson", ".json"):
        return pyarrow.json.read_json(path)
    raise errors.RequestError(f"{path.name}: a .jsonl or .parquet file is wanted", "source")
