//! The models that are served: which there are, which are loaded, and which has to go so that another can come.
//!
//! A model is loaded when it is first asked for, one at a time and once for all who wait for it. What is loaded stays
//! within a budget of bytes: if another one needs room, the models that were asked for longest ago go first. One with a
//! request under way never goes, nor one that is pinned; if nothing else can, whoever waits is told to come again.
//!
//! Invariant: the registry has one `Arc` of each loaded model, and whoever has another is a request. So a model whose only
//! `Arc` is the registry's is idle, and stays so as long as the registry is locked.

mod room;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::ApiError;
use crate::model::{Details, ServedModel};
use room::Tenant;

/// How often a request that waits for room looks whether a model has become idle.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A model that could not be loaded is not tried again before this time has passed.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// When to come again, as long as no model was loaded that tells how long it takes.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A model that can be served, loaded or not.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name that clients ask for.
    pub name: String,
    /// Further names of it.
    pub aliases: Vec<String>,
    /// Another name that is understood and not listed: what it was called on the command line.
    pub typed: Option<String>,
    /// It stays once it is loaded.
    pub pinned: bool,
    /// All the memory that it takes when it is loaded.
    pub bytes: u64,
    /// Tokens of context.
    pub context_tokens: usize,
    /// What it is, as far as its file tells.
    pub details: Details,
}

/// Whoever knows how to load the models.
pub trait Loader: Send + Sync + 'static {
    /// Loads the model with this number; that may take long, and is done on a thread that may block.
    ///
    /// # Errors
    /// Why it can't be loaded, for the log: clients are not told.
    fn load(&self, index: usize) -> Result<ServedModel, String>;
}

/// All models.
pub struct Registry {
    entries: Vec<Entry>,
    budget_bytes: u64,
    /// How long a request waits for a model that is not loaded.
    wait: Duration,
    loader: Arc<dyn Loader>,
    inner: Mutex<Inner>,
    /// Something was loaded, or could not be.
    changed: Notify,
}

struct Inner {
    slots: Vec<Slot>,
    /// Counts requests: the larger a model's last number, the later it was asked for.
    clock: u64,
    /// A model is being loaded: there is no room for a second one's peak.
    loading: bool,
    /// How long the last load took.
    load_time: Duration,
}

#[derive(Default)]
struct Slot {
    state: State,
    last_asked: u64,
    /// Requests that wait for it: it is not evicted before they have it.
    waiters: usize,
    failed: Option<Instant>,
}

#[derive(Default)]
enum State {
    #[default]
    Absent,
    /// Its memory is spoken for: it comes or goes.
    Moving,
    Loaded(Arc<ServedModel>),
}

/// What there is to see of a model.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) entry: &'a Entry,
    /// None unless it is loaded.
    pub(crate) model: Option<Arc<ServedModel>>,
}

impl Registry {
    /// A registry of these models, none of which is loaded. Names are unique, aliases included, and each model fits
    /// within `budget_bytes` by itself, beside those that are pinned.
    pub fn new(entries: Vec<Entry>, budget_bytes: u64, wait: Duration, loader: Arc<dyn Loader>) -> Arc<Self> {
        let slots = entries.iter().map(|_| Slot::default()).collect();
        let inner = Inner { slots, clock: 0, loading: false, load_time: RETRY_AFTER };
        let (inner, changed) = (Mutex::new(inner), Notify::new());
        Arc::new(Registry { entries, budget_bytes, wait, loader, inner, changed })
    }

    /// Takes in a model that was loaded already.
    pub fn insert(&self, index: usize, model: ServedModel) {
        self.lock().slots[index].state = State::Loaded(Arc::new(model));
    }

    /// The model of that name, the first one if none is named; it is loaded if need be. Whoever keeps it keeps it from
    /// being evicted.
    pub(crate) async fn get(self: &Arc<Self>, name: Option<&str>) -> Result<Arc<ServedModel>, ApiError> {
        let index = self.find(name)?;
        if let Some(model) = self.lock().take(index) {
            return Ok(model);
        }
        let waiter = Waiter::new(self, index);
        let until = tokio::time::Instant::now() + self.wait;
        loop {
            // Listening begins before looking, so that no change is missed in between.
            let changed = self.changed.notified();
            let blocked = match self.look(index)? {
                Look::Here(model) => {
                    drop(waiter);
                    return Ok(model);
                }
                Look::Coming => false,
                Look::NoRoom => true,
            };
            let now = tokio::time::Instant::now();
            if now >= until {
                return Err(if blocked { self.no_room(index) } else { self.still_loading(index) });
            }
            let _ = tokio::time::timeout_at(until.min(now + LOOK_AGAIN), changed).await;
        }
    }

