//! Drives `kun load` against a server of this machine that is told how to behave.

mod answers;
#[path = "../cli/ctrl_c.rs"]
mod ctrl_c;
mod endings;
#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
mod requests;
mod server;
