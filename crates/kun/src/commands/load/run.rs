//! A run: threads that carry a plan out, one a stream, and the collecting of what they measure.
//!
//! Nobody waits for a thread. On Ctrl-C the run is what was collected so far, and the process's end ends the threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::answer::{self, Clock, Record};
use super::client::Server;
use super::fault::Kind;
use super::plan::{Arrivals, Pace, Plan};
use super::requests::Requests;
use crate::failure::{Failure, Outcome, reason};
use crate::interrupt::Interrupts;

/// Enough for TLS and JSON; of it, a stream touches little.
const STACK_BYTES: usize = 512 << 10;
/// How soon Ctrl-C and the end of sending are noticed.
const TICK: Duration = Duration::from_millis(50);
/// Times between chunks that are remembered in all: 400 MB.
const GAPS_MAX: usize = 100_000_000;
/// After a failure, a stream of a closed loop waits as long as the server asks for, within these bounds.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) records: Vec<Record>,
    /// Failures of each kind: how many, and the message of the first.
    pub(super) failures: BTreeMap<Kind, (usize, String)>,
    pub(super) sent: usize,
    /// Ctrl-C ended it.
    pub(super) is_interrupted: bool,
    /// Why it was not all that was planned.
    pub(super) remark: Option<String>,
}

/// How far a run is, for a progress bar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) seconds: f64,
    pub(super) ended: usize,
    pub(super) failed: usize,
    pub(super) running: usize,
}

/// What the threads share.
struct Shared {
    server: Arc<Server>,
    requests: Arc<Requests>,
    plan: Plan,
    clock: Clock,
    arrivals: Mutex<Arrivals>,
    /// Threads that were started.
    threads: Mutex<usize>,
    running: AtomicUsize,
    sent: AtomicUsize,
    /// Nothing more is to be sent.
    is_over: AtomicBool,
    /// Why no more threads could be started.
    no_more_threads: Mutex<Option<String>>,
}

