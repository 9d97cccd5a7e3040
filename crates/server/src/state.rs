//! What all requests share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;

use crate::admission::{Admission, Place};
use crate::body_memory::BodyMemory;
use crate::config::Config;
use crate::error::ApiError;
use crate::front::Front;
use crate::kept::Kept;
use crate::model::ServedModel;
use crate::registry::Registry;

/// The server's state.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) front: Front,
    pub(crate) registry: Arc<Registry>,
    pub(crate) body_memory: BodyMemory,
    /// Files and batches, if there is a folder for them.
    pub(crate) kept: Option<Arc<Kept>>,
    admission: Admission,
    /// When the server started, in seconds since 1970.
    pub(crate) started_unix_seconds: u64,
}

impl App {
    pub(crate) fn new(config: Config, registry: Arc<Registry>) -> Self {
        App {
            body_memory: BodyMemory::new(config.body_memory_bytes),
            kept: None,
            admission: Admission::new(),
            started_unix_seconds: unix_seconds(),
            front: Front::new(&config),
            config,
            registry,
        }
    }

    /// The model of that name, the first one if none is named. It is loaded if need be, and stays as long as it is kept.
    pub(crate) async fn model(&self, name: Option<&str>) -> Result<Arc<ServedModel>, ApiError> {
        self.registry.get(name).await
    }

    /// The same for a request that something is to be computed for. The place is kept until its text has become tokens.
    pub(crate) async fn admit(&self, name: Option<&str>) -> Result<(Arc<ServedModel>, Place<'_>), ApiError> {
        let model = self.registry.get(name).await?;
        let place = self.enter(&model).await?;
        Ok((model, place))
    }

    /// The second half of [`App::admit`], for those who have found the model already.
    pub(crate) async fn enter(&self, model: &ServedModel) -> Result<Place<'_>, ApiError> {
        self.admission.enter(model).await
    }

    /// What is kept of files and batches.
    pub(crate) fn kept(&self) -> Result<Arc<Kept>, ApiError> {
        self.kept.clone().ok_or_else(|| {
            let message = "this server keeps no files: start it with --state-dir DIR";
            ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message).with_code("no_state_dir")
        })
    }

    /// The models that are loaded.
    pub(crate) fn models(&self) -> Vec<Arc<ServedModel>> {
        self.registry.list().into_iter().filter_map(|listed| listed.model).collect()
    }
}

/// The time of day, in seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
