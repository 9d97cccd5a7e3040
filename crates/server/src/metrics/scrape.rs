//! What is not counted but looked up when somebody asks: the engines' state and the process's.

use std::sync::atomic::AtomicU64;

use engine::batch::PAGE_TOKENS;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Model;
use crate::state::App;

type Number = Gauge<f64, AtomicU64>;

/// What the KV cache is made of, as vLLM tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheConfig {
    model_name: String,
    block_size: usize,
    num_gpu_blocks: usize,
}

/// What became of loops in answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loops {
    model_name: String,
    outcome: &'static str,
}

/// The state at this moment.
pub(super) fn registry(app: &App) -> Registry {
    let mut registry = Registry::default();
    engines(app, &mut registry);
    process(app, &mut registry);
    registry
}

fn engines(app: &App, registry: &mut Registry) {
    let mut gauges: Vec<(&[&str], &str, Family<Model, Number>)> = Vec::new();
    let mut gauge = |names: &'static [&'static str], help: &'static str| {
        let family = Family::<Model, Number>::default();
        gauges.push((names, help, family.clone()));
        family
    };
    let running = gauge(&["kun_requests_running", "vllm:num_requests_running"], "Sequences that run");
    let waiting = gauge(&["kun_requests_waiting", "vllm:num_requests_waiting"], "Requests that wait");
    let used = gauge(&["kun_kv_pages_used"], "Pages of the KV cache that sequences have");
    let cached = gauge(&["kun_kv_pages_cached"], "Pages that the prefix cache keeps until they are needed");
    let total = gauge(&["kun_kv_pages_total"], "Pages of the KV cache");
    let share = gauge(
        &["kun_kv_usage_ratio", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
        "Share of the KV cache that sequences have, 0 to 1",
    );
    let batch_sequences = gauge(&["kun_batch_sequences"], "Sequences of the last step");
    let batch_tokens = gauge(&["kun_batch_tokens"], "Tokens of the last step");
    let step_seconds = gauge(&["kun_step_seconds"], "What the last step took");
    let ahead = gauge(&["kun_tokens_ahead"], "Tokens of prompts that wait to be computed");
    let steps = Family::<Model, Counter>::default();
    let computed = Family::<Model, Counter>::default();
    let preemptions = Family::<Model, Counter>::default();
    let queried = Family::<Model, Counter>::default();
    let hit = Family::<Model, Counter>::default();
    let loops = Family::<Loops, Counter>::default();
    let cache = Family::<CacheConfig, Number>::default();
    for model in app.models() {
        let stats = model.handle.stats();
        let labels = Model { model_name: model.name.clone() };
        let set = |family: &Family<Model, Number>, value: f64| family.get_or_create(&labels).set(value);
        set(&running, stats.running as f64);
        set(&waiting, stats.queued as f64);
        set(&used, stats.pages_used as f64);
        set(&cached, stats.pages_cached as f64);
        set(&batch_sequences, stats.step_sequences as f64);
        set(&batch_tokens, stats.step_tokens as f64);
        set(&step_seconds, stats.step_time.as_secs_f64());
        set(&ahead, stats.tokens_ahead as f64);
        set(&total, stats.pages_total as f64);
        set(&share, stats.pages_used as f64 / stats.pages_total.max(1) as f64);
        steps.get_or_create(&labels).inc_by(stats.steps);
        computed.get_or_create(&labels).inc_by(stats.computed_tokens);
        preemptions.get_or_create(&labels).inc_by(stats.preemptions);
        queried.get_or_create(&labels).inc_by(stats.prefix_tokens_queried);
        hit.get_or_create(&labels).inc_by(stats.prefix_tokens_hit);
        for (outcome, count) in [
            ("caught", stats.loops_caught),
            ("recovered", stats.loops_recovered),
            ("stopped", stats.loops_stopped),
        ] {
            let labels = Loops { model_name: model.name.clone(), outcome };
            loops.get_or_create(&labels).inc_by(count);
        }
        let (model_name, num_gpu_blocks) = (model.name.clone(), stats.pages_total);
        let config = CacheConfig { model_name, block_size: PAGE_TOKENS, num_gpu_blocks };
        cache.get_or_create(&config).set(1.0);
    }
    for (names, help, family) in gauges {
        names.iter().for_each(|&name| registry.register(name, help, family.clone()));
    }
    let help = "Loops caught, answers that went on from one to another end, and answers that one ended";
    registry.register("kun_loops", help, loops);
    registry.register("kun_steps", "Steps of the engine", steps);
    registry.register("kun_computed_tokens", "Tokens computed, those again after a preemption too", computed);
    for name in ["kun_preemptions", "vllm:num_preemptions"] {
        registry.register(name, "How often a sequence gave up its pages", preemptions.clone());
    }
    for name in ["kun_prefix_cache_queries", "vllm:prefix_cache_queries"] {
        registry.register(name, "Tokens of prompts that were looked up in the prefix cache", queried.clone());
    }
    for name in ["kun_prefix_cache_hits", "vllm:prefix_cache_hits"] {
        registry.register(name, "Tokens of prompts that were found there", hit.clone());
    }
    registry.register("vllm:cache_config_info", "Pages and their tokens", cache);
}

fn process(app: &App, registry: &mut Registry) {
    registry.register("kun_build", "This build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    let mut number = |name: &str, help: &str, value: f64| {
        let gauge = Number::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    number(
        "process_start_time_seconds",
        "When the server started, since 1970",
        app.started_unix_seconds as f64,
    );
    if let Some(bytes) = resident_bytes() {
        number("process_resident_memory_bytes", "Memory in use", bytes as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // Without the one that reads the folder.
        number("process_open_fds", "Open files and sockets", files.count().saturating_sub(1) as f64);
    }
}

/// What the system says of this process's memory; it says so on Linux only.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}
