//! The architectures with tiny models, and with real ones where there are any.

mod embeddings;
mod goldens;
mod invariance;
mod refusals;
mod tiny;
