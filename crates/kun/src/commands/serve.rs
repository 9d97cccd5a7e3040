//! `kun serve`: models behind an HTTP address, until a signal ends it.

mod address;
mod budget;
mod fleet;
mod greeting;

use std::sync::Arc;
use std::time::Instant;

use server::{Registry, Server};
use tokio::runtime::Runtime;

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::settings::{self, ServeArgs};
use budget::Wanted;
use fleet::Fleet;

/// Threads that serve connections. The models' threads do the work that takes time.
const CONNECTION_THREADS: usize = 2;
/// Threads for what blocks: templates, and the loading of models. Each thread costs memory of its own.
const BLOCKING_THREADS: usize = 8;

pub(crate) fn serve(args: &ServeArgs, environment: &Environment) -> Outcome {
    let given = settings::gather(args, environment)?;
    let mut settings = settings::settle(&given)?;
    if args.print_config {
        return output::write(settings::printed(&given));
    }
    let (budget, auto) = budget::budget(settings.memory)?;
    settings.server.body_memory_bytes = budget::bodies(budget, settings.server.body_bytes_max);
    let wanted = Wanted {
        budget,
        auto,
        bodies: settings.server.body_memory_bytes as u64,
        queue_max: settings.queue_max,
        sequences_max: settings.sequences_max,
    };
    let runtime = runtime()?;
    let fleet = Arc::new(Fleet::gather(&settings, &wanted, environment)?);
    let registry =
        Registry::new(fleet.entries(), fleet.plan.models, settings.load_wait, Arc::clone(&fleet) as _);
    // Before the models are loaded, which would be in vain if the address can't be had.
    let server = runtime
        .block_on(Server::bind(settings.server.clone(), Arc::clone(&registry)))
        .map_err(address::failure)?;
    let address = server.address().map_err(|e| Failure::io(e.to_string()))?;
    let started = Instant::now();
    for index in fleet.at_start() {
        registry.insert(index, fleet.open_first(index)?);
    }
    greeting::say(&fleet, &settings, address, started.elapsed());
    runtime.block_on(server.run(terminated()));
    Ok(())
}

fn runtime() -> Outcome<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONNECTION_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("kun-http")
        .enable_all()
        .build()
        .map_err(|e| Failure::memory(format!("the server's threads cannot be started: {e}")))
}

/// Comes to pass when the process is asked to end.
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}
