//! A model in the caller's own process: no terminal, no socket. What other languages build on.
//!
//! Text goes in and comes out through the routes of the service ([`Local::service`]), so that parameters, errors, tools and
//! forms are those of HTTP. Token ids go straight to the engine ([`Local::handle`]).

use std::ffi::OsStr;
use std::sync::Arc;

use engine::engine::Handle;
use server::{Defaults, Details, InProcess};
use text::tokenizer::Tokenizer;
use weights::download::Progress;
use weights::store::Store;

use crate::commands::serve::fleet;
use crate::environment::Environment;
use crate::{model_file, settings};

pub use crate::failure::{Failure, Kind};

/// A model that answers within this process. Dropping it ends what still runs.
#[derive(Debug)]
pub struct Local {
    /// The name that requests may give; they need give none.
    pub name: String,
    /// The engine: token ids in, token ids out.
    pub handle: Handle,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// What the model is.
    pub details: Details,
    /// What suits it where a request says nothing.
    pub defaults: Defaults,
    /// The routes of the service.
    pub service: InProcess,
}

/// How far the opening of a model is.
#[derive(Debug)]
pub enum Opening<'a> {
    /// It is being fetched.
    Fetching(&'a Progress),
    /// So much of its weights is in memory, 0 to 1.
    Loading(f32),
}

impl Local {
    /// Opens a model by name or path, and fetches it if it has a name and is not here yet. `settings` are those of
    /// `kun serve` by their names, such as `("memory", "8GiB")` or `("ctx", "4096")`. The variables that hold for
    /// models and the hub hold here as well; those that are settings of the server do not.
    ///
    /// # Errors
    /// A setting that can't be, a model that can't be found, fetched, read or run, or no memory for it.
    pub fn open(
        model: Option<&OsStr>,
        settings: &[(&str, &str)],
        told: &mut dyn FnMut(Opening<'_>),
    ) -> Result<Local, Failure> {
        let environment = Environment::read_without_settings()?;
        let mut settings = settings::of(settings)?;
        let model = model.map_or_else(model_file::default_name, OsStr::to_owned);
        fetch(&model, &environment, told)?;
        settings.models = vec![model];
        // Nobody comes over a network.
        settings.server.connections_max = 0;
        let (fleet, registry) = fleet::prepare(&mut settings, &environment)?;
        let served = fleet.open_first(0, &mut |share| told(Opening::Loading(share)))?;
        let (name, handle, tokenizer) =
            (served.name.clone(), served.handle.clone(), Arc::clone(&served.tokenizer));
        let (details, defaults) = (served.details.clone(), served.defaults.clone());
        registry.insert(0, served);
        let service = InProcess::new(settings.server, registry);
        Ok(Local { name, handle, tokenizer, details, defaults, service })
    }

    /// Takes no more requests, and ends those that run.
    pub fn shut_down(&self) {
        self.service.shut_down();
        self.handle.shutdown();
    }
}

/// Fetches a model that has a name and is not here yet.
fn fetch(model: &OsStr, environment: &Environment, told: &mut dyn FnMut(Opening<'_>)) -> Result<(), Failure> {
    let Some(name) = model.to_str().filter(|name| !model_file::is_path(name)) else { return Ok(()) };
    let store = Store::new(environment.home()?);
    if store.resolve(name)?.is_none() {
        store.pull(name, &environment.hub, &mut |progress| told(Opening::Fetching(&progress)))?;
    }
    Ok(())
}