    /// Every model, in the order in which they were named.
    pub(crate) fn list(&self) -> Vec<Listed<'_>> {
        let inner = self.lock();
        let listed = |(entry, slot): (_, &Slot)| Listed { entry, model: slot.loaded().cloned() };
        self.entries.iter().zip(&inner.slots).map(listed).collect()
    }

    /// The model of that name, loaded or not.
    pub(crate) fn find_listed(&self, name: &str) -> Result<Listed<'_>, ApiError> {
        let index = self.find(Some(name))?;
        let model = self.lock().slots[index].loaded().cloned();
        Ok(Listed { entry: &self.entries[index], model })
    }

    fn find(&self, name: Option<&str>) -> Result<usize, ApiError> {
        let Some(name) = name else { return Ok(0) };
        let is = |entry: &Entry| {
            entry.name == name
                || entry.aliases.iter().any(|alias| alias == name)
                || entry.typed.as_deref() == Some(name)
        };
        self.entries.iter().position(is).ok_or_else(|| {
            let known = self.entries.iter().flat_map(|e| std::iter::once(&e.name).chain(&e.aliases));
            let known = known.map(String::as_str).collect::<Vec<_>>().join(", ");
            ApiError::model_not_found(name, &known)
        })
    }

    /// Looks for a model that was not there, and starts to load it if nothing is in the way.
    fn look(self: &Arc<Self>, index: usize) -> Result<Look, ApiError> {
        let mut inner = self.lock();
        if let Some(model) = inner.take(index) {
            return Ok(Look::Here(model));
        }
        let slot = &inner.slots[index];
        if let Some(after) = slot.failed.and_then(|at| TRY_AGAIN.checked_sub(at.elapsed())) {
            let message = "the model could not be loaded; the server's log says why";
            return Err(ApiError::unavailable("model_load_failed", message, after));
        }
        if inner.loading || matches!(slot.state, State::Moving) {
            return Ok(Look::Coming);
        }
        let Some(leaving) =
            room::make(&inner.tenants(&self.entries), self.entries[index].bytes, self.budget_bytes)
        else {
            return Ok(Look::NoRoom);
        };
        inner.loading = true;
        inner.slots[index].state = State::Moving;
        let leave = |&index: &usize| std::mem::replace(&mut inner.slots[index].state, State::Moving);
        let models: Vec<State> = leaving.iter().map(leave).collect();
        drop(inner);
        let registry = Arc::clone(self);
        tokio::task::spawn_blocking(move || registry.replace(&leaving, models, index));
        Ok(Look::Coming)
    }

    /// Unloads what has to go and loads a model in its place. It blocks.
    fn replace(&self, leaving: &[usize], models: Vec<State>, index: usize) {
        // Whatever happens in loading, the registry is left in order.
        let done = Done { registry: self, index };
        // The engines have ended, and their memory is free, when this returns.
        drop(models);
        for &left in leaving {
            tracing::info!(model = self.entries[left].name, "unloaded");
            self.lock().slots[left].state = State::Absent;
        }
        let started = Instant::now();
        let loaded = self.loader.load(index);
        let mut inner = self.lock();
        match loaded {
            Ok(model) => {
                tracing::info!(model = model.name, seconds = started.elapsed().as_secs_f64(), "loaded");
                inner.load_time = started.elapsed();
                let slot = &mut inner.slots[index];
                (slot.state, slot.failed) = (State::Loaded(Arc::new(model)), None);
            }
            Err(why) => tracing::error!(model = self.entries[index].name, why, "could not be loaded"),
        }
        drop(inner);
        drop(done);
    }

    fn still_loading(&self, index: usize) -> ApiError {
        let after = self.lock().load_time.max(Duration::from_secs(1));
        let message = format!("the model {} is being loaded; try again soon", self.entries[index].name);
        ApiError::unavailable("model_loading", message, after)
    }

    fn no_room(&self, index: usize) -> ApiError {
        let name = &self.entries[index].name;
        let message =
            format!("there is no room for the model {name} while others answer requests; try again later");
        ApiError::unavailable("model_loading", message, RETRY_AFTER)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change leaves it whole, so a panic elsewhere is no reason to stop serving.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of looking for a model.
enum Look {
    Here(Arc<ServedModel>),
    /// It is being loaded, or another one is.
    Coming,
    /// Nothing can be evicted for it now.
    NoRoom,
}

impl Inner {
    /// The model, if it is loaded.
    fn take(&mut self, index: usize) -> Option<Arc<ServedModel>> {
        self.clock += 1;
        let clock = self.clock;
        let slot = &mut self.slots[index];
        slot.last_asked = clock;
        slot.loaded().cloned()
    }

    /// The models as far as room is concerned.
    fn tenants(&self, entries: &[Entry]) -> Vec<Tenant> {
        let tenant = |(entry, slot): (&Entry, &Slot)| {
            let idle = slot.loaded().is_some_and(|model| Arc::strong_count(model) == 1) && slot.waiters == 0;
            Tenant {
                bytes: if matches!(slot.state, State::Absent) { 0 } else { entry.bytes },
                can_go: idle && !entry.pinned,
                last_asked: slot.last_asked,
            }
        };
        entries.iter().zip(&self.slots).map(tenant).collect()
    }
}

impl Slot {
    fn loaded(&self) -> Option<&Arc<ServedModel>> {
        match &self.state {
            State::Loaded(model) => Some(model),
            _ => None,
        }
    }
}

/// A request that waits for a model.
struct Waiter<'a> {
    registry: &'a Registry,
    index: usize,
}

impl<'a> Waiter<'a> {
    fn new(registry: &'a Registry, index: usize) -> Self {
        registry.lock().slots[index].waiters += 1;
        Waiter { registry, index }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.registry.lock().slots[self.index].waiters -= 1;
    }
}

/// The end of a load, on whatever way it comes.
struct Done<'a> {
    registry: &'a Registry,
    index: usize,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.loading = false;
        let slot = &mut inner.slots[self.index];
        if slot.loaded().is_none() {
            (slot.state, slot.failed) = (State::Absent, Some(Instant::now()));
        }
        drop(inner);
        self.registry.changed.notify_waiters();
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("entries", &self.entries).finish_non_exhaustive()
    }
}
