//! `kun rm`: removes a model from the store.

use weights::store::Store;

use crate::cli::RmArgs;
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::terminal::bytes;

pub(crate) fn run(args: &RmArgs, environment: &Environment) -> Outcome {
    let Some(name) = args.model.to_str() else {
        return Err(Failure::usage("a model's name is text: `kun models` lists the names"));
    };
    let freed = Store::new(environment.home()?).remove(name)?;
    output::note(format!("removed {name}, {} are free again", bytes(freed)));
    Ok(())
}
