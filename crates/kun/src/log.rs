//! The server's log: lines on standard error, for people or for programs.

use std::io;

use clap::ValueEnum;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::failure::{Failure, Outcome};

/// How a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Words
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// What is worth a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing
    Off,
    /// What must be looked into
    Error,
    /// What should be looked into
    Warn,
    /// Every request
    #[default]
    Info,
    /// What helps to find a mistake
    Debug,
}

/// Begins the log of this process.
pub(crate) fn begin(format: LogFormat, level: LogLevel) -> Outcome {
    let own = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // What libraries say of their insides helps only those who look for a mistake.
    let others = if level == LogLevel::Debug { own } else { own.min(LevelFilter::from_level(Level::WARN)) };
    let filter = Targets::new().with_default(others).with_target("kun", own).with_target("server", own);
    // A line that can't be written is nobody's business: whoever closed standard error wants none.
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|e| Failure::io(format!("the log can't be begun: {e}")))
}
