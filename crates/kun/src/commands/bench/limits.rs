//! What a machine could do at best with a model. Generation reads all weights once a step and the keys and
//! values of each sequence; a prompt is bounded by multiplications. The nearer of the two is the limit.

use engine::model::Shape;

use super::{GENERATED, Work};
use crate::session::{Machine, Session};
use crate::weight_traffic::WeightTraffic;

/// The machine's two measured limits, and what a token of the model costs.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) machine: Machine,
    traffic: WeightTraffic,
    shape: Shape,
}

impl Limits {
    /// Measures this machine.
    pub(super) fn measure(session: &Session) -> Self {
        Limits { machine: session.machine(), traffic: session.traffic, shape: session.shape.clone() }
    }

    /// The most tokens per second that a test could do.
    pub(super) fn of(&self, work: Work) -> f64 {
        let tokens_by_arithmetic =
            |parameters: u64| self.machine.int8_ops_per_second / (2.0 * parameters as f64);
        match work {
            // Of a prompt, only the last token goes through the output matrix.
            Work::Prompt { .. } => tokens_by_arithmetic(self.traffic.layer_parameters),
            Work::Generation { depth, sequences } => {
                let kv_bytes = sequences * self.kv_bytes(depth + GENERATED / 2);
                let step_bytes = self.traffic.bytes as f64 + kv_bytes as f64;
                let by_reading = sequences as f64 * self.machine.read_bytes_per_second / step_bytes;
                by_reading
                    .min(tokens_by_arithmetic(self.traffic.layer_parameters + self.traffic.output_parameters))
            }
        }
    }

    /// Bytes of keys and values that a token's attention reads at a depth: f16, and no more than the window.
    fn kv_bytes(&self, depth: usize) -> usize {
        let of_layer = |l: &engine::model::KvLayer| {
            2 * 2 * l.heads * l.head_dim * l.window.map_or(depth, |w| w.min(depth))
        };
        self.shape.kv_layers.iter().map(of_layer).sum()
    }
}

#[cfg(test)]
mod tests {
    use engine::model::KvLayer;

    use super::*;

    fn limits() -> Limits {
        Limits {
            machine: Machine { read_bytes_per_second: 1e9, int8_ops_per_second: 1e10 },
            traffic: WeightTraffic {
                bytes: 1_000_000,
                layer_parameters: 1_000_000,
                output_parameters: 250_000,
            },
            shape: Shape {
                vocabulary: 10,
                embedding: 4,
                context_length: 8192,
                kv_layers: vec![
                    KvLayer { heads: 2, head_dim: 64, window: None },
                    KvLayer { heads: 2, head_dim: 64, window: Some(100) },
                ],
            },
        }
    }

    #[test]
    fn a_prompt_is_bounded_by_arithmetic() {
        assert_eq!(limits().of(Work::Prompt { tokens: 512 }), 5000.0);
    }

    #[test]
    fn generation_is_bounded_by_reading_weights_and_the_context_within_its_window() {
        // 512 bytes a token and layer, 1064 tokens in one layer and 100 in the other.
        let expect = 1e9 / (1_000_000.0 + 512.0 * 1164.0);
        assert_eq!(limits().of(Work::Generation { depth: 1000, sequences: 1 }), expect);
    }

    #[test]
    fn many_sequences_are_bounded_by_arithmetic_again() {
        assert_eq!(
            limits().of(Work::Generation { depth: 1, sequences: 100_000 }),
            4000.0_f64.min(1e9 / 512.0 / 130.0)
        );
        let four = limits().of(Work::Generation { depth: 1, sequences: 4 });
        let one = limits().of(Work::Generation { depth: 1, sequences: 1 });
        assert!(four > 3.0 * one && four < 4.0 * one, "{one} {four}");
    }
}
