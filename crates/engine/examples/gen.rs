use std::sync::Arc; use std::time::Instant;
use engine::{request::*, limits::Limits};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n: usize = a[2].parse().unwrap();
    let ids: Vec<u32> = a[3].split(',').map(|s| s.parse().unwrap()).collect();
    let rep: usize = a.get(4).map_or(1, |s| s.parse().unwrap());
    let isa = std::env::var("KUN_ISA").ok().map(|s| s.parse().unwrap());
    let threads = std::env::var("T").ok().map(|s| s.parse().unwrap());
    let cpu = Arc::new(kernels::Cpu::new(kernels::CpuOptions{threads, isa}).unwrap());
    let t = Instant::now();
    let g = weights::gguf::Gguf::open(std::path::Path::new(&a[1])).unwrap();
    let m = engine::load::load(&g, &cpu, &mut |_| ()).unwrap_or_else(|e| panic!("{e}"));
    eprintln!("load {:?} {}", t.elapsed(), cpu.isa());
    let mut l = Limits::default(); l.context_tokens = 4096; l.kv_pages = 400;
    let h = engine::engine::Handle::start(m, l).unwrap();
    let prompt: Vec<u32> = ids.iter().cycle().take(ids.len()*rep).copied().collect();
    for _ in 0..3 {
    let r = Request{prompt: prompt.clone(), sampling: Sampling::default(), max_tokens: n, stop_tokens: vec![], prompt_logprobs: false, logprobs: None};
    let mut out = vec![]; 
    for c in h.submit(r).unwrap() { out.extend(c.tokens.clone()); if let Some(f) = c.finished { 
        eprintln!("{:?} prompt {:.1} t/s gen {:.1} t/s", f.reason, f.prompt_tokens as f64/f.prompt.as_secs_f64(), (f.completion_tokens.max(1)-1) as f64/f.generation.as_secs_f64()); } }
    println!("{out:?}");
    }
}
