//! A prompt's vector is made of its hidden states behind the last norm, to the last bit whatever else runs.

use crate::tiny;
use engine::batch::{Batch, LogitsWanted, PAGE_TOKENS, PageId};
use engine::engine::Handle;
use engine::kv::KvCache;
use engine::limits::Limits;
use engine::model::{Model, Outputs};
use engine::request::{FinishReason, Pooling, Request, TokenId};
use kernels::formats;
use weights::gguf::Gguf;

const POOLINGS: [Pooling; 2] = [Pooling::Mean, Pooling::Last];

#[test]
fn a_vector_is_the_direction_of_the_states_of_all_prefixes_or_of_the_whole() {
    for tiny in tiny::mixed() {
        let tokens = &tiny.tokens()[..40];
        let states: Vec<Vec<f32>> = {
            let mut model = tiny.load(&tiny::cpu(1));
            (1..=tokens.len())
                .map(|len| pass(&mut *model, &tokens[..len], LogitsWanted::HiddenLast))
                .collect()
        };
        let handle = Handle::start(tiny.load(&tiny::cpu(2)), Limits::default()).unwrap();
        for len in [1, 2, 33, 40] {
            for pooling in POOLINGS {
                let first = if pooling == Pooling::Mean { 0 } else { len - 1 };
                let got = embed(&handle, &tokens[..len], pooling);
                let case = format!("{}: {pooling:?} of {len} tokens", tiny.name());
                assert_eq!(bits(&got), bits(&direction(&states[first..len])), "{case}");
                let length: f64 = got.iter().map(|&x| f64::from(x).powi(2)).sum();
                assert!((length - 1.0).abs() < 1e-6, "{case}: of length {length}");
            }
        }
    }
}

#[test]
fn a_hidden_state_is_what_the_output_matrix_makes_logits_of() {
    for tiny in tiny::all() {
        let file = tiny.open_changed(|_| ());
        let tokens = tiny.tokens();
        let mut model = tiny.load(&tiny::cpu(1));
        let logits = tiny::logits(&mut *model, &tokens, tokens.len());
        let states = pass(&mut *model, &tokens, LogitsWanted::HiddenAll);
        let (vocabulary, embedding) = (model.shape().vocabulary, model.shape().embedding);
        assert_eq!(states.len(), tokens.len() * embedding);
        let output = output_matrix(&file);
        let cap = soft_cap(&file);
        let most = logits.iter().fold(0f32, |most, logit| most.max(logit.abs()));
        for (state, logits) in states.chunks_exact(embedding).zip(logits.chunks_exact(vocabulary)) {
            for (weights, &logit) in output.chunks_exact(embedding).zip(logits) {
                let product: f32 = weights.iter().zip(state).map(|(w, x)| w * x).sum();
                let expect = cap.map_or(product, |cap| cap * (product / cap).tanh());
                // The product itself is of rounded activations.
                assert!((logit - expect).abs() < 0.01 * most, "{}: {logit} and {expect}", tiny.name());
            }
        }
    }
}

#[test]
fn a_vector_does_not_depend_on_threads_chunks_or_other_requests() {
    for tiny in tiny::varied() {
        let tokens = tiny.tokens();
        let mut expected: Option<Vec<Vec<u32>>> = None;
        for (threads, batch_tokens, others) in
            [(1, 512, 0), (2, 512, 0), (2, 7, 0), (2, 33, 12), (1, 512, 12)]
        {
            let limits = Limits { batch_tokens, kv_pages: 160, ..Limits::default() };
            let handle = Handle::start(tiny.load(&tiny::cpu(threads)), limits).unwrap();
            let running: Vec<_> = (0..others)
                .map(|i| {
                    let prompt = tokens.iter().cycle().skip(i).take(20 + 3 * i).copied().collect();
                    let embedding = [None, Some(Pooling::Mean)][i % 2];
                    let max_tokens = [60, 0][i % 2];
                    handle.submit(Request { embedding, ..Request::new(prompt, max_tokens) }).unwrap()
                })
                .collect();
            let got: Vec<_> = POOLINGS.map(|pooling| bits(&embed(&handle, &tokens, pooling))).into();
            drop(running);
            let case = format!("{}: {threads} threads, {batch_tokens} a step, {others} others", tiny.name());
            assert_eq!(*expected.get_or_insert_with(|| got.clone()), got, "{case}");
        }
    }
}

