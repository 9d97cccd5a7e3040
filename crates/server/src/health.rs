//! `GET /health`: whether the engines make progress. `GET /ready`: whether to send requests here.
//!
//! A server whose engine hangs still answers on its sockets, so health is a heartbeat of the engines: while one has work,
//! its steps must go on. How long a step may take is learnt from those before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
#[derive(Debug, Default)]
struct Beats {
    steps: u64,
    /// What a step takes, on a running average.
    step: Duration,
    stuck: bool,
}

impl Pulse {
    /// Takes a look at an engine and tells if that has changed whether it is stuck.
    fn beat(&self, model: &str, stats: &Stats) -> Option<bool> {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !models.contains_key(model) {
            models.insert(model.to_owned(), Beats::default());
        }
        let beats = models.get_mut(model)?;
        if std::mem::replace(&mut beats.steps, stats.steps) != stats.steps {
            beats.step = beats.step.mul_f64(0.8) + stats.step_time.mul_f64(0.2);
        }
        let allowed = beats.step.mul_f64(STEP_FACTOR).clamp(STEP_MIN, STEP_MAX);
        let stuck = stats.busy_for.is_some_and(|time| time > allowed);
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
            match app.front.pulse.beat(&model.name, &stats) {
                Some(true) => tracing::error!(
                    model = model.name,
                    steps = stats.steps,
                    busy_ms = stats.busy_for.map(|time| time.as_millis() as u64),
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
    use crate::config::Config;
    use crate::model::ServedModel;
    use crate::registry::{Loader, Registry};

    #[test]
    fn an_engine_is_stuck_when_a_step_takes_far_longer_than_those_before() {
        let pulse = Pulse::default();
        // Steps so far and milliseconds of the last; milliseconds of the one under way; whether it is stuck then.
        let looks = [
            (0, 0, None, false),
            (0, 0, Some(100), false),
            (0, 0, Some(1_400), false),
            (0, 0, Some(1_600), true),
            (0, 0, Some(9_900), true),
            (1, 10_000, Some(10), false),
            (20, 50, Some(10), false),
            (40, 50, None, false),
            (60, 50, Some(10), false),
            (80, 50, Some(10), false),
            (100, 50, Some(10), false),
            (120, 50, Some(10), false),
            (140, 50, Some(10), false),
            (140, 50, Some(2_700), true),
            (141, 3_000, None, false),
        ];
        for (steps, step, busy, stuck) in looks {
            let (step_time, busy_for) = (Duration::from_millis(step), busy.map(Duration::from_millis));
            let _ = pulse.beat("m", &Stats { steps, step_time, busy_for, ..Stats::default() });
            assert_eq!(!pulse.stuck().is_empty(), stuck, "{steps} steps, busy for {busy:?}");
        }
    }

    #[test]
    fn an_engine_whose_steps_are_slow_is_not_stuck() {
        let pulse = Pulse::default();
        let mut said = Vec::new();
        for steps in 0..40 {
            let (step_time, busy_for) = (Duration::from_millis(1_900), Some(Duration::from_millis(1_850)));
            said.extend(pulse.beat("m", &Stats { steps, step_time, busy_for, ..Stats::default() }));
        }
        // Until it is known how slow they are.
        assert_eq!(said, [true, false]);
    }

    struct Nothing;

    impl Loader for Nothing {
        fn load(&self, _: usize) -> Result<ServedModel, String> {
            Err("there is none".to_owned())
        }
    }

    #[tokio::test]
    async fn health_and_readiness_follow_the_engines_and_the_drain() {
        let registry = Registry::new(Vec::new(), 0, Duration::ZERO, Arc::new(Nothing));
        let app = Arc::new(App::new(Config::default(), registry));
        let ask = async || {
            let code = |answer: Result<_, ApiError>| answer.map(drop).map_err(|error| error.code);
            (code(live(State(Arc::clone(&app))).await), code(ready(State(Arc::clone(&app))).await))
        };
        let busy = |seconds| Stats { busy_for: Some(Duration::from_secs(seconds)), ..Stats::default() };
        assert_eq!(ask().await, (Ok(()), Ok(())));
        let _ = app.front.pulse.beat("m", &busy(2));
        assert_eq!(ask().await, (Err(Some("engine_stuck")), Err(Some("engine_stuck"))));
        let _ = app.front.pulse.beat("m", &busy(0));
        app.front.drain();
        assert_eq!(ask().await, (Ok(()), Err(Some("shutting_down"))));
    }
}
