//! The engine as its clients see it: through `Handle` and `Generation`, with a mock for a model.

// The name under which the mock knows the crate; its own tests share the mock.
extern crate engine as kun_engine;

mod answers;
mod bans;
mod elsewhere;
mod ends;
mod kv_events;
mod loops;
mod mock;
mod oracle;
mod order;
mod prefix;
mod refusals;
mod thinking;
