"""How fast `Engine.generate` answers many prompts: `python generate.py [MODEL] [PROMPTS] [TOKENS] [ROUNDS]`.

Prints the tokens a second of each round. `crates/kun/benches/generate.rs` asks the engine for the same without the package.
"""

import sys
import time

import kun

args = sys.argv[1:]
model = args[0] if args else "smollm2:135m"
prompts, tokens, rounds = (int(args[at]) if len(args) > at else default for at, default in ((1, 64), (2, 64), (3, 5)))
engine = kun.Engine(model, progress=False)
# The first one is not counted: buffers get their size in it.
for number in range(rounds + 1):
    texts = [f"Round {number}, story {prompt}: once upon a time" for prompt in range(prompts)]
    started = time.perf_counter()
    answers = engine.generate(texts, max_tokens=tokens, ignore_eos=True, temperature=0, loop_guard="recover", progress=False)
    seconds = time.perf_counter() - started
    generated = sum(answer.usage.completion_tokens for answer in answers)
    if number:
        print(f"{generated / seconds:.1f}", flush=True)
engine.close()
