//! The files of `kun serve` that stand before the models: keys and certificates, read at the start and again on SIGHUP.

use std::path::{Path, PathBuf};

use server::{Config, Control, Tls};

use crate::failure::{Failure, Outcome};
use crate::key_file;

/// Where the files are.
#[derive(Debug, Clone, Default)]
pub(crate) struct FrontFiles {
    pub(crate) keys: Option<PathBuf>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
}

impl FrontFiles {
    /// Reads the files.
    pub(crate) fn apply(&self, config: &mut Config) -> Outcome {
        config.keys = self.keys.as_deref().map_or(Ok(Vec::new()), key_file::read)?;
        config.tls = self.tls()?;
        Ok(())
    }

    /// Reads the files again and makes the server use them. What can't be used leaves everything as it is.
    pub(crate) fn reload(&self, control: &Control) -> Outcome {
        let keys = self.keys.as_deref().map(key_file::read).transpose()?;
        if let Some(tls) = self.tls()? {
            control.set_tls(tls);
        }
        if let Some(keys) = keys {
            control.set_keys(keys);
        }
        Ok(())
    }

    fn tls(&self) -> Outcome<Option<Tls>> {
        let (certificate, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            _ => return Err(Failure::usage("--tls-cert and --tls-key belong together: give both")),
        };
        let read = |path: &Path| std::fs::read(path).map_err(|e| Failure::file("read", path, &e));
        let tls = Tls::from_pem(&read(certificate)?, &read(key)?).map_err(|error| {
            Failure::usage(format!(
                "--tls-cert {} --tls-key {}: {error}",
                certificate.display(),
                key.display()
            ))
        })?;
        Ok(Some(tls))
    }
}
