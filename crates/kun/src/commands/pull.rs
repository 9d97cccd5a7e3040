//! `kun pull`: fetches a model into the store.

use weights::store::Store;

use crate::cli::PullArgs;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::{download, output};

pub(crate) fn run(args: &PullArgs, environment: &Environment) -> Outcome {
    let Some(name) = args.model.to_str() else {
        return Err(Failure::usage("a model's name is text: `kun models` lists the names"));
    };
    let path = download::pull(&Store::new(environment.home()?), name, environment)?;
    output::write(format!("{}\n", path.display()))
}
