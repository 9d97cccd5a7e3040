//! A token's logits depend on its sequence alone, to the last bit: not on threads, instruction set, chunks of
//! the prompt or what else is in the batch.

use crate::tiny;
use engine::batch::{Batch, LogitsWanted, PAGE_TOKENS, PageId};
use engine::engine::Handle;
use engine::kv::KvCache;
use engine::limits::Limits;
use engine::model::{Model, Outputs};
use engine::request::{Chunk, FinishReason, Request, Sampling, TokenId};
use kernels::{Cpu, Isa};
use std::path::PathBuf;
use std::sync::Arc;
use weights::gguf::Gguf;

/// Sequences that run beside the one that is looked at.
const OTHERS: usize = 16;

#[test]
fn logits_do_not_depend_on_threads_chunks_or_instruction_set() {
    for tiny in tiny::varied() {
        let tokens = tiny.tokens();
        let expected = tiny::logits(&mut *tiny.load(&tiny::cpu(1)), &tokens, tokens.len());
        let sizes = [1, 7, 32, 33, tokens.len()];
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for threads in [1, 2, 3] {
                let mut model = tiny.load(&tiny::cpu_with(isa, threads));
                for chunk in sizes {
                    let got = tiny::logits(&mut *model, &tokens, chunk);
                    let case = format!("{} on {isa}, {threads} threads, chunks of {chunk}", tiny.name());
                    assert_same(&case, &expected, &got);
                }
            }
        }
    }
}

#[test]
fn logits_do_not_depend_on_the_rest_of_the_batch() {
    for tiny in tiny::varied() {
        let tokens = tiny.tokens();
        let expected = tiny::logits(&mut *tiny.load(&tiny::cpu(1)), &tokens, tokens.len());
        for threads in [1, 2] {
            let mut model = tiny.load(&tiny::cpu(threads));
            for chunk in [1, 9, tokens.len()] {
                let got = logits_among_others(&mut *model, &tokens, chunk);
                let case = format!("{} with {threads} threads among others, chunks of {chunk}", tiny.name());
                assert_same(&case, &expected, &got);
            }
        }
    }
}

#[test]
fn answers_do_not_depend_on_threads_chunks_or_other_requests() {
    for tiny in tiny::varied() {
        check_answers(tiny.name(), &tiny.tokens(), 40, |cpu| tiny.load(cpu));
    }
}

#[test]
fn answers_do_not_depend_on_cached_prefixes() {
    // Among them are layers with a window of 24 tokens, which look back into cached pages from behind a prefix of 64.
    let model =
        |name: &str| tiny::varied().into_iter().find(|m| m.name() == name).expect("it is in the file");
    let windows: Vec<_> =
        model("gemma3-mixed").load(&tiny::cpu(1)).shape().kv_layers.iter().map(|l| l.window).collect();
    assert!(windows.contains(&Some(24)) && windows.contains(&None), "{windows:?}");
    tiny::varied().iter().for_each(check_prefixes);
}

/// Each prompt's answer on an engine without the cache, and on one that has computed others before and does so at
/// the same time.
fn check_prefixes(tiny: &tiny::Tiny) {
    let tokens = tiny.tokens();
    let cut = |len: usize| tokens[..len].to_vec();
    let mut other_end = tokens.clone();
    *other_end.last_mut().expect("a prompt") ^= 1;
    let prompts = [tokens.clone(), cut(33), cut(64), cut(65), other_end, [cut(40), cut(50)].concat()];
    let ask = |prompt: &Vec<TokenId>, seed| Request {
        prompt_logprobs: None,
        ..request(prompt.clone(), 40, 0.8, seed)
    };
    let start = |threads, prefix_cache, batch_tokens| {
        let limits = Limits { prefix_cache, batch_tokens, ..Limits::default() };
        Handle::start(tiny.load(&tiny::cpu(threads)), limits).unwrap()
    };
    let without = start(1, false, 512);
    let expected: Vec<Answer> =
        (0..).zip(&prompts).map(|(i, prompt)| collect(without.submit(ask(prompt, i)).unwrap())).collect();
    assert_eq!(without.stats().prefix_tokens_hit, 0);
    for batch_tokens in [512, 48] {
        let with = start(2, true, batch_tokens);
        for round in 0..2 {
            let requests = (0..).zip(&prompts).map(|(i, prompt)| ask(prompt, i)).collect();
            let answers: Vec<Answer> = with.submit_all(requests).unwrap().into_iter().map(collect).collect();
            assert_eq!(answers, expected, "{}, round {round}, {batch_tokens} tokens", tiny.name());
        }
        // Of 33 to 90 tokens at least a page in both rounds, but for whoever computed it.
        let hits = with.stats().prefix_tokens_hit;
        assert!(hits >= 32 * 11, "{} tokens of {} were saved", hits, tiny.name());
    }
}

