//! `kun serve` through the real binary, over real connections.

#[path = "../broken_models/cases.rs"]
#[allow(dead_code, reason = "shared with the tests of broken models")]
mod broken;
#[path = "../cli/kun.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod kun;
#[path = "../cli/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod model;
mod measure;
mod real;
mod server;
#[path = "../cli/vocabulary.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod vocabulary;

mod faults;
mod openai;
mod under_load;
