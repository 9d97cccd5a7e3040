//! What a model's matrices cost per token: bytes to read and numbers to multiply.

use weights::gguf::Gguf;

/// The matrices that every token goes through. The embedding is left out, a token reads one row of it; where
/// it serves as the output matrix too, it is counted as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WeightTraffic {
    /// Bytes of all matrices, as they stand in the file.
    pub(crate) bytes: u64,
    /// Parameters in the layers' matrices.
    pub(crate) layer_parameters: u64,
    /// Parameters in the output matrix.
    pub(crate) output_parameters: u64,
}

impl WeightTraffic {
    /// Adds up the matrices of a file.
    pub(crate) fn of(gguf: &Gguf) -> Self {
        let tensors = gguf.tensors().map(|t| (t.name(), t.shape().len(), t.parameters(), t.bytes().len() as u64));
        Self::sum(tensors)
    }

    fn sum<'a>(tensors: impl Iterator<Item = (&'a str, usize, u64, u64)> + Clone) -> Self {
        let tied = !tensors.clone().any(|(name, ..)| name == OUTPUT);
        let mut traffic = WeightTraffic::default();
        for (name, dimensions, parameters, bytes) in tensors {
            let is_output = name == OUTPUT || (tied && name == EMBEDDING);
            if is_output {
                traffic.output_parameters += parameters;
                traffic.bytes += bytes;
            } else if dimensions >= 2 && name != EMBEDDING {
                traffic.layer_parameters += parameters;
                traffic.bytes += bytes;
            }
        }
        traffic
    }
}

const OUTPUT: &str = "output.weight";
const EMBEDDING: &str = "token_embd.weight";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedding_counts_only_where_it_is_the_output_matrix() {
        let mut tensors =
            vec![("token_embd.weight", 2, 100, 50), ("blk.0.attn_norm.weight", 1, 10, 40), ("blk.0.attn_q.weight", 2, 30, 15)];
        let tied = WeightTraffic { bytes: 65, layer_parameters: 30, output_parameters: 100 };
        assert_eq!(WeightTraffic::sum(tensors.iter().copied()), tied);
        tensors.push(("output.weight", 2, 100, 70));
        let untied = WeightTraffic { bytes: 85, layer_parameters: 30, output_parameters: 100 };
        assert_eq!(WeightTraffic::sum(tensors.iter().copied()), untied);
    }
}