#[test]
fn a_real_model_s_logits_and_answers_depend_on_their_sequence_alone() {
    let Some(path) = real_model("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let load = |cpu: &Arc<Cpu>| {
        engine::load::load(&Gguf::open(&path).unwrap(), cpu, &mut |_| ()).expect("the model is whole")
    };
    let tokens: Vec<TokenId> = (0..75).map(|i| 300 + i * i * 37 % 40_000).collect();
    let (mut one, mut two) = (load(&tiny::cpu(1)), load(&tiny::cpu(2)));
    let expected = tiny::logits(&mut *one, &tokens, tokens.len());
    assert_same("chunks of 13", &expected, &tiny::logits(&mut *one, &tokens, 13));
    assert_same("two threads", &expected, &tiny::logits(&mut *two, &tokens, tokens.len()));
    assert_same("two threads, chunks of 1", &expected, &tiny::logits(&mut *two, &tokens, 1));
    for chunk in [1, 20, tokens.len()] {
        assert_same("among others", &expected, &logits_among_others(&mut *two, &tokens, chunk));
    }
    drop((one, two));
    check_answers("SmolLM2", &tokens, 12, load);
}

/// Where a model of the folder `KUN_TEST_MODELS` is.
fn real_model(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("KUN_TEST_MODELS") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "KUN_TEST_MODELS is not set");
        eprintln!("SKIPPED: KUN_TEST_MODELS is not set, so {name} is not tested");
        return None;
    };
    Some(PathBuf::from(folder).join(name))
}

fn assert_same(case: &str, expected: &[f32], got: &[f32]) {
    assert_eq!(expected.len(), got.len(), "{case}");
    assert!(expected.iter().all(|x| x.is_finite()), "{case}");
    let different = expected.iter().zip(got).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(i) = different {
        panic!("{case}: logit {i} is {}, not {}", got[i], expected[i]);
    }
}

/// As `tiny::logits`, with 16 other sequences in every batch, before and behind, some at the beginning of their
/// prompts and some behind them.
fn logits_among_others(model: &mut dyn Model, tokens: &[TokenId], chunk: usize) -> Vec<f32> {
    let vocabulary = model.shape().vocabulary;
    let steps = tokens.len().div_ceil(chunk);
    // What each of the others gives to a step: most a single token.
    let gives: Vec<usize> = (0..OTHERS).map(|i| if i % 4 == 1 { 1 + i } else { 1 }).collect();
    let lengths: Vec<usize> =
        (0..=OTHERS).map(|i| if i < OTHERS { gives[i] * steps } else { tokens.len() }).collect();
    let mut first = 0;
    let pages: Vec<Vec<PageId>> = lengths
        .iter()
        .map(|len| {
            let own = (first..first + len.div_ceil(PAGE_TOKENS) as PageId).rev().collect();
            first += len.div_ceil(PAGE_TOKENS) as PageId;
            own
        })
        .collect();
    let mut kv = KvCache::new(model.shape(), first as usize);
    let (mut batch, mut out, mut all) = (Batch::default(), Outputs::default(), Vec::new());
    for step in 0..steps {
        batch.clear();
        let own = step * chunk..((step + 1) * chunk).min(tokens.len());
        let push_other = |batch: &mut Batch, i: usize| {
            let start = step * gives[i];
            let other: Vec<TokenId> =
                (start..start + gives[i]).map(|p| ((p * 31 + i * 17) % vocabulary) as TokenId).collect();
            batch.push(&other, start, &pages[i], [LogitsWanted::Last, LogitsWanted::None][i % 2]);
        };
        (0..OTHERS / 2).for_each(|i| push_other(&mut batch, i));
        let rows_before = batch.logit_rows();
        batch.push(&tokens[own.clone()], own.start, &pages[OTHERS], LogitsWanted::All);
        (OTHERS / 2..OTHERS).for_each(|i| push_other(&mut batch, i));
        model.forward(&batch, &mut kv, &mut out);
        all.extend_from_slice(&out.logits[rows_before * vocabulary..][..own.len() * vocabulary]);
    }
    all
}

