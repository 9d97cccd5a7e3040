"""Labels and embeds a JSONL or Parquet file with a column `text`, on one host or many, into shards of Parquet.

    python label_and_embed.py reviews.jsonl labelled/ --hosts 4

Killed and started again, it goes on where it was.
"""

import argparse

import kun.ray

LABELS = ["positive", "negative", "neutral"]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("source", help="a .jsonl or .parquet file with a column text")
parser.add_argument("target", help="the folder for the shards")
parser.add_argument("--model", default="smollm2:135m")
parser.add_argument("--hosts", type=int, default=1, help="engines, one on each host")
parser.add_argument("--cpus", type=int, help="processors of each; without it all of a host's")
parser.add_argument("--shard-rows", type=int, default=256)
arguments = parser.parse_args()

work = kun.ray.Work(
    "text",
    answer="label",
    vector="vector",
    template="Is this text positive, negative or neutral? Answer with one word.\n\n{text}",
    params={"guided_choice": LABELS, "temperature": 0, "max_tokens": 8},
)
options = {"context": 1024, "memory": "1GiB"}
if arguments.cpus:
    options["threads"] = arguments.cpus
rows = kun.ray.run(
    arguments.source,
    arguments.target,
    work,
    model=arguments.model,
    options=options,
    hosts=arguments.hosts,
    cpus=arguments.cpus,
    shard_rows=arguments.shard_rows,
)
print(f"{rows} rows were computed")