/// Carries the plan out. `tell` hears about the progress several times a second.
pub(super) fn run(
    server: &Arc<Server>,
    requests: &Arc<Requests>,
    plan: &Plan,
    interrupts: &Interrupts,
    mut tell: impl FnMut(Progress),
) -> Outcome<Run> {
    let shared = Arc::new(Shared {
        server: Arc::clone(server),
        requests: Arc::clone(requests),
        plan: *plan,
        clock: Clock::start(),
        arrivals: Mutex::new(plan.arrivals()),
        threads: Mutex::new(0),
        running: AtomicUsize::new(0),
        sent: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        no_more_threads: Mutex::new(None),
    });
    let (sender, receiver) = mpsc::channel();
    let at_once = match plan.pace {
        Pace::Closed { streams } => streams.min(plan.requests as usize),
        Pace::Open { .. } => 1,
    };
    for _ in 0..at_once {
        shared.start_thread(&mut lock(&shared.threads), &sender);
    }
    if let (0, Some(why)) = (*lock(&shared.threads), &*lock(&shared.no_more_threads)) {
        return Err(Failure::memory(why.clone()));
    }
    // From now on only threads hold senders, so the channel ends with the last of them.
    drop(sender);
    let mut run = Run::default();
    let mut gaps = 0;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(record) => {
                gaps += record.gaps.len();
                run.add(record);
                if gaps >= GAPS_MAX && !shared.is_over.swap(true, Ordering::SeqCst) {
                    run.remark = Some(format!(
                        "ended early: {GAPS_MAX} times between tokens are all that can be remembered"
                    ));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if interrupts.pressed() {
            run.is_interrupted = true;
            break;
        }
        tell(Progress {
            seconds: shared.clock.now(),
            ended: run.records.len(),
            failed: run.failures.values().map(|(count, _)| count).sum(),
            running: shared.running.load(Ordering::Relaxed),
        });
    }
    run.sent = shared.sent.load(Ordering::SeqCst);
    run.remark = run.remark.or_else(|| lock(&shared.no_more_threads).take());
    run.records.sort_by_key(|record| record.number);
    Ok(run)
}

impl Run {
    fn add(&mut self, mut record: Record) {
        if let Err(fault) = &mut record.outcome {
            // A million messages are not to be remembered, and the first one tells the most.
            let message = std::mem::take(&mut fault.message);
            self.failures.entry(fault.kind).or_insert((0, message)).0 += 1;
        }
        self.records.push(record);
    }
}

impl Shared {
    /// In an open loop, makes sure that a thread waits for the next request while this one sends.
    fn start_another(self: &Arc<Self>, sender: &Sender<Record>) {
        let Pace::Open { streams_max, .. } = self.plan.pace else { return };
        let mut threads = lock(&self.threads);
        if *threads < streams_max && *threads <= self.running.load(Ordering::SeqCst) {
            self.start_thread(&mut threads, sender);
        }
    }

    /// One more thread, unless the system has refused one before.
    fn start_thread(self: &Arc<Self>, threads: &mut usize, sender: &Sender<Record>) {
        let mut refused = lock(&self.no_more_threads);
        if refused.is_some() {
            return;
        }
        let (shared, sender) = (Arc::clone(self), sender.clone());
        let builder = thread::Builder::new().name("stream".to_owned()).stack_size(STACK_BYTES);
        match builder.spawn(move || stream(&shared, &sender)) {
            Ok(_) => *threads += 1,
            Err(error) => {
                *refused = Some(format!("no more than {threads} streams can be started: {}", reason(&error)));
            }
        }
    }

    /// Waits until then; false if the run is over before.
    fn wait_until(&self, due: f64) -> bool {
        loop {
            let left = due - self.clock.now();
            if self.is_over.load(Ordering::SeqCst) {
                return false;
            }
            if left <= 0.0 {
                return true;
            }
            thread::sleep(Duration::from_secs_f64(left).min(TICK));
        }
    }

    /// Waits so long, or until nothing is left to be sent.
    fn pause(&self, pause: Duration) {
        let until = self.clock.now() + pause.as_secs_f64();
        loop {
            let now = self.clock.now();
            if now >= until || self.is_over.load(Ordering::SeqCst) || lock(&self.arrivals).is_over(now) {
                return;
            }
            thread::sleep(Duration::from_secs_f64(until - now).min(TICK));
        }
    }
}

/// A stream: one request after the other, until there is none left.
fn stream(shared: &Arc<Shared>, sender: &Sender<Record>) {
    let client = shared.server.client();
    while !shared.is_over.load(Ordering::SeqCst) {
        let Some(arrival) = lock(&shared.arrivals).next(shared.clock.now()) else { break };
        let request = shared.requests.at(arrival.number);
        if !arrival.due.is_none_or(|due| shared.wait_until(due)) {
            break;
        }
        shared.sent.fetch_add(1, Ordering::SeqCst);
        shared.running.fetch_add(1, Ordering::SeqCst);
        shared.start_another(sender);
        let record = answer::ask(&client, &request, arrival.due, shared.clock);
        shared.running.fetch_sub(1, Ordering::SeqCst);
        let pause = pause_after(&record);
        if sender.send(record).is_err() {
            break;
        }
        // Somebody who has to wait for an answer also waits after a refusal. In an open loop, other people come.
        if let (Pace::Closed { .. }, Some(pause)) = (shared.plan.pace, pause) {
            shared.pause(pause);
        }
    }
}

fn pause_after(record: &Record) -> Option<Duration> {
    record.outcome.as_ref().err()?;
    let asked = record.retry_after.map_or(PAUSE_MIN, Duration::from_secs_f32);
    Some(asked.clamp(PAUSE_MIN, PAUSE_MAX))
}

/// A stream that panics has a bug; the others go on with what it left.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
