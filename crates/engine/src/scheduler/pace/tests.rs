//! A machine that exists only as a formula runs steps of the size that the pace asks for.

use super::*;

/// Mixes seeds into numbers, as the mock model's generator does.
struct Random(u64);

impl Random {
    /// Between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}

#[derive(Debug, Clone, Copy)]
struct Machine {
    /// Seconds in which the weights are read once.
    weights: f64,
    /// Seconds of arithmetic for a token.
    token: f64,
    /// Seconds for a token to look at an earlier one.
    position: f64,
    /// How much longer a step can take for no reason that can be seen.
    noise: f64,
    /// How many of a hundred steps take three times as long.
    outliers_percent: f64,
}

const SMALL: Machine =
    Machine { weights: 0.004, token: 0.0006, position: 5e-8, noise: 0.1, outliers_percent: 0.0 };
const LARGE: Machine =
    Machine { weights: 0.030, token: 0.0027, position: 2e-7, noise: 0.1, outliers_percent: 0.0 };
const DEEP: Machine = Machine { position: 2e-6, ..SMALL };
const NOISY: Machine = Machine { noise: 0.3, outliers_percent: 8.0, ..SMALL };

const MACHINES: [Machine; 4] = [SMALL, LARGE, DEEP, NOISY];

impl Machine {
    /// What a step takes without noise. The streams are at a depth of 300.
    fn seconds(&self, work: &Work) -> f64 {
        let tokens = (work.singles + work.prompt_tokens) as f64;
        let positions = work.positions as f64 + 300.0 * work.singles as f64;
        self.weights.max(self.token * tokens) + self.position * positions
    }
}

/// A pace on a machine, and the time that has passed.
struct Run {
    machine: Machine,
    pace: Pace,
    random: Random,
    /// Of every step: what it takes without outliers.
    steps: Vec<f64>,
}

impl Run {
    fn new(machine: Machine, seed: u64) -> Self {
        Run { machine, pace: Pace::new(Some(2.0), 512), random: Random(seed), steps: Vec::new() }
    }

    fn step(&mut self, work: Work) {
        let Machine { noise, outliers_percent, .. } = self.machine;
        let seconds = self.machine.seconds(&work) * (1.0 + noise * self.random.next());
        let outlier = self.random.next() * 100.0 < outliers_percent;
        self.steps.push(seconds);
        let observed = if outlier { 3.0 * seconds } else { seconds };
        self.pace.observe(&work, Duration::from_secs_f64(observed));
    }

    fn generate(&mut self, singles: usize, steps: usize) {
        (0..steps).for_each(|_| self.step(Work { singles, ..Work::default() }));
    }

    /// Computes a prompt from `start` on beside `singles` streams; how many steps that took.
    fn prompt(&mut self, singles: usize, start: usize, tokens: usize) -> usize {
        let (mut at, mut steps) = (start, 0);
        while at < start + tokens {
            let len = self.pace.prompt_tokens(singles, at).min(start + tokens - at);
            assert!(len > 0);
            let positions = (at..at + len).map(|position| position as u64).sum();
            let cut = at + len < start + tokens;
            self.step(Work { singles, prompt_tokens: len, positions, cut });
            (at, steps) = (at + len, steps + 1);
        }
        steps
    }

