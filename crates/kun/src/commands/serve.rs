//! `kun serve`: models behind an HTTP address, until a signal ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use server::{Config, Control, Server};
use tokio::sync::oneshot;

use crate::cli::ServeArgs;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::front::FrontFlags;
use crate::interrupt::Interrupts;
use crate::session::{self, Ctx, Session};
use crate::signals::{Signals, Told};
use crate::{log, model_file, open_files, output};

/// Contexts that the KV cache has room for, whatever runs.
const CONTEXTS: usize = 8;

pub(crate) fn serve(args: ServeArgs, environment: &Environment, interrupts: &Interrupts) -> Outcome {
    log::begin(args.front.log_format, args.front.log_level)?;
    // What is wrong with the flags and the files is said before the models are loaded.
    let mut config = Config { address: SocketAddr::new(args.host, args.port), ..Config::default() };
    args.front.apply(&mut config)?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let names = if args.models.is_empty() { vec![model_file::default_name()] } else { args.models };
    let mut models = Vec::new();
    for name in &names {
        let ctx = Ctx::of_flag(args.engine.ctx);
        let options = session::Options {
            ctx,
            threads: args.engine.threads,
            sequences: 256,
            kv_tokens: CONTEXTS * 8192,
        };
        models.push(Arc::new(Session::open(name, &options, environment)?.into_served()));
    }
    open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::memory(format!("the server's threads cannot be started: {e}")))?;
    let outcome = runtime.block_on(async {
        let server = Server::bind(config, models).await.map_err(|e| Failure::io(e.to_string()))?;
        let address = server.address().map_err(|e| Failure::io(e.to_string()))?;
        let signals = Signals::listen(interrupts)?;
        output::note(format!("kun serves at {scheme}://{address}"));
        let (end, ended) = oneshot::channel();
        tokio::spawn(obey(signals, args.front, server.control(), end));
        // A sender that is gone would be a bug; the server ends in order all the same.
        server.run(async { drop(ended.await) }).await;
        Ok(())
    });
    // What connections still do is of no use to anybody.
    runtime.shutdown_background();
    outcome
}

/// Does what signals say: the first one to end lets what runs finish, the second does not.
async fn obey(mut signals: Signals, front: FrontFlags, control: Control, end: oneshot::Sender<()>) {
    let mut end = Some(end);
    loop {
        let told = signals.next().await;
        match (told, end.take()) {
            (Told::Reload, kept) => {
                end = kept;
                match front.reload(&control) {
                    Ok(()) => tracing::info!("the key file and the certificate were read again"),
                    Err(failure) => tracing::error!(%failure, "nothing was read again: all stays as it was"),
                }
            }
            (_, Some(end)) => drop(end.send(())),
            (told, None) => told.end_at_once(),
        }
    }
}
