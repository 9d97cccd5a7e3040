//! The worker pool: persistent threads that share the units of one operation after another.
//!
//! `run` hands out unit numbers from one atomic counter, so a worker that the operating system has put aside
//! delays the unit that it holds and no other. The caller works too and returns when every unit is done.
//! Waiting workers spin for a short while, since the next operation usually follows within microseconds, and
//! then park.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};

/// How often a waiting worker looks for work before it parks: about 50 to 100 microseconds.
const SPINS_BEFORE_PARK: u32 = 4_000;
/// How often the caller looks for the last units before it lets other threads run.
const SPINS_BEFORE_YIELD: u32 = 2_000;

/// A fixed set of threads, the caller's among them.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Held by the one `run` at a time.
    running: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

/// An operation: called with each unit number exactly once.
type Task<'a> = &'a (dyn Fn(usize) + Sync);

#[derive(Debug)]
struct Shared {
    /// Units not yet claimed; at or below zero there is nothing to do. A claim takes one off, and the claimed
    /// unit's number is `units - claimed value`. `task` and `units` are valid while a claimed unit is undone.
    unclaimed: AtomicI64,
    undone: AtomicUsize,
    units: AtomicUsize,
    /// Points at a `Task` on the stack of `run`.
    task: AtomicPtr<()>,
    panicked: AtomicBool,
    parked: AtomicUsize,
    stop: AtomicBool,
}

impl Pool {
    /// A pool of `threads` threads, the caller of `run` being one of them.
    ///
    /// # Errors
    /// The operating system's, if a thread can't be started.
    pub(crate) fn new(threads: usize) -> std::io::Result<Pool> {
        assert!(threads >= 1, "a pool has at least the caller's thread");
        let shared = Arc::new(Shared {
            unclaimed: AtomicI64::new(0),
            undone: AtomicUsize::new(0),
            units: AtomicUsize::new(0),
            task: AtomicPtr::new(std::ptr::null_mut()),
            panicked: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let mut pool = Pool { shared, running: Mutex::new(()), workers: Vec::with_capacity(threads - 1) };
        for n in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("kun-worker-{n}"))
                .spawn(move || shared.work_until_stopped())?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// How many threads work, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task` once for each of `0..units`, on all threads, and returns when all calls have returned.
    ///
    /// # Panics
    /// If a call of `task` panics.
    pub(crate) fn run(&self, units: usize, task: Task<'_>) {
        if self.workers.is_empty() || units <= 1 {
            (0..units).for_each(task);
            return;
        }
        // A panicked run leaves nothing half done behind: every unit was counted off.
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // Everything but `unclaimed` is written while no worker can have claimed a unit: the previous `run`
        // returned only when `undone` was zero.
        shared.task.store(&raw const task as *mut (), Ordering::Relaxed);
        shared.units.store(units, Ordering::Relaxed);
        shared.undone.store(units, Ordering::Relaxed);
        shared.unclaimed.store(units as i64, Ordering::SeqCst);
        if shared.parked.load(Ordering::SeqCst) > 0 {
            self.workers.iter().map(JoinHandle::thread).for_each(Thread::unpark);
        }
        while shared.work_one_unit() {}
        let mut spins = 0;
        while shared.undone.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS_BEFORE_YIELD { std::hint::spin_loop() } else { thread::yield_now() }
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a kernel panicked on a worker thread");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker's panic was reported by `run`.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Claims one unit and does it; false if there is none.
    fn work_one_unit(&self) -> bool {
        if self.unclaimed.load(Ordering::Relaxed) <= 0 {
            return false;
        }
        let claimed = self.unclaimed.fetch_sub(1, Ordering::SeqCst);
        if claimed <= 0 {
            return false;
        }
        let unit = self.units.load(Ordering::Relaxed) - claimed as usize;
        let task = self.task.load(Ordering::Relaxed).cast::<Task<'static>>();
        // SAFETY: `run` keeps the task alive until `undone` is zero, and this unit is counted in it until the
        // end of this function. The SeqCst claim orders these loads after `run`'s stores.
        let task = unsafe { *task };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task(unit))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.undone.fetch_sub(1, Ordering::Release);
        true
    }

    fn work_until_stopped(&self) {
        let mut spins = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if self.work_one_unit() {
                spins = 0;
            } else if spins < SPINS_BEFORE_PARK {
                spins += 1;
                std::hint::spin_loop();
            } else {
                self.parked.fetch_add(1, Ordering::SeqCst);
                // Look once more after saying so: `run` publishes first and looks at `parked` then.
                if self.unclaimed.load(Ordering::SeqCst) <= 0 && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.parked.fetch_sub(1, Ordering::SeqCst);
                spins = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(threads: usize, units: usize) {
        let pool = Pool::new(threads).unwrap();
        for _ in 0..200 {
            let calls: Vec<AtomicUsize> = (0..units).map(|_| AtomicUsize::new(0)).collect();
            pool.run(units, &|unit| {
                calls[unit].fetch_add(1, Ordering::Relaxed);
            });
            assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{threads} threads, {units} units");
        }
    }

    #[test]
    fn every_unit_is_done_exactly_once() {
        for threads in [1, 2, 3, 8] {
            for units in [0, 1, 2, 7, 100] {
                check(threads, units);
            }
        }
    }

    #[test]
    fn parked_workers_wake_up() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..5 {
            thread::sleep(std::time::Duration::from_millis(20));
            let ids = std::sync::Mutex::new(std::collections::HashSet::new());
            pool.run(64, &|_| {
                ids.lock().unwrap().insert(thread::current().id());
                thread::sleep(std::time::Duration::from_millis(1));
            });
            assert_eq!(ids.lock().unwrap().len(), 2, "both threads worked");
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(8, &|unit| assert_ne!(unit, 3, "a planted panic"));
        }));
        assert!(result.is_err());
        pool.run(4, &|_| ());
    }
}