    fn slowest_since(&self, step: usize) -> f64 {
        self.steps[step..].iter().copied().fold(0.0, f64::max)
    }
}

#[test]
fn a_long_prompt_never_stalls_streams_for_three_times_their_usual_gap() {
    for machine in MACHINES {
        for seed in 0..20 {
            for singles in [1, 2, 8, 16, 32] {
                let mut run = Run::new(machine, seed);
                // The streams' own prompts, then the streams.
                run.prompt(0, 0, 60);
                run.generate(singles, 40);
                let usual = machine.seconds(&Work { singles, ..Work::default() });
                // What can't be avoided: the least that a prompt gets.
                let depth = 2000;
                let least = Work {
                    singles,
                    prompt_tokens: beside_min(singles),
                    positions: beside_min(singles) as u64 * depth,
                    cut: true,
                };
                let bound = (3.0 * usual).max(1.1 * machine.seconds(&least) * (1.0 + machine.noise));
                let begin = run.steps.len();
                let steps = run.prompt(singles, 0, 2000);
                let slowest = run.slowest_since(begin);
                assert!(slowest <= bound, "{slowest} of {usual} s, {singles} streams, {machine:?}");
                assert!(
                    steps <= 2000 / beside_min(singles) + 10,
                    "{steps} steps, {singles} streams, {machine:?}"
                );
            }
        }
    }
}

#[test]
fn a_prompt_takes_what_the_streams_can_spare() {
    // Each step may take as long again as usual; of that time, the prompt should get most.
    for machine in [SMALL, LARGE] {
        for singles in [8, 32] {
            let mut run = Run::new(Machine { noise: 0.0, ..machine }, 1);
            run.generate(singles, 20);
            let begin = run.steps.len();
            let steps = run.prompt(singles, 0, 4000);
            let usual = machine.seconds(&Work { singles, ..Work::default() });
            let mean = run.steps[begin..].iter().sum::<f64>() / steps as f64;
            let least =
                machine.seconds(&Work { singles, prompt_tokens: beside_min(singles), ..Work::default() });
            assert!(mean >= (1.6 * usual).min(least), "{mean} of {usual} s, {singles} streams, {machine:?}");
        }
    }
}

#[test]
fn alone_a_step_is_short_and_still_worth_it() {
    for machine in MACHINES {
        let mut run = Run::new(machine, 3);
        run.prompt(0, 0, 3000);
        // What can't be avoided: the least that it gets, at its end.
        let positions = ALONE_MIN as u64 * 3000;
        let least = Work { prompt_tokens: ALONE_MIN, positions, ..Work::default() };
        let bound = ALONE_SECONDS.max(machine.seconds(&least)) * (1.3 + machine.noise);
        let slowest = run.slowest_since(0);
        assert!(slowest <= bound, "{slowest} s, {machine:?}");
        let whole: f64 = run.steps.iter().sum();
        let at_best = 3000.0 * machine.token + machine.position * 4_500_000.0;
        assert!(whole <= 2.0 * at_best * (1.0 + machine.noise), "{whole} s, {at_best} at best, {machine:?}");
    }
}

#[test]
fn depth_is_learnt() {
    // A prompt that begins behind a long prefix gets fewer tokens from the start than one at depth 0.
    let mut run = Run::new(DEEP, 5);
    run.generate(8, 20);
    run.prompt(8, 0, 3000);
    let (shallow, deep) = (run.pace.prompt_tokens(8, 0), run.pace.prompt_tokens(8, 6000));
    assert!(shallow >= deep, "{shallow} {deep}");
    let mut run = Run::new(DEEP, 5);
    run.prompt(0, 0, 3000);
    let token = |depth| run.pace.alone.at(depth).unwrap();
    assert!(2.0 * token(0.0) < token(3000.0) && 2.0 * token(3000.0) < token(9000.0), "{:?}", run.pace.alone);
}

#[test]
fn what_is_usual_is_measured_again_while_prompts_keep_coming() {
    let mut run = Run::new(SMALL, 7);
    run.generate(8, 20);
    // The machine gets twice as slow; prompts never stop.
    run.machine = Machine { weights: 2.0 * SMALL.weights, token: 2.0 * SMALL.token, ..SMALL };
    for _ in 0..40 {
        run.prompt(8, 0, 600);
    }
    let usual = run.machine.seconds(&Work { singles: 8, ..Work::default() });
    let learnt = run.pace.step_time(8).unwrap().as_secs_f64();
    assert!((0.8..1.5).contains(&(learnt / usual)), "{learnt} s, not {usual}");
}

#[test]
fn nothing_is_known_at_first() {
    let mut pace = Pace::new(Some(2.0), 512);
    assert_eq!((pace.prompt_tokens(0, 0), pace.prompt_tokens(3, 0)), (ALONE_MIN, 1));
    assert_eq!((pace.step_time(3), pace.prompt_speed(0), pace.prompt_speed(3)), (None, None, None));
    pace.observe(&Work { singles: 3, ..Work::default() }, Duration::from_millis(10));
    assert_eq!(pace.prompt_tokens(3, 0), BESIDE_FEW_MIN);
    // Fewer streams are guessed to take less, more to take as long.
    let time = |pace: &Pace, singles| pace.step_time(singles).unwrap().as_millis();
    assert_eq!((time(&pace, 1), time(&pace, 3), time(&pace, 30)), (3, 10, 10));
    assert_eq!(Pace::new(None, 512).prompt_tokens(12, 0), 500);
    assert_eq!(Pace::new(Some(2.0), 4).prompt_tokens(0, 0), 4);
}

#[test]
fn classes_are_in_order_and_begin_where_they_say() {
    for sequences in 1..5000 {
        assert!(class(sequences) <= class(sequences + 1) && class(sequences + 1) <= class(sequences) + 1);
        let smallest = smallest_of_class(class(sequences));
        assert!(smallest <= sequences && class(smallest) == class(sequences), "{sequences}: {smallest}");
    }
    assert!(class(1 << 20) < CLASSES);
}
