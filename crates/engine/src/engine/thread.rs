//! The engine's thread: drain the inbox, compute a step, hand out what came of it, and again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::answer::{Rows, advance};
use super::masks::{Entry, Masks};
use super::wait::Departures;
use super::{Counters, Message};
use crate::batch::Batch;
use crate::kv::KvCache;
use crate::kv_events::Watchers;
use crate::limits::Limits;
use crate::model::{Model, Outputs, Shape};
use crate::request::{Chunk, FinishReason};
use crate::sampler::Sampler;
use crate::scheduler::{Scheduler, Sequence};

/// Everything mutable, owned by one thread.
pub(super) struct Engine {
    pub(super) scheduler: Scheduler,
    model: Box<dyn Model>,
    kv: KvCache,
    sampler: Sampler,
    masks: Masks,
    pub(super) batch: Batch,
    outputs: Outputs,
    /// Sequences whose last chunk is sent once the counters show that they have ended.
    ended: Vec<Sequence>,
    /// Who is told of the prefix cache.
    watchers: Watchers,
    /// How long all steps together took in which requests waited.
    waited: Duration,
    departures: Departures,
    limits: Limits,
    counters: Arc<Counters>,
}

impl Engine {
    pub(super) fn new(model: Box<dyn Model>, limits: Limits, counters: Arc<Counters>) -> Self {
        let shape = model.shape();
        Engine {
            scheduler: Scheduler::new(limits, limits.prompt_logit_rows(shape)),
            kv: KvCache::new(shape, limits.kv_pages),
            sampler: Sampler::new(),
            masks: Masks::default(),
            batch: Batch::with_room_for(&limits),
            outputs: Outputs::default(),
            ended: Vec::with_capacity(limits.sequences_max),
            watchers: Watchers::default(),
            waited: Duration::ZERO,
            departures: Departures::default(),
            model,
            limits,
            counters,
        }
    }

    /// Runs until `stopping` is set or all handles are gone; then cancels what is left.
    pub(super) fn run(mut self, inbox: &Receiver<Message>, stopping: &AtomicBool) {
        while self.drain(inbox) && !stopping.load(Relaxed) {
            self.step();
        }
        inbox.try_iter().for_each(|message| self.take(message));
        self.scheduler.end_where(|_| Some(FinishReason::Cancelled), Instant::now());
        self.hand_over();
    }

    /// Takes in what has been submitted; waits for it if there is nothing else to do. False if all handles are gone.
    fn drain(&mut self, inbox: &Receiver<Message>) -> bool {
        if self.scheduler.is_idle() {
            debug_assert_eq!(self.scheduler.pages.used(), 0, "an idle engine's pages are free or idle");
            self.counters.beat(None);
            match inbox.recv() {
                Ok(message) => self.take(message),
                Err(_) => return false,
            }
        }
        loop {
            match inbox.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Submit(sequences) => sequences.into_iter().for_each(|s| self.scheduler.add(s)),
            Message::Watch(sender) => {
                self.watch_pages();
                let pages = &mut self.scheduler.pages;
                pages.note_changes(true);
                self.watchers.add(sender, pages.kept());
            }
            Message::Wake => {}
        }
    }

    /// Computes one batch and hands out what came of it.
    pub(super) fn step(&mut self) {
        let begin = Instant::now();
        self.counters.beat(Some(begin));
        self.scheduler.end_where(|sequence| unwanted(sequence, begin), begin);
        self.hand_over();
        self.scheduler.schedule(&mut self.batch, begin);
        debug_assert_eq!(
            self.batch.is_empty(),
            self.scheduler.is_idle(),
            "a batch is empty only without work"
        );
        if self.batch.is_empty() {
            return;
        }
        // With nobody beside it, a sequence would only wait for memory that it may not need.
        if self.batch.spans.len() > 1 {
            self.kv.touch_ahead(self.scheduler.pages.never_used_from());
        }
        let forms = self.take_forms();
        let mut masks = std::mem::take(&mut self.masks);
        let (forms, passed) = masks.beside(forms, || self.forward());
        self.masks = masks;
        self.put_forms(forms);
        match passed {
            Ok(()) => {
                self.commit(Instant::now());
                self.scheduler.observe(begin.elapsed());
            }
            Err(message) => self.recover(message, Instant::now()),
        }
        self.count_step(begin.elapsed());
        self.hand_over();
    }

