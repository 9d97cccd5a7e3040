//! `kun serve`: models behind an HTTP address, until a signal ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use server::{Config, Server};

use crate::cli::ServeArgs;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::session::{self, Ctx, Session};
use crate::{model_file, output};

/// Contexts that the KV cache has room for, whatever runs.
const CONTEXTS: usize = 8;

pub(crate) fn serve(args: ServeArgs, environment: &Environment) -> Outcome {
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
    let config = Config { address: SocketAddr::new(args.host, args.port), ..Config::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::memory(format!("the server's threads cannot be started: {e}")))?;
    runtime.block_on(async {
        let server = Server::bind(config, models).await.map_err(|e| Failure::io(e.to_string()))?;
        let address = server.address().map_err(|e| Failure::io(e.to_string()))?;
        output::note(format!("kun serves at http://{address}"));
        server.run(terminated()).await;
        Ok(())
    })
}

/// Comes to pass when the process is asked to end.
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}
