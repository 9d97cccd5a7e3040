//! The catalogue's default model, if the machine has it.

use std::path::PathBuf;

use weights::catalogue::Catalogue;

/// Its file in the folder that `KUN_TEST_MODELS` names, or a loud line that it isn't there.
pub(crate) fn model() -> Option<PathBuf> {
    let catalogue = Catalogue::builtin();
    let path = std::env::var_os("KUN_TEST_MODELS")
        .map(|folder| PathBuf::from(folder).join(&catalogue.default_model().file))
        .filter(|path| path.is_file());
    if path.is_none() {
        let what = "KUN_TEST_MODELS names no folder with the default model";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}, and CI must not skip this");
        eprintln!("SKIPPED: {what}");
    }
    path
}
