//! What the server says of itself: a line for each request, and metrics; never what was asked, answered or presented.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::metrics::{self, values};
use crate::server::Server;

/// The lines of a log of JSON that are about requests, once there are so many.
fn requests(server: &Server, count: usize) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let log = server.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = lines.filter(|line| line["target"] == "kun::request").collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_is_one_line_without_its_text() {
    let server = Server::start(&["--log-format", "json"]);
    let secret = "sesame-prompt";
    let body = json!({"prompt": secret, "max_tokens": 5, "ignore_eos": true});
    let own = [("X-Request-Id", "my-id.1"), ("Authorization", "Bearer sesame-key")];
    let reply = server.post_text("/v1/completions?q=sesame-query", &body.to_string(), &own);
    assert_eq!(reply.header("x-request-id"), Some("my-id.1"));
    let reply = server.post_text("/v1/completions", "{\"prompt\": 5", &[("X-Request-Id", "with space")]);
    let id = reply.header("x-request-id").expect("an id").to_owned();
    assert!(id.starts_with("req_"), "{id}");
    let long = "x".repeat(129);
    assert_ne!(
        server.post_text("/v1/completions", "{}", &[("X-Request-Id", &long)]).header("x-request-id"),
        Some(&*long)
    );
    server.get("/v1/models/sesame-model");
    let lines = requests(&server, 4);
    let first = &lines[0];
    for (name, value) in [
        ("id", json!("my-id.1")),
        ("method", json!("POST")),
        ("route", json!("/v1/completions")),
        ("status", json!(200)),
        ("completion_tokens", json!(5)),
        ("cached_tokens", json!(0)),
        ("finish_reason", json!("length")),
        ("cancelled", json!(false)),
    ] {
        assert_eq!(first[name], value, "{name} of {first}");
    }
    assert!(first["model"] == "small", "{first}");
    for name in ["prompt_tokens", "queue_ms", "prompt_ms", "generation_ms", "total_ms"] {
        assert!(first[name].is_number(), "{name} of {first}");
    }
    assert_eq!((&lines[1]["status"], &lines[1]["id"]), (&json!(400), &json!(id)));
    assert_eq!((&lines[3]["status"], &lines[3]["route"]), (&json!(404), &json!("/v1/models/{*id}")));
    assert!(!server.log().contains("sesame"), "{}", server.log());
}

#[test]
fn the_log_is_as_loud_as_it_is_asked_to_be() {
    let quiet = Server::start(&["--log-level", "warn"]);
    quiet.get("/health");
    let text = Server::start(&[]);
    text.get("/health");
    let started = Instant::now();
    while !text.log().contains("kun::request") {
        assert!(started.elapsed() < Duration::from_secs(5), "{}", text.log());
    }
    assert!(!quiet.log().contains("kun::request"), "{}", quiet.log());
}

#[test]
fn metrics_tell_what_was_done_under_both_names() {
    let server = Server::start(&[]);
    let body = json!({"prompt": "hello", "max_tokens": 7, "ignore_eos": true, "n": 2});
    let usage = server.post("/v1/completions", &body).json(200)["usage"].clone();
    server.post("/v1/completions", &json!({"prompt": 5}));
    let reply = server.get("/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = reply.text();
    let prompt = usage["prompt_tokens"].as_f64().expect("a number");
    for (name, value) in [
        ("kun_generated_tokens_total", 14.0),
        ("vllm:generation_tokens_total", 14.0),
        ("kun_prompt_tokens_total", prompt),
        ("vllm:prompt_tokens_total", prompt),
        ("vllm:prefix_cache_queries_total", 2.0 * prompt),
        ("vllm:prefix_cache_hits_total", 0.0),
        ("kun_time_to_first_token_seconds_count", 2.0),
        ("vllm:time_to_first_token_seconds_count", 2.0),
        ("kun_inter_token_seconds_count", 12.0),
        ("vllm:time_per_output_token_seconds_count", 12.0),
        ("vllm:inter_token_latency_seconds_count", 12.0),
        ("vllm:e2e_request_latency_seconds_count", 2.0),
        ("vllm:request_queue_time_seconds_count", 2.0),
        ("kun_end_to_end_seconds_count", 2.0),
        ("vllm:num_requests_running", 0.0),
        ("vllm:num_requests_waiting", 0.0),
        ("vllm:kv_cache_usage_perc", 0.0),
        ("vllm:gpu_cache_usage_perc", 0.0),
        ("vllm:num_preemptions_total", 0.0),
        ("kun_kv_pages_used", 0.0),
        ("kun_cancelled_total", 0.0),
        ("kun_requests_total", 2.0),
    ] {
        let found: f64 = values(text, name).sum();
        assert_eq!(found, value, "{name} in {text}");
    }
    for line in [
        "# TYPE kun_generated_tokens_total counter",
        "# TYPE vllm:time_to_first_token_seconds histogram",
        "# TYPE vllm:num_requests_running gauge",
        "vllm:request_success_total{model_name=",
        "finished_reason=\"length\"} 2",
        "kun_requests_total{method=\"POST\",route=\"/v1/completions\",status=\"400\"} 1",
        "# TYPE kun_build_info gauge",
        "kun_build_info{version=",
        "vllm:cache_config_info{model_name=",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(values(text, "process_resident_memory_bytes").sum::<f64>() > 1e6);
    assert!(values(text, "process_open_fds").sum::<f64>() > 5.0);
    assert!(metrics::sum(&server, "kun_steps_total") > 0.0);
    let open = server.send(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\nConnection: close\r\n\r\n",
    );
    assert!(open.text().ends_with("# EOF\n") && open.text().contains("# TYPE kun_generated_tokens counter"));
}