/// Everything that a client sees but the timings.
#[derive(Debug, PartialEq)]
struct Answer {
    tokens: Vec<TokenId>,
    /// Bits of each token's log-probability and its alternatives.
    logprobs: Vec<(u32, Vec<(TokenId, u32)>)>,
    prompt_logprobs: Vec<u32>,
}

fn check_answers(
    name: &str,
    prompt: &[TokenId],
    max_tokens: usize,
    load: impl Fn(&Arc<Cpu>) -> Box<dyn Model>,
) {
    let mut expected: Option<[Answer; 2]> = None;
    for (threads, batch_tokens, others) in
        [(1, 512, 0), (2, 512, 0), (2, 24, 0), (1, 512, OTHERS), (2, 512, OTHERS), (2, 40, OTHERS)]
    {
        let limits = Limits { batch_tokens, kv_pages: 160, ..Limits::default() };
        let handle = Handle::start(load(&tiny::cpu(threads)), limits).unwrap();
        let vocabulary = handle.shape().vocabulary;
        let running: Vec<_> = (0..others)
            .map(|i| {
                let prompt = (0..20 + i * 3).map(|p| ((p * 29 + i * 7) % vocabulary) as TokenId).collect();
                handle.submit(request(prompt, 60, 0.7, i as u64)).unwrap()
            })
            .collect();
        // Greedy and sampled together.
        let generations = [0.0, 0.9]
            .map(|temperature| handle.submit(request(prompt.to_vec(), max_tokens, temperature, 42)).unwrap());
        let answers = generations.map(collect);
        assert_eq!(answers[0].prompt_logprobs.len(), prompt.len() - 1);
        assert_eq!(answers[0].tokens.len(), max_tokens);
        drop(running);
        match &expected {
            None => expected = Some(answers),
            Some(expected) => assert_eq!(
                *expected, answers,
                "{name}: {threads} threads, {batch_tokens} tokens a step, {others} others"
            ),
        }
    }
}

fn request(prompt: Vec<TokenId>, max_tokens: usize, temperature: f32, seed: u64) -> Request {
    Request {
        sampling: Sampling { temperature, seed, ..Sampling::default() },
        prompt_logprobs: Some(0),
        logprobs: Some(4),
        ..Request::new(prompt, max_tokens)
    }
}

fn collect(chunks: impl Iterator<Item = Chunk>) -> Answer {
    let mut answer = Answer { tokens: Vec::new(), logprobs: Vec::new(), prompt_logprobs: Vec::new() };
    for chunk in chunks {
        answer.tokens.extend(chunk.tokens);
        answer.prompt_logprobs.extend(chunk.prompt_logprobs.iter().map(|l| l.logprob.to_bits()));
        answer.logprobs.extend(
            chunk.logprobs.iter().map(|l| {
                (l.logprob.to_bits(), l.top.iter().map(|(token, l)| (*token, l.to_bits())).collect())
            }),
        );
        if let Some(finished) = chunk.finished {
            assert_eq!(finished.reason, FinishReason::Length);
        }
    }
    answer
}
