"""How an engine lives: threads, asyncio, Ctrl-C, memory, its end."""

import asyncio
import concurrent.futures
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import kun

ENDLESS = {"ignore_eos": True, "temperature": 0, "max_tokens": 4000, "loop_guard": "off"}


def test_many_threads_share_an_engine(tiny):
    expected = tiny.generate(["hello"], max_tokens=8, temperature=0)[0].text

    def ask(number):
        if number % 2:
            return tiny.generate(["hello"], max_tokens=8, temperature=0)[0].text
        return "".join(piece.text for piece in tiny.stream("hello", max_tokens=8, temperature=0))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(200))) == {expected}


def test_a_loop_of_asyncio_runs_many_answers_and_is_not_held_up(tiny):
    ids = tiny.tokenize("hello")

    async def tokens(max_tokens):
        request = {"token_ids": ids, **ENDLESS, "max_tokens": max_tokens}
        return [token async for piece in tiny.generate_tokens(request) for token in piece["token_ids"]]

    async def text():
        return "".join([piece.text async for piece in tiny.stream("hello", max_tokens=9, temperature=0)])

    async def main():
        answers = await asyncio.gather(*(tokens(20 + number) for number in range(40)), text(), text())
        assert [len(answer) for answer in answers[:40]] == list(range(20, 60))
        assert answers[-1] == answers[-2] == tiny.generate(["hello"], max_tokens=9, temperature=0)[0].text
        chat = await tiny.achat("hi", max_tokens=5)
        assert chat.usage.completion_tokens <= 5
        assert len(await tiny.agenerate(["a"] * 50, max_tokens=3, ignore_eos=True)) == 50
        with pytest.raises(kun.RequestError):
            await tiny.achat("hi", temperature=9)
        with pytest.raises(kun.RequestError):
            async for _ in tiny.stream("hi", temperature=9):
                pass

    asyncio.run(main())


def test_loops_of_several_threads_share_an_engine(tiny):
    async def tokens(max_tokens):
        request = {"token_ids": [97], **ENDLESS, "max_tokens": max_tokens}
        return sum([len(piece["token_ids"]) async for piece in tiny.generate_tokens(request)])

    async def main():
        return await asyncio.gather(*(tokens(20 + number) for number in range(10)))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for counts in pool.map(lambda _: asyncio.run(main()), range(8)):
            assert counts == list(range(20, 30))


def test_a_reader_that_is_late_has_its_pieces_at_once(tiny):
    request = {"token_ids": [97], **ENDLESS, "max_tokens": 50, "logprobs": 1}
    one_by_one = list(tiny.generate_tokens(request))
    late = tiny.generate_tokens(request)
    wait_until(lambda: tiny.stats()["open"] == 0)
    # The task that takes them over may be a moment behind the engine.
    time.sleep(0.2)
    [piece] = late
    for part in ("token_ids", "logprobs"):
        assert piece[part] == [item for earlier in one_by_one for item in earlier[part]] and len(piece[part]) == 50
    assert piece["finish_reason"] == "length" and piece["usage"]["completion_tokens"] == 50


def test_a_task_that_is_cancelled_leaves_nothing_running(tiny):
    async def main():
        async def read():
            async for _ in tiny.generate_tokens({"token_ids": [97], **ENDLESS}):
                pass

        tasks = [asyncio.ensure_future(read()), asyncio.ensure_future(tiny.agenerate(["b"], **ENDLESS))]
        while tiny.stats()["running"] < 2:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended] == [asyncio.CancelledError] * 2

    cancelled = tiny.stats()["cancelled"]
    asyncio.run(main())
    gc.collect()
    wait_until(lambda: tiny.stats()["open"] == 0)
    assert tiny.stats()["cancelled"] == cancelled + 2


def test_others_run_while_one_waits(tiny):
    """The interpreter is not held: a thread counts while another one is in `generate`."""
    counted, done = 0, threading.Event()

    def wait():
        tiny.generate(["a"] * 8, **ENDLESS)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not done.is_set():
        counted += 1
    thread.join()
    assert counted > 1000


@pytest.mark.parametrize("what", ["generate", "tokens", "stream"])
def test_ctrl_c_ends_a_wait_and_what_was_waited_for(tiny, what):
    cancelled = tiny.stats()["cancelled"]
    main = threading.main_thread().ident

    def interrupt():
        wait_until(lambda: tiny.stats()["running"] > 0)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        if what == "generate":
            tiny.generate(["a"] * 64, **ENDLESS)
        elif what == "tokens":
            # Time enough for a signal: each of them is long.
            while True:
                for _ in tiny.generate_tokens({"token_ids": [97], **ENDLESS}):
                    pass
        else:
            while True:
                for _ in tiny.stream("a", **ENDLESS):
                    pass
    thread.join()
    gc.collect()
    wait_until(lambda: tiny.stats()["open"] == 0)
    assert what != "generate" or tiny.stats()["cancelled"] > cancelled


def test_ten_thousand_calls_leave_nothing_behind(tiny):
    request = {"token_ids": [97, 98], "max_tokens": 1, "temperature": 0}

    def calls(count):
        for number in range(count):
            match number % 4:
                case 0:
                    list(tiny.generate_tokens(request))
                case 1:
                    tiny.generate_tokens(request)
                case 2:
                    tiny.generate(["ab"], max_tokens=1)
                case 3:
                    list(tiny.stream("ab", max_tokens=1))
        wait_until(lambda: tiny.stats()["open"] == 0)
        gc.collect()
        return resident_bytes(), len(gc.get_objects()), threads()

    before = calls(2000)
    after = calls(10000)
    # A kilobyte a call would be ten of them.
    assert after[0] - before[0] < 3 << 20, (before, after)
    assert after[1] - before[1] < 500 and after[2] == before[2], (before, after)