    /// The forms of the sequences that get a token in this step.
    fn take_forms(&mut self) -> Vec<Entry> {
        let Engine { scheduler, batch, .. } = self;
        let mut forms = Vec::new();
        for (&index, span) in scheduler.scheduled.iter().zip(&batch.spans) {
            let sequence = &mut scheduler.running[index];
            if span.start + span.len == sequence.tokens.len()
                && let Some(form) = sequence.form.take()
            {
                forms.push((index, form));
            }
        }
        forms
    }

    fn put_forms(&mut self, forms: Vec<Entry>) {
        for (index, form) in forms {
            self.scheduler.running[index].form = Some(form);
        }
    }

    /// The forward pass, or what it panicked with.
    fn forward(&mut self) -> Result<(), String> {
        let Engine { model, kv, batch, outputs, .. } = self;
        // Whatever a panic leaves half done in the cache is thrown away by `recover`.
        let pass = catch_unwind(AssertUnwindSafe(|| {
            model.forward(batch, kv, outputs);
            let shape = model.shape();
            let wanted = [batch.logit_rows() * shape.vocabulary, batch.hidden_rows() * shape.embedding];
            let given = [outputs.logits.len(), outputs.hidden.len()];
            assert_eq!(given, wanted, "a forward pass gives the rows that were asked for");
        }));
        pass.map_err(|payload| format!("the forward pass failed: {}", panic_message(&*payload)))
    }

    /// Takes the results of the step over into its sequences and sends what is new.
    fn commit(&mut self, now: Instant) {
        let Engine { scheduler, batch, outputs, sampler, limits, counters, model, .. } = self;
        let Shape { vocabulary, embedding, .. } = *model.shape();
        let (mut logits, mut hidden) = (&mut outputs.logits[..], &outputs.hidden[..]);
        for (at, span) in batch.spans.iter().enumerate() {
            let index = scheduler.scheduled[at];
            let mut rows = Rows { logits: &mut [], hidden: &[] };
            (rows.logits, logits) = logits.split_at_mut(span.logit_rows() * vocabulary);
            (rows.hidden, hidden) = hidden.split_at(span.hidden_rows() * embedding);
            let sequence = &mut scheduler.running[index];
            // A bug that one request brings out in the sampler must not end the others.
            let advanced = catch_unwind(AssertUnwindSafe(|| {
                advance(sequence, span, rows, sampler, limits.context_tokens).map_err(|bad| bad.reason())
            }))
            .unwrap_or_else(|payload| {
                let message = format!("the sampler failed: {}", panic_message(&*payload));
                Err(FinishReason::Error(message))
            });
            let mut piece = match advanced {
                Ok(piece) => piece,
                Err(reason) => {
                    sequence.end(Chunk::default(), reason, now);
                    continue;
                }
            };
            scheduler.commit_pages(index);
            let Some(piece) = &mut piece else { continue };
            if let Some(len) = piece.rewind_to {
                counters.loops_caught.fetch_add(u64::from(piece.looped), Relaxed);
                piece.chunk.rewind = scheduler.rewind(index, len);
            }
            let sequence = &mut scheduler.running[index];
            if sequence.completion_tokens() > 0 {
                sequence.clock.first_token.get_or_insert(now);
                counters.generated_tokens.fetch_add(piece.generated, Relaxed);
            }
            let chunk = std::mem::take(&mut piece.chunk);
            match piece.reason.take() {
                Some(reason) => sequence.end(chunk, reason, now),
                // While an answer is held back there is nothing to say.
                None if chunk.is_empty() => {}
                None => sequence.sink.send(chunk),
            }
        }
        counters.computed_tokens.fetch_add(batch.tokens.len() as u64, Relaxed);
    }

