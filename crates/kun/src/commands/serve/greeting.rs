//! What the server says when it is ready: where it is, what it serves, what it keeps within.

use std::net::SocketAddr;
use std::time::Duration;

use engine::batch::PAGE_TOKENS;
use serde_json::{Value, json};

use super::fleet::{Fleet, Member};
use crate::log::LogFormat;
use crate::output;
use crate::settings::Settings;
use crate::terminal::bytes;

/// Models that are told one by one; the others are counted.
const MODELS_SHOWN: usize = 4;

/// Says that the server is ready, on standard error.
pub(super) fn say(fleet: &Fleet, settings: &Settings, address: SocketAddr, load_time: Duration) {
    match settings.log_format {
        LogFormat::Text => output::note(text(fleet, settings, address, load_time)),
        LogFormat::Json => output::note(line(fleet, settings, address, load_time).to_string()),
    }
}

fn text(fleet: &Fleet, settings: &Settings, address: SocketAddr, load_time: Duration) -> String {
    let url = url(settings, address);
    let mut lines = vec![format!("kun serves at {url} (ready in {:.1} s)", load_time.as_secs_f64())];
    let at_start: Vec<usize> = fleet.at_start().collect();
    for (index, model) in fleet.models.iter().enumerate().take(MODELS_SHOWN) {
        let loaded = if at_start.contains(&index) { "" } else { ", loaded when asked for" };
        lines.push(format!("  model   {}{loaded}", described(model)));
    }
    if fleet.models.len() > MODELS_SHOWN {
        lines
            .push(format!("          and {} more, loaded when asked for", fleet.models.len() - MODELS_SHOWN));
    }
    lines.push(format!("  memory  {}", memory(fleet)));
    let first = &fleet.models[0].needs.limits;
    lines.push(format!(
        "  limits  {} answers at a time, {} waiting, bodies of {}{}",
        first.sequences_max,
        first.queue_max,
        bytes(settings.server.body_bytes_max as u64),
        settings
            .server
            .request_timeout
            .map_or(String::new(), |time| format!(", {} s a request", time.as_secs_f64()))
    ));
    lines.push(format!(
        "  access  {}, {}",
        if settings.server.keys.is_empty() { "everybody, without a key" } else { "with a key" },
        if settings.server.tls.is_some() { "over TLS" } else { "without TLS" },
    ));
    if let Some(address) = settings.server.kv_feed.address {
        lines.push(format!("  events  what the prefix caches keep, at tcp://{address}"));
    }
    lines.push(format!(
        "  try     curl {url}/v1/chat/completions -d '{{\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
    ));
    lines.join("\n")
}

fn url(settings: &Settings, address: SocketAddr) -> String {
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

fn described(model: &Member) -> String {
    let mut parts = vec![model.name.clone(), model.details.architecture.clone()];
    parts.push(model.details.quantisation.clone());
    parts.push(format!("context of {}", model.needs.context_tokens));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn memory(fleet: &Fleet) -> String {
    let plan = &fleet.plan;
    let parts = |(model, share): (&Member, &super::budget::Share)| {
        format!(
            "{} weights, {} KV cache ({} tokens), {} to work with",
            bytes(model.needs.weights),
            bytes(model.needs.kv_bytes(share.kv_pages as u64)),
            share.kv_pages * PAGE_TOKENS,
            bytes(model.needs.working),
        )
    };
    let first = fleet.models.iter().zip(&plan.shares).map(parts).next().unwrap_or_default();
    match fleet.models.len() {
        1 => format!("{}: {first}, {} for requests", bytes(plan.budget), bytes(plan.budget - plan.models)),
        _ => format!("{}; of that for {}: {first}", bytes(plan.budget), fleet.models[0].name),
    }
}

fn line(fleet: &Fleet, settings: &Settings, address: SocketAddr, load_time: Duration) -> Value {
    let model = |(model, share): (&Member, &super::budget::Share)| {
        json!({
            "name": model.name,
            "architecture": model.details.architecture,
            "quantisation": model.details.quantisation,
            "context_tokens": model.needs.context_tokens,
            "weights_bytes": model.needs.weights,
            "working_bytes": model.needs.working,
            "kv_bytes": model.needs.kv_bytes(share.kv_pages as u64),
            "kv_tokens": share.kv_pages * PAGE_TOKENS,
            "sequences_max": model.needs.limits.sequences_max,
            "queue_max": model.needs.limits.queue_max,
        })
    };
    json!({
        "level": "INFO",
        "message": "ready",
        "url": url(settings, address),
        "kv_events": settings.server.kv_feed.address.map(|address| format!("tcp://{address}")),
        "load_ms": load_time.as_millis() as u64,
        "memory_bytes": fleet.plan.budget,
        "body_bytes_max": settings.server.body_bytes_max,
        "models": fleet.models.iter().zip(&fleet.plan.shares).map(model).collect::<Vec<_>>(),
    })
}
