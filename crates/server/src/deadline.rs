//! How long a request may take: what its client says in a header, and what the server allows anybody.
//!
//! A body may say `deadline_ms` as well; whatever comes first holds. The engine ends a request when its time is over, and
//! one that can't be in time is refused before it costs anything.

use std::time::{Duration, Instant};

use axum::http::HeaderMap;

use crate::error::ApiError;

/// Headers with a number of seconds, of which the first that is there counts.
const HEADERS: [&str; 2] = ["timeout", "x-request-timeout"];
/// The longest time that a header may name: a week.
const SECONDS_MAX: f64 = 7.0 * 24.0 * 3600.0;

/// When a request that has just arrived must have its answer.
pub(crate) fn of(
    headers: &HeaderMap,
    request_timeout: Option<Duration>,
) -> Result<Option<Instant>, ApiError> {
    let own = HEADERS.iter().find_map(|name| headers.get(*name).map(|value| (*name, value)));
    let own = match own {
        None => None,
        Some((name, value)) => {
            let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
            let seconds =
                seconds.filter(|seconds| *seconds > 0.0 && *seconds <= SECONDS_MAX).ok_or_else(|| {
                    let message = format!(
                        "the header {name} must be a number of seconds, above 0 and at most {SECONDS_MAX}"
                    );
                    ApiError::field(name, message)
                })?;
            Some(Duration::from_secs_f64(seconds))
        }
    };
    let time = match (own, request_timeout) {
        (Some(own), Some(server)) => Some(own.min(server)),
        (own, server) => own.or(server),
    };
    Ok(time.and_then(|time| Instant::now().checked_add(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_of_the_clients_time_and_the_servers_counts() {
        let check = |headers: &[(&'static str, &'static str)], server: Option<u64>, expect: Option<f64>| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            let before = Instant::now();
            let deadline = of(&headers.collect(), server.map(Duration::from_secs));
            match (deadline, expect) {
                (Ok(None), None) => {}
                (Ok(Some(deadline)), Some(seconds)) => {
                    let off = (deadline - before).as_secs_f64() - seconds;
                    assert!((0.0..1.0).contains(&off), "{seconds}: {off}");
                }
                (deadline, expect) => panic!("{deadline:?}, not {expect:?}"),
            }
        };
        check(&[], None, None);
        check(&[], Some(9), Some(9.0));
        check(&[("timeout", "2.5")], None, Some(2.5));
        check(&[("x-request-timeout", "20")], Some(9), Some(9.0));
        check(&[("x-request-timeout", "2"), ("timeout", "3")], Some(9), Some(3.0));
        for bad in ["0", "-1", "soon", "nan", "inf", "1e9"] {
            let headers = [("timeout".parse().expect("a name"), bad.parse().expect("a value"))];
            let error = of(&headers.into_iter().collect(), None).expect_err(bad);
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some("timeout")));
        }
    }
}
