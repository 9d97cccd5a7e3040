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
        let tensors: Vec<Matrix<'_>> = gguf
            .tensors()
            .map(|t| Matrix {
                name: &t.name,
                dimensions: t.shape.len(),
                parameters: t.elements(),
                bytes: t.bytes(),
            })
            .collect();
        Self::sum(&tensors)
    }

    fn sum(tensors: &[Matrix<'_>]) -> Self {
        let tied = !tensors.iter().any(|t| t.name == OUTPUT);
        let mut traffic = WeightTraffic::default();
        for &Matrix { name, dimensions, parameters, bytes } in tensors {
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

/// A tensor as far as it matters here; vectors are too.
#[derive(Debug, Clone, Copy)]
struct Matrix<'a> {
    name: &'a str,
    dimensions: usize,
    parameters: u64,
    bytes: u64,
}

const OUTPUT: &str = "output.weight";
const EMBEDDING: &str = "token_embd.weight";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedding_counts_only_where_it_is_the_output_matrix() {
        let matrix = |name, parameters, bytes| Matrix { name, dimensions: 2, parameters, bytes };
        let norm = Matrix { name: "blk.0.attn_norm.weight", dimensions: 1, parameters: 10, bytes: 40 };
        let mut tensors = vec![matrix(EMBEDDING, 100, 50), norm, matrix("blk.0.attn_q.weight", 30, 15)];
        let tied = WeightTraffic { bytes: 65, layer_parameters: 30, output_parameters: 100 };
        assert_eq!(WeightTraffic::sum(&tensors), tied);
        tensors.push(matrix(OUTPUT, 100, 70));
        let untied = WeightTraffic { bytes: 85, layer_parameters: 30, output_parameters: 100 };
        assert_eq!(WeightTraffic::sum(&tensors), untied);
    }
}