def test_the_end_is_told_to_those_who_wait_and_to_those_who_come(tiny_path):
    engine = kun.Engine(tiny_path, memory="256MiB", threads=1, context=4096)
    stream = engine.generate_tokens({"token_ids": [97], **ENDLESS})
    next(stream)
    threading.Timer(0.05, engine.close).start()
    with pytest.raises(kun.Error):
        while True:
            engine.generate(["a"] * 20, **ENDLESS)
    assert [piece["finish_reason"] for piece in stream][-1] in ("cancelled", "length")
    engine.close()
    for call in (
        lambda: engine.generate(["a"]),
        lambda: engine.stats(),
        lambda: engine.stream("a"),
        lambda: engine.generate_tokens({"token_ids": [97]}),
    ):
        with pytest.raises(kun.Closed):
            call()


def test_a_process_that_forgets_its_engine_ends_all_the_same(tiny_path):
    program = (
        "import sys, kun\n"
        "engine = kun.Engine(sys.argv[1], memory='256MiB', threads=1, context=4096)\n"
        "subscription = engine.kv_events(len)\n"
        "stream = engine.generate_tokens({'token_ids': [97], 'ignore_eos': True, 'max_tokens': 4000})\n"
        "print(next(stream)['finish_reason'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tiny_path)], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout.split("\n")[-2], ended.stderr) == (0, "None", "")


def test_a_fork_has_no_engine(tiny):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            tiny.generate(["a"])
        except kun.RequestError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert b"forked" in os.read(read, 1000)


def test_what_is_cached_is_told_in_order(tiny_path):
    with kun.Engine(tiny_path, memory="256MiB", threads=1, context=1024) as engine:
        page = engine.model_info()["page_tokens"]
        engine.generate([[97] * 100], max_tokens=1)
        events, more = [], threading.Event()

        def told(new):
            events.extend(new)
            more.set()

        subscription = engine.kv_events(told)
        assert more.wait(30)
        # What was there before comes first, parents before their children.
        assert [event["type"] for event in events] == ["stored"] * 3
        assert events[0]["parent"] is None and events[0]["token_ids"] == [97] * page
        assert [event["parent"] for event in events[1:]] == [event["hash"] for event in events[:2]]
        more.clear()
        engine.generate([[97] * page * 2 + [98] * page * 2], max_tokens=1)
        assert more.wait(30)
        wait_until(lambda: len(events) == 5)
        assert events[3]["parent"] == events[1]["hash"] and events[3]["token_ids"] == [98] * page
        subscription.close()


def test_an_engine_is_what_it_was_asked_to_be(tiny_path):
    told = []
    with kun.Engine(
        tiny_path,
        memory=400 << 20,
        threads=1,
        context=128,
        sequences=3,
        queue=5,
        prefix_cache=False,
        loop_guard="off",
        progress=lambda *progress: told.append(progress),
    ) as engine:
        info = engine.model_info()
        assert (info["context_tokens"], info["sequences"], info["queue"]) == (128, 3, 5)
        assert (info["name"], info["architecture"], info["bos_id"], info["eos_ids"]) == ("tiny", "llama", 260, [261])
        assert told[-1] == ("loading", 1.0, 1.0)
        engine.generate(["a" * 70], max_tokens=1)
        engine.generate(["a" * 70], max_tokens=1)
        assert engine.stats()["prefix_tokens_hit"] == 0


def test_a_full_queue_is_told_and_a_list_waits_for_it(tiny_path):
    with kun.Engine(tiny_path, memory="256MiB", threads=1, context=4096, sequences=1, queue=1) as engine:
        streams = []

        def chat_to_a_full_queue():
            with pytest.raises(kun.QueueFull):
                while True:
                    streams.append(engine.generate_tokens({"token_ids": [97], **ENDLESS}))
            engine.chat("a", max_tokens=1)

        with pytest.raises(kun.QueueFull):
            # What waits may begin just then, and there is room again.
            for _ in range(20):
                chat_to_a_full_queue()
        assert len(engine.generate(["a"] * 20, max_tokens=1, ignore_eos=True)) == 20


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"model": "/nowhere/x.gguf"}, kun.ModelError, "/nowhere/x.gguf"),
        ({"model": "no-such-model"}, kun.Error, "no-such-model"),
        ({"memory": "much"}, kun.RequestError, "memory"),
        ({"threads": 0}, kun.RequestError, "threads"),
        ({"memory": "1MiB"}, kun.OutOfMemory, "budget"),
    ],
)
def test_what_cannot_be_opened_says_why(tiny_path, arguments, error, part):
    with pytest.raises(error, match=part):
        kun.Engine(**{"model": tiny_path, "context": 64, **arguments})


def test_what_progress_raises_ends_the_opening(tiny_path):
    def told(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kun.Engine(tiny_path, context=64, memory="256MiB", progress=told)


def wait_until(holds, seconds=30):
    """What another thread will have done shortly."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.001)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def threads():
    return len(os.listdir("/proc/self/task"))
