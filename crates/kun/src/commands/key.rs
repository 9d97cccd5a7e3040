//! `kun key new`: a key for a server, and the entry by which the server knows it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::cli::{KeyArgs, KeyCommand};
use crate::failure::{Failure, Outcome};
use crate::{key_file, output};

pub(crate) fn run(args: &KeyArgs) -> Outcome {
    let KeyCommand::New { name } = &args.command;
    key_file::check_name(name).map_err(Failure::usage)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::io(format!("the system gives no random numbers: {e}")))?;
    let key = format!("kun-{}", URL_SAFE_NO_PAD.encode(bytes));
    let digits: String = server::keys::hash(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    // TOML's basic strings are written like JSON's.
    let name = serde_json::to_string(name).map_err(|e| Failure::usage(e.to_string()))?;
    output::write(format!("{key}\n\n[[key]]\nname = {name}\nsha256 = \"{digits}\"\n"))?;
    output::note("The first line is the key: it is shown this once. The rest goes into the file of --keys.");
    Ok(())
}
