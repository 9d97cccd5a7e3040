//! Many clients at once: nobody's answer depends on the others, nothing is lost, and nothing stays behind.
//!
//! `KUN_TEST_SCALE` multiplies how much is asked. Times are printed and not judged: the machine of a test has other work.

mod ask;
mod dice;

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use ask::{Ask, asks};
use dice::Dice;

use crate::kun::Scratch;
use crate::measure::{gauge, reset, resident_bytes, wait_for};
use crate::metrics::{self, open_files};
use crate::real;
use crate::server::{Reply, Server, request};

fn scaled(count: usize) -> usize {
    let scale = std::env::var("KUN_TEST_SCALE").ok().and_then(|text| text.parse::<f64>().ok());
    (count as f64 * scale.unwrap_or(1.0)) as usize
}

/// Has `workers` threads do `count` things, each as soon as one is free.
fn at_once(workers: usize, count: usize, act: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    act(index);
                }
            });
        }
    });
}

/// The middle and almost the longest of some times.
fn quantiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}, of {}", at(0.5), at(0.99), times.len())
}

/// What the clients of a server whose KV cache is far too small get, beside what each would have got alone.
fn under_pressure(pressed: &Server, alone: &Server, asks: &[Ask], workers: usize) {
    let answers: Vec<Mutex<Option<Result<Value, String>>>> = asks.iter().map(|_| Mutex::new(None)).collect();
    let times = Mutex::new(Vec::new());
    at_once(workers, asks.len(), |index| {
        let mut dice = Dice::new(index as u64);
        thread::sleep(Duration::from_millis(dice.within(0, 20)));
        let begun = Instant::now();
        let answer = asks[index].of(pressed, asks[index].stream);
        times.lock().expect("no thread panics with it").push(begun.elapsed());
        *answers[index].lock().expect("no thread panics with it") = Some(answer);
    });
    println!("under pressure: {}", quantiles(&mut times.lock().expect("no thread has it")));
    let mut failures = Vec::new();
    for (ask, answer) in asks.iter().zip(answers) {
        let answer = answer.into_inner().expect("no thread has it").expect("each was asked");
        let expect = ask.of(alone, false);
        if answer != expect || expect.is_err() {
            failures.push(format!("{ask:?}\n  got    {answer:?}\n  expect {expect:?}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} differ\n{}",
        failures.len(),
        asks.len(),
        failures[..failures.len().min(3)].join("\n")
    );
    let (preempted, cached) =
        (metrics::sum(pressed, "kun_preemptions_total"), metrics::sum(pressed, "kun_cached_tokens_total"));
    println!("{preempted} preemptions, {cached} tokens from the cache");
    assert!(preempted > 0.0 && cached > 0.0, "there was no pressure: {preempted} {cached}");
    assert_eq!(gauge(pressed, "kun_kv_pages_used"), 0.0);
}

#[test]
fn answers_under_pressure_are_those_of_requests_alone() {
    let pressed = Server::start(&["--ctx", "1024", "--kv-tokens", "1024"]);
    let alone = Server::start(&["--ctx", "1024", "--no-prefix-cache"]);
    under_pressure(&pressed, &alone, &asks(scaled(120), 1, 300), 40);
}

#[test]
fn answers_of_a_real_model_under_pressure_are_those_of_requests_alone() {
    let Some(path) = real::model() else { return };
    let path = path.to_str().expect("UTF-8");
    let memory: u64 = 2 << 30;
    let flags = ["--ctx", "384", "--kv-tokens", "384", "--memory", "2GiB"];
    let pressed = Server::with_models(Scratch::new(), &[path], &flags);
    let alone = Server::with_models(Scratch::new(), &[path], &["--ctx", "384", "--no-prefix-cache"]);
    under_pressure(&pressed, &alone, &asks(scaled(16), 2, 120), 16);
    let (resident, most) = (resident_bytes(pressed.pid()), memory as f64 * 1.05);
    println!("{resident} bytes of {memory}");
    assert!((resident as f64) < most, "{resident} bytes are more than {most}");
}

/// A stream that takes a while.
fn long_stream(number: usize, tokens: usize) -> Ask {
    let prompt = format!("{number} hello");
    let body =
        json!({"prompt": prompt, "max_tokens": tokens, "temperature": 1, "seed": number, "ignore_eos": true});
    Ask { path: "/v1/completions", body, stream: true }
}

#[test]
fn streams_of_128_clients_all_finish() {
    let server = Server::start(&[]);
    let times = Mutex::new(Vec::new());
    let begun = Instant::now();
    at_once(128, 128, |index| {
        let answer = long_stream(index, 100).of(&server, true).expect("it finishes");
        assert_eq!(answer[0]["finish_reason"], "length", "{answer}");
        times.lock().expect("no thread panics with it").push(begun.elapsed());
    });
    let mut times = times.into_inner().expect("no thread has it");
    println!("128 streams: {}", quantiles(&mut times));
    let (first, last) = (times[0], times[127]);
    // They share the machine: none waits for most of the others to be done.
    assert!(last < first * 8 + Duration::from_secs(1), "the first took {first:?} and the last {last:?}");
}

#[test]
fn beyond_the_queue_clients_are_told_when_to_come_again_and_nothing_taken_is_lost() {
    const RUNNING: usize = 8;
    const WAITING: usize = 8;
    let flags = ["--max-sequences", &RUNNING.to_string(), "--max-queue", &WAITING.to_string()];
    let server = Server::start(&flags);
    let (refused, admitted) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let clients = 4 * (RUNNING + WAITING);
    at_once(clients, scaled(clients * 3), |index| {
        let ask = long_stream(index, 200);
        let stream = index % 2 == 0;
        let begun = Instant::now();
        let reply = ask.send(&server, stream);
        let took = begun.elapsed();
        if reply.status == 429 {
            let error = &reply.json(429)["error"];
            assert_eq!(
                (&error["type"], &error["code"]),
                (&json!("rate_limit_error"), &json!("queue_full")),
                "{error}"
            );
            let after = reply.header("retry-after").and_then(|after| after.parse::<u64>().ok());
            assert!(after.is_some_and(|after| (1..3600).contains(&after)), "{:?}", reply.headers);
            refused.lock().expect("no thread panics with it").push(took);
        } else {
            let answer = ask::answer(&reply, stream).expect("what is admitted finishes");
            assert_eq!(answer[0]["finish_reason"], "length", "{answer}");
            admitted.lock().expect("no thread panics with it").push(took);
        }
    });
    let (mut refused, mut admitted) =
        (refused.into_inner().expect("free"), admitted.into_inner().expect("free"));
    println!("admitted: {}\nrefused: {}", quantiles(&mut admitted), quantiles(&mut refused));
    assert!(
        !refused.is_empty() && admitted.len() >= RUNNING + WAITING,
        "{} {}",
        refused.len(),
        admitted.len()
    );
    assert_eq!(server.post("/v1/completions", &json!({"prompt": "a"})).status, 200);
}

#[test]
fn clients_that_go_at_random_moments_leave_nothing_behind() {
    let server = Server::start(&[]);
    let go = |index: usize| {
        let mut dice = Dice::new(index as u64 + 1000);
        let ask = &asks(1, index as u64, 400)[0];
        let text = ask.text(dice.once_in(2));
        let mut connection = server.connect();
        // Some go before they have said all.
        let sent = if dice.once_in(5) { dice.within(0, text.len() as u64) as usize } else { text.len() };
        connection.write_all(&text.as_bytes()[..sent]).expect("it reads");
        if dice.once_in(3) {
            let mut buffer = vec![0; dice.within(1, 3000) as usize];
            connection.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
            let _ = connection.read(&mut buffer);
        }
        thread::sleep(Duration::from_micros(dice.within(0, 60_000)));
        if dice.once_in(2) { reset(connection) } else { drop(connection) }
    };
    // What a process takes once is taken by then.
    at_once(16, 32, go);
    let settled = || gauge(&server, "kun_kv_pages_used") + gauge(&server, "kun_requests_running") == 0.0;
    wait_for(Duration::from_secs(10), settled).expect("the first ones are gone");
    let (files, memory) = (open_files(&server), resident_bytes(server.pid()));
    at_once(16, scaled(200), go);
    let freed = wait_for(Duration::from_secs(10), settled).expect("all pages are free again");
    let closed = wait_for(Duration::from_secs(10), || open_files(&server) <= files);
    let grown = resident_bytes(server.pid());
    println!("pages free after {freed:?}, files closed after {closed:?}, {memory} bytes became {grown}");
    assert!(closed.is_some(), "{} files are open, {files} before", open_files(&server));
    assert!(grown as f64 <= memory as f64 * 1.02 + 8e6, "{memory} bytes became {grown}");
    assert_eq!(gauge(&server, "kun_requests_waiting"), 0.0);
}

#[test]
fn a_signal_to_end_cuts_no_stream() {
    for round in 0..scaled(3).max(1) {
        let mut server = Server::start(&["--drain-timeout", "30s"]);
        let streams = 12_usize;
        let mut connections = Vec::new();
        for number in 0..streams {
            let mut connection = server.connect();
            connection.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
            connection.write_all(long_stream(number, 300).text(number % 3 > 0).as_bytes()).expect("it reads");
            connections.push((connection, number % 3 > 0));
        }
        wait_for(Duration::from_secs(10), || gauge(&server, "kun_requests_running") >= streams as f64);
        thread::sleep(Duration::from_millis(Dice::new(round as u64).within(0, 50)));
        let begun = Instant::now();
        server.signal(Signal::SIGTERM);
        for (mut connection, stream) in connections {
            let reply = Reply::read(&mut connection);
            let answer = ask::answer(&reply, stream).expect("it finishes");
            assert_eq!(answer[0]["finish_reason"], "length", "round {round}: {answer}");
        }
        assert_eq!(server.ends_within(Duration::from_secs(30)), Some(0), "{}", server.log());
        println!("round {round}: drained in {:?}", begun.elapsed());
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once_and_no_drain_outlasts_its_time() {
    // Each answer of 1,000 tokens; 64 of them take longer than a second.
    let begin = |server: &Server| {
        let text = |number| {
            request("/v1/completions", &json!({"prompt": format!("{number}"), "max_tokens": 4000, "n": 16, "ignore_eos": true, "stream": true}).to_string(), &[])
        };
        let mut connections = Vec::new();
        for number in 0..4 {
            let mut connection = server.connect();
            connection.write_all(text(number).as_bytes()).expect("it reads");
            connections.push(connection);
        }
        wait_for(Duration::from_secs(10), || gauge(server, "kun_requests_running") >= 4.0).expect("they run");
        connections
    };
    let mut server = Server::start(&[]);
    let connections = begin(&server);
    server.signal(Signal::SIGTERM);
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    server.signal(Signal::SIGTERM);
    let code = server.ends_within(Duration::from_secs(5));
    println!("the second signal took {:?}", begun.elapsed());
    assert!(code.is_some(), "it goes on: {}", server.log());
    drop(connections);

    let mut server = Server::start(&["--drain-timeout", "1s"]);
    let connections = begin(&server);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ends_within(Duration::from_secs(10)), Some(0), "{}", server.log());
    drop(connections);
}

#[test]
fn a_server_stays_within_its_memory_under_load() {
    let memory: u64 = 256 << 20;
    let server = Server::start(&["--memory", "256MiB", "--ctx", "1024"]);
    let most = Mutex::new(0);
    let asks = asks(scaled(150), 3, 64);
    at_once(48, asks.len(), |index| {
        // Large bodies, long prompts and odd ones among them.
        if index % 10 == 0 {
            let body = json!({"prompt": "x".repeat(4 << 20), "max_tokens": 1});
            let status = server.post("/v1/completions", &body).status;
            assert!([400, 429, 503].contains(&status), "{status}");
        }
        let answer = asks[index].of(&server, asks[index].stream);
        assert!(answer.is_ok(), "{answer:?}");
        let mut most = most.lock().expect("no thread panics with it");
        *most = resident_bytes(server.pid()).max(*most);
    });
    let most = most.into_inner().expect("no thread has it");
    println!("{most} bytes of {memory}");
    assert!(most as f64 <= memory as f64 * 1.05, "{most} bytes are more than {memory}");
}
