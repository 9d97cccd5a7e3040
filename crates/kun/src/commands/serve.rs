//! `kun serve`: models behind an HTTP address, until a signal ends it.

mod address;
pub(crate) mod budget;
pub(crate) mod fleet;
mod greeting;

use std::sync::Arc;
use std::time::Instant;

use server::{Control, Server};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::front::FrontFiles;
use crate::interrupt::Interrupts;
use crate::settings::{self, ServeArgs};
use crate::signals::{Signals, Told};
use crate::{log, open_files, output, terminal};

/// Threads that serve connections. The models' threads do the work that takes time.
const CONNECTION_THREADS: usize = 2;
/// Threads for what blocks: templates, and the loading of models. Each thread costs memory of its own.
const BLOCKING_THREADS: usize = 8;

pub(crate) fn serve(args: &ServeArgs, environment: &Environment, interrupts: &Interrupts) -> Outcome {
    let given = settings::gather(args, environment)?;
    let mut settings = settings::settle(&given)?;
    if args.print_config {
        return output::write(settings::printed(&given));
    }
    log::begin(settings.log_format, settings.log_level)?;
    // What is wrong with the files is said before the models are loaded.
    settings.front.apply(&mut settings.server)?;
    open_files::raise_limit();
    engine::give_back_freed_memory();
    let runtime = runtime()?;
    let (fleet, registry) = fleet::prepare(&mut settings, environment)?;
    // Before the models are loaded, which would be in vain if the address can't be had.
    let server = runtime
        .block_on(Server::bind(settings.server.clone(), Arc::clone(&registry)))
        .map_err(address::failure)?;
    let address = server.address().map_err(|e| Failure::io(e.to_string()))?;
    settings.server.kv_feed.address = server.kv_feed_address();
    let started = Instant::now();
    for index in fleet.at_start() {
        registry.insert(index, fleet.open_first(index, &mut terminal::loading())?);
    }
    let outcome = runtime.block_on(async {
        let signals = Signals::listen(interrupts)?;
        greeting::say(&fleet, &settings, address, started.elapsed());
        let (end, ended) = oneshot::channel();
        tokio::spawn(obey(signals, settings.front, server.control(), end));
        // A sender that is gone would be a bug; the server ends in order all the same.
        server.run(async { drop(ended.await) }).await;
        Ok(())
    });
    // What connections still do is of no use to anybody.
    runtime.shutdown_background();
    outcome
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

/// Does what signals say: the first one to end lets what runs finish, the second does not.
async fn obey(mut signals: Signals, files: FrontFiles, control: Control, end: oneshot::Sender<()>) {
    let mut end = Some(end);
    loop {
        let told = signals.next().await;
        match (told, end.take()) {
            (Told::Reload, kept) => {
                end = kept;
                match files.reload(&control) {
                    Ok(()) => tracing::info!("the key file and the certificate were read again"),
                    Err(failure) => tracing::error!(%failure, "nothing was read again: all stays as it was"),
                }
            }
            (_, Some(end)) => drop(end.send(())),
            (told, None) => told.end_at_once(),
        }
    }
}
