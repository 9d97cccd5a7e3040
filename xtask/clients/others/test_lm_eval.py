"""lm-eval's `local-completions`, whose tokenizer is the server's: log-likelihoods, answers and perplexity."""

import json
import math

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

CAPITALS = [
    ("France", "Paris"),
    ("Italy", "Rome"),
    ("Germany", "Berlin"),
    ("Spain", "Madrid"),
    ("Japan", "Tokyo"),
    ("China", "Beijing"),
    ("Russia", "Moscow"),
    ("England", "London"),
]
TASKS = {
    "choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "The capital of {{country}} is",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": 0,
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc"}],
    },
    "answer": {
        "output_type": "generate_until",
        "doc_to_text": "Q: What is the capital of {{country}}?\nA: The capital of {{country}} is",
        "doc_to_target": " {{choices[0]}}",
        "generation_kwargs": {"until": [".", "\n"], "max_gen_toks": 8, "temperature": 0},
        "metric_list": [{"metric": "exact_match"}],
    },
    "perplexity": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "The capital of {{country}} is {{choices[0]}}.",
        "metric_list": [{"metric": "word_perplexity"}],
    },
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"country": country, "choices": [capital] + [CAPITALS[(at + step) % 8][1] for step in (1, 2, 3)]}
        for at, (country, capital) in enumerate(CAPITALS)
    ]
    (folder / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "capitals.jsonl")}}}
    # YAML has JSON within it.
    for name, task in TASKS.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, "test_split": "test", **data, **task}))
    return TaskManager(include_path=str(folder), include_defaults=False)


def test_its_tasks_run(url, model, tasks):
    arguments = f"base_url={url}/v1/completions,model={model},tokenizer_backend=remote,num_concurrent=4"
    told = simple_evaluate(
        model="local-completions", model_args=arguments, tasks=list(TASKS), task_manager=tasks, bootstrap_iters=0
    )
    results = told["results"]
    # The model knows them: it would be one in four by chance.
    assert results["choice"]["acc,none"] > 0.8
    assert 0 <= results["answer"]["exact_match,none"] <= 1
    perplexity = results["perplexity"]["word_perplexity,none"]
    assert math.isfinite(perplexity) and 2 < perplexity < 10_000
