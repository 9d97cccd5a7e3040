//! From the hidden states of a prompt to its vector: the embedding.
//!
//! The states come in the order of the tokens, however the prompt is cut, and each is added once; the sum is kept in
//! f64. So the vector depends on the prompt alone, to the last bit. It has length 1: only its direction means
//! anything, and the cosine of two such vectors is their product.

/// The vector of a prompt under way.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    sum: Vec<f64>, // [embedding], once there is a state
    tokens: usize,
}

/// A hidden state with a NaN or an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model gave hidden states that are not numbers; its weights or the input may be damaged")]
pub(crate) struct BadHidden;

impl Pool {
    /// How many states it has. The next one must be that of the token at this position, if all are wanted.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Adds a token's state.
    pub(crate) fn add(&mut self, state: &[f32]) {
        self.sum.resize(state.len(), 0.0);
        self.sum.iter_mut().zip(state).for_each(|(sum, &x)| *sum += f64::from(x));
        self.tokens += 1;
    }

    /// The sum of the states, made 1 long, which is their mean made 1 long. No direction, 0, stays as it is.
    pub(crate) fn unit(&self) -> Result<Vec<f32>, BadHidden> {
        let length = self.sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        if !length.is_finite() {
            return Err(BadHidden);
        }
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        Ok(self.sum.iter().map(|x| (x * scale) as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(states: &[[f32; 2]], expect: Result<[f32; 2], BadHidden>) {
        let mut pool = Pool::default();
        states.iter().for_each(|state| pool.add(state));
        assert_eq!(pool.tokens(), states.len());
        assert_eq!(pool.unit(), expect.map(Vec::from), "{states:?}");
    }

    #[test]
    fn the_mean_s_direction() {
        check(&[[3.0, 4.0]], Ok([0.6, 0.8]));
        check(&[[3.0, 0.0], [0.0, -4.0], [0.0, 0.0]], Ok([0.6, -0.8]));
        check(&[[1e-30, 0.0]], Ok([1.0, 0.0]));
        check(&[[f32::MAX, f32::MAX], [f32::MAX, f32::MAX]], Ok([0.5f32.sqrt(); 2]));
        check(&[[0.0, 0.0]], Ok([0.0, 0.0]));
        check(&[[1.0, -1.0], [-1.0, 1.0]], Ok([0.0, 0.0]));
        // One after the other in f32, the small ones would be lost.
        check(&[[1e8, 0.0], [1.0, 0.0], [1.0, 2.0], [-1e8, 0.0]], Ok([0.5f32.sqrt(); 2]));
    }

    #[test]
    fn what_is_no_number_is_no_direction() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            check(&[[0.0, bad]], Err(BadHidden));
            check(&[[bad, 0.0], [1.0, 1.0]], Err(BadHidden));
        }
        check(&[[f32::INFINITY, 0.0], [f32::NEG_INFINITY, 0.0]], Err(BadHidden));
    }
}
