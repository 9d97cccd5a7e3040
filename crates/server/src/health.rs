//! `GET /health`: whether the engines make progress. `GET /ready`: whether to send requests here.
//!
//! A server whose engine hangs still answers on its sockets, so health is a heartbeat of the engines: while one has work,
//! its steps must go on. How long a step may take is learnt from those before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use engine::engine::Stats;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::state::App;

/// How often the engines are looked at.
const BEAT: Duration = Duration::from_millis(200);
/// A step may take this long in any case.
const STEP_MIN: Duration = Duration::from_millis(1500);
/// A step that takes longer than this is none.
const STEP_MAX: Duration = Duration::from_secs(60);
/// A step may take so many times as long as those before it.
const STEP_FACTOR: f64 = 5.0;

/// What is known of the engines' progress, by model.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<HashMap<String, Beats>>);

/// Of one engine.
#[derive(Debug)]
struct Beats {
    steps: u64,
    /// When it last made a step or had nothing to do.
    since: Instant,
    /// Running average.
    step: Duration,
    stuck: bool,
}

impl Pulse {
    /// Takes a look at an engine and tells if that has changed whether it is stuck.
    fn beat(&self, model: &str, stats: &Stats, now: Instant) -> Option<bool> {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !models.contains_key(model) {
            let beats = Beats { steps: stats.steps, since: now, step: Duration::ZERO, stuck: false };
            models.insert(model.to_owned(), beats);
        }
        let beats = models.get_mut(model)?;
        let idle = stats.running + stats.queued == 0;
        let steps = stats.steps.saturating_sub(beats.steps);
        if steps > 0 {
            let step = (now - beats.since).div_f64(steps as f64);
            beats.step = beats.step.mul_f64(0.8) + step.mul_f64(0.2);
        }
        if idle || steps > 0 {
            beats.since = now;
            beats.steps = stats.steps;
        }
        let allowed = beats.step.mul_f64(STEP_FACTOR).clamp(STEP_MIN, STEP_MAX);
        let stuck = now - beats.since > allowed;
        (std::mem::replace(&mut beats.stuck, stuck) != stuck).then_some(stuck)
    }

    /// The models whose engines hang.
    fn stuck(&self) -> Vec<String> {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.iter().filter(|(_, beats)| beats.stuck).map(|(model, _)| model.clone()).collect()
    }

    /// Forgets models that are not there any more.
    fn keep(&self, names: &[&str]) {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.retain(|model, _| names.contains(&model.as_str()));
    }
}

/// Looks after the engines as long as it is polled.
pub(crate) async fn watch(app: &App) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let models = app.models();
        app.front.pulse.keep(&models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>());
        for model in models {
            let stats = model.handle.stats();
            match app.front.pulse.beat(&model.name, &stats, Instant::now()) {
                Some(true) => tracing::error!(
                    model = model.name,
                    steps = stats.steps,
                    running = stats.running,
                    waiting = stats.queued,
                    "the engine has work and makes no steps: it hangs"
                ),
                Some(false) => tracing::warn!(model = model.name, "the engine makes steps again"),
                None => {}
            }
        }
    }
}

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// Tells whether the server lives.
#[utoipa::path(get, path = "/health", tag = "service", responses((status = 200, body = Health)))]
pub(crate) async fn live(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    let stuck = app.front.pulse.stuck();
    if !stuck.is_empty() {
        let message = format!("the engine makes no progress: {}", stuck.join(", "));
        return Err(ApiError::unavailable("engine_stuck", message, Duration::from_secs(5)));
    }
    Ok(Json(Health { status: "ok" }))
}

/// Tells whether the server takes requests.
#[utoipa::path(get, path = "/ready", tag = "service", responses((status = 200, body = Health)))]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    if app.front.is_draining() {
        let wait = Duration::from_secs(5);
        return Err(ApiError::unavailable("shutting_down", "the server is shutting down", wait));
    }
    live(State(app)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_with_work_that_makes_no_steps_is_stuck_until_it_does() {
        let pulse = Pulse::default();
        let begin = Instant::now();
        // Milliseconds, steps so far, requests that run; whether it is stuck then.
        let looks = [
            (0, 0, 0, false),
            (60_000, 0, 0, false),
            (60_200, 0, 1, false),
            (61_400, 0, 1, false),
            (61_800, 0, 1, true),
            (70_000, 0, 1, true),
            (70_200, 1, 1, false),
            (71_000, 20, 1, false),
            (72_000, 40, 1, false),
            (73_000, 60, 1, false),
            (74_000, 80, 1, false),
            (75_000, 100, 1, false),
            (76_000, 120, 1, false),
            (79_000, 120, 1, true),
            (79_200, 120, 0, false),
        ];
        for (milliseconds, steps, running, stuck) in looks {
            let stats = Stats { steps, running, ..Stats::default() };
            let _ = pulse.beat("m", &stats, begin + Duration::from_millis(milliseconds));
            assert_eq!(!pulse.stuck().is_empty(), stuck, "after {milliseconds} ms");
        }
    }

    #[test]
    fn an_engine_whose_steps_are_slow_is_not_stuck() {
        let pulse = Pulse::default();
        let begin = Instant::now();
        for second in 0..100 {
            // A step takes two seconds.
            let stats = Stats { steps: second / 2, running: 1, ..Stats::default() };
            let changed = pulse.beat("m", &stats, begin + Duration::from_secs(second));
            assert!(second < 8 || changed != Some(true), "after {second} s");
        }
        assert_eq!(pulse.stuck(), Vec::<String>::new());
    }
}