#[test]
fn the_file_says_how_a_vector_is_made() {
    let tiny = tiny::all().into_iter().find(|m| m.name() == "llama").expect("it is in the file");
    let check = |pooling_type: Option<u32>, expect: Result<Pooling, &str>| {
        let file = tiny.open_changed(|writer| {
            if let Some(number) = pooling_type {
                writer.set("llama.pooling_type", number);
            }
        });
        match (engine::load::pooling(&file), expect) {
            (Ok(got), Ok(expect)) => assert_eq!(got, expect, "{pooling_type:?}"),
            (Err(error), Err(expect)) => {
                let message = error.to_string();
                assert!(message.contains("llama.pooling_type") && message.contains(expect), "{message}");
            }
            (got, expect) => panic!("{pooling_type:?}: {got:?}, not {expect:?}"),
        }
    };
    check(None, Ok(Pooling::Mean));
    check(Some(0), Ok(Pooling::Mean));
    check(Some(1), Ok(Pooling::Mean));
    check(Some(2), Err("(cls), which is not implemented"));
    check(Some(3), Ok(Pooling::Last));
    check(Some(4), Err("ranks texts"));
    check(Some(9), Err("9 is not known; 1 (mean) and 3 (last token) are implemented"));
}

/// The hidden states of a prompt that is computed by itself, in one pass.
fn pass(model: &mut dyn Model, tokens: &[TokenId], wanted: LogitsWanted) -> Vec<f32> {
    let pages: Vec<PageId> = (0..tokens.len().div_ceil(PAGE_TOKENS) as PageId).collect();
    let mut kv = KvCache::new(model.shape(), pages.len());
    let (mut batch, mut outputs) = (Batch::default(), Outputs::default());
    batch.push(tokens, 0, &pages, wanted);
    model.forward(&batch, &mut kv, &mut outputs);
    assert!(outputs.logits.is_empty());
    outputs.hidden
}

fn embed(handle: &Handle, prompt: &[TokenId], pooling: Pooling) -> Vec<f32> {
    let request = Request { embedding: Some(pooling), ..Request::new(prompt.to_vec(), 0) };
    let chunks: Vec<_> = handle.submit(request).unwrap().collect();
    assert_eq!(chunks.len(), 1, "a vector comes at once");
    assert_eq!(chunks[0].finished.as_ref().unwrap().reason, FinishReason::Length);
    chunks[0].embedding.clone()
}

/// The sum of the states, made 1 long.
fn direction(states: &[Vec<f32>]) -> Vec<f32> {
    let sums: Vec<f64> =
        (0..states[0].len()).map(|i| states.iter().map(|state| f64::from(state[i])).sum()).collect();
    let length = sums.iter().map(|x| x * x).sum::<f64>().sqrt();
    sums.iter().map(|x| (x * (1.0 / length)) as f32).collect()
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

/// `[vocabulary][embedding]`, in full.
fn output_matrix(file: &Gguf) -> Vec<f32> {
    let tensor = file.tensor("output.weight").or_else(|| file.tensor("token_embd.weight")).unwrap();
    let mut matrix = vec![0.0; tensor.info.shape.iter().product::<u64>() as usize];
    formats::decode_row(tensor.info.format, tensor.bytes, &mut matrix);
    matrix
}

fn soft_cap(file: &Gguf) -> Option<f32> {
    let architecture = file.metadata().architecture().unwrap();
    file.metadata().opt_f32(&format!("{architecture}.final_logit_softcapping")).unwrap()
}
