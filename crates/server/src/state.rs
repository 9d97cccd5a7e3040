//! What all requests share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::error::ApiError;
use crate::front::Front;
use crate::model::ServedModel;

/// The server's state.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) front: Front,
    models: Vec<Arc<ServedModel>>,
    /// When the server started, in seconds since 1970.
    pub(crate) started_unix_seconds: u64,
}

impl App {
    pub(crate) fn new(config: Config, models: Vec<Arc<ServedModel>>) -> Self {
        App { front: Front::new(&config), config, models, started_unix_seconds: unix_seconds() }
    }

    /// The model of that name; the first one if none is named.
    pub(crate) async fn model(&self, name: Option<&str>) -> Result<Arc<ServedModel>, ApiError> {
        let found = match name {
            None => self.models.first(),
            Some(name) => self.models.iter().find(|model| model.name == name),
        };
        let known = || self.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
        found.cloned().ok_or_else(|| ApiError::model_not_found(name.unwrap_or_default(), &known()))
    }

    /// All models.
    pub(crate) fn models(&self) -> &[Arc<ServedModel>] {
        &self.models
    }
}

/// The time of day, in seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