    /// Notes what a step took.
    fn count_step(&mut self, duration: Duration) {
        let (counters, batch) = (&*self.counters, &self.batch);
        counters.step_microseconds.store(duration.as_micros() as u64, Relaxed);
        counters.step_sequences.store(batch.spans.len(), Relaxed);
        counters.step_tokens.store(batch.tokens.len(), Relaxed);
        counters.steps.fetch_add(1, Relaxed);
        if !self.scheduler.waiting.is_empty() {
            self.waited += duration;
        }
    }

    /// Goes on after a panic in the forward pass: the batch's sequences end, all others are computed again in a
    /// new cache.
    fn recover(&mut self, message: String, now: Instant) {
        let reason = FinishReason::Error(message);
        for &index in &self.scheduler.scheduled {
            self.scheduler.running[index].end(Chunk::default(), reason.clone(), now);
        }
        self.scheduler.remove_ended(&mut self.ended);
        self.scheduler.lose_pages();
        let shape = self.model.shape();
        // The old cache goes first: there may be no memory for two.
        self.kv = KvCache::new(shape, 0);
        self.kv = KvCache::new(shape, self.limits.kv_pages);
    }

    /// Tells those who want to know what has changed in the prefix cache.
    fn watch_pages(&mut self) {
        if self.watchers.is_empty() {
            return;
        }
        let pages = &mut self.scheduler.pages;
        let changes = pages.take_changes();
        self.watchers.tell(&changes, || pages.kept());
        if self.watchers.is_empty() {
            pages.note_changes(false);
        }
    }

    /// Removes what has ended, brings the counters up to date, and only then sends the last chunks: a client that
    /// has read one finds its memory free.
    fn hand_over(&mut self) {
        self.scheduler.remove_ended(&mut self.ended);
        self.watch_pages();
        let (counters, scheduler) = (&*self.counters, &self.scheduler);
        counters.running.store(scheduler.running.len(), Relaxed);
        counters.scheduler_tokens.store(scheduler.tokens_ahead(), Relaxed);
        counters.pages_used.store(scheduler.pages.used(), Relaxed);
        counters.pages_cached.store(scheduler.pages.idle(), Relaxed);
        counters.preemptions.store(scheduler.tally.preemptions, Relaxed);
        counters.prefix_tokens_queried.store(scheduler.tally.prefix_tokens_queried, Relaxed);
        counters.prefix_tokens_hit.store(scheduler.tally.prefix_tokens_hit, Relaxed);
        let (prompt_speed, step_time) = scheduler.speeds();
        counters.prompt_tokens_per_second.store(prompt_speed.unwrap_or(0.0) as usize, Relaxed);
        let micros = |duration: Option<Duration>| duration.map_or(0, |duration| duration.as_micros() as u64);
        counters.generation_microseconds.store(micros(step_time), Relaxed);
        if !scheduler.waiting.is_empty() {
            let began = self.ended.iter().filter(|sequence| sequence.clock.first_step.is_some()).count();
            self.departures.note(began, self.waited);
        }
        counters.departure_microseconds.store(micros(self.departures.interval()), Relaxed);
        for Sequence { last_chunk, place, sink, .. } in self.ended.drain(..) {
            let chunk = last_chunk.expect("only sequences with a last chunk are taken out");
            counters.ended(chunk.finished.as_ref().expect("the last chunk says how it ended"));
            drop(place);
            sink.send(chunk);
        }
    }
}

/// Why nobody wants a sequence's answer any more, if that is so.
fn unwanted(sequence: &Sequence, now: Instant) -> Option<FinishReason> {
    if sequence.sink.is_cancelled() {
        return Some(FinishReason::Cancelled);
    }
    let deadline = sequence.request.rank.deadline;
    deadline.is_some_and(|deadline| deadline <= now).then_some(FinishReason::TimedOut)
}

/// The first line of the text that `panic!` and the assertions leave.
fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.and_then(|text| text.lines().next()).unwrap_or("without a message")
}
