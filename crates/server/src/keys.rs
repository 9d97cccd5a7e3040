//! Who may ask, and how much: API keys, known by their hashes only.
//!
//! A key that a client presents is hashed and compared with every entry, in a time that says nothing of how near it came.
//! What its holder takes is counted here: requests at a time, and tokens in windows that begin with their first token.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::error::ApiError;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An entry of the key file.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose it is; it stands in logs and metrics.
    pub name: String,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// Requests that it may have under way.
    pub max_concurrent: Option<usize>,
    /// Tokens, of prompts and answers, that it may take in a minute.
    pub tokens_per_minute: Option<u64>,
    /// The same in a day.
    pub tokens_per_day: Option<u64>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The hash by which a key is known.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// All keys. Without any, everybody may ask.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    holders: Vec<Arc<Holder>>,
}

/// A key and what it has taken.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) key: Key,
    tally: Arc<Tally>,
}

/// What a key has taken. It outlives a reload of the file that names the key.
#[derive(Debug, Default)]
struct Tally {
    running: AtomicUsize,
    windows: Mutex<[Window; 2]>,
}

/// Tokens since a point in time.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    begin: Option<Instant>,
    tokens: u64,
}

/// A request under way of a holder.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Tally>);

impl KeyRing {
    pub(crate) fn new(keys: Vec<Key>, before: &KeyRing) -> Self {
        let holders = keys.into_iter().map(|key| {
            let known = before.holders.iter().find(|holder| holder.key.sha256 == key.sha256);
            let tally = known.map(|holder| Arc::clone(&holder.tally)).unwrap_or_default();
            Arc::new(Holder { key, tally })
        });
        KeyRing { holders: holders.collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// The holder of the key that a request presents. Official clients may send both headers, one of which may have
    /// what is meant for somebody else.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Holder>, ApiError> {
        let presented = presented(headers)?;
        let mut holders = presented.iter().flatten().filter_map(|key| self.holder(key));
        match (holders.next(), holders.next()) {
            (None, _) => Err(unauthorized("this API key is not known here")),
            (Some(one), Some(other)) if !Arc::ptr_eq(&one, &other) => {
                Err(unauthorized("the request has the keys of two different holders"))
            }
            (Some(holder), _) => Ok(holder),
        }
    }

    /// The holder with this number.
    pub(crate) fn holder_with(&self, number: u64) -> Option<Arc<Holder>> {
        self.holders.iter().find(|holder| holder.number() == number).cloned()
    }

    fn holder(&self, key: &str) -> Option<Arc<Holder>> {
        let hash = hash(key);
        // Every entry is looked at, and none of them decides how long it takes.
        let mut found = u64::MAX;
        for (index, holder) in (0_u64..).zip(&self.holders) {
            found.conditional_assign(&index, holder.key.sha256.ct_eq(&hash));
        }
        usize::try_from(found).ok().and_then(|index| self.holders.get(index)).cloned()
    }
}

/// The keys in a request's headers, at least one.
fn presented(headers: &HeaderMap) -> Result<[Option<&str>; 2], ApiError> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => match value.to_str() {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(unauthorized("the API key has characters that no key has")),
            },
            (Some(_), Some(_)) => Err(unauthorized("the request has more than one key in the same header")),
        }
    };
    let bearer = only(AUTHORIZATION.as_str())?.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let keys = [bearer, only("x-api-key")?.map(str::trim)].map(|key| key.filter(|key| !key.is_empty()));
    if keys == [None, None] {
        return Err(unauthorized("this server wants an API key: send Authorization: Bearer KEY"));
    }
    Ok(keys)
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "authentication_error", message).with_code("invalid_api_key")
}

impl Holder {
    /// A number that is the holder's own, for fairness among holders.
    pub(crate) fn number(&self) -> u64 {
        u64::from_le_bytes(self.key.sha256[..8].try_into().expect("eight of the hash's bytes"))
    }

    /// Leave to begin a request, kept as long as it runs.
    pub(crate) fn admit(&self, now: Instant) -> Result<Permit, ApiError> {
        self.check_quotas(now)?;
        let most = self.key.max_concurrent.unwrap_or(usize::MAX);
        let taken = self
            .tally
            .running
            .try_update(Relaxed, Relaxed, |running| (running < most).then_some(running + 1));
        if taken.is_err() {
            let message = format!("this API key has {most} requests under way already, which is its limit");
            return Err(ApiError::overloaded(message, Duration::from_secs(1)).with_code("concurrency_limit"));
        }
        Ok(Permit(Arc::clone(&self.tally)))
    }

    /// Counts tokens of a request.
    pub(crate) fn charge(&self, tokens: u64, now: Instant) {
        let mut windows = self.tally.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for (window, length) in windows.iter_mut().zip([MINUTE, DAY]) {
            window.turn(now, length);
            window.begin.get_or_insert(now);
            window.tokens = window.tokens.saturating_add(tokens);
        }
    }

    /// Refuses while a quota is used up.
    pub(crate) fn check_quotas(&self, now: Instant) -> Result<(), ApiError> {
        let mut windows = self.tally.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let quotas = [(self.key.tokens_per_minute, MINUTE, "minute"), (self.key.tokens_per_day, DAY, "day")];
        // The longest wait is the one that counts.
        let mut refused = None;
        for (window, (quota, length, name)) in windows.iter_mut().zip(quotas) {
            window.turn(now, length);
            if let (Some(quota), Some(begin)) = (quota, window.begin)
                && window.tokens >= quota
            {
                let message = format!("this API key has used its {quota} tokens of this {name}");
                let wait = (begin + length).saturating_duration_since(now);
                refused = Some(ApiError::overloaded(message, wait).with_code("quota_exceeded"));
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

impl Window {
    /// Begins anew if it is over.
    fn turn(&mut self, now: Instant, length: Duration) {
        if self.begin.is_some_and(|begin| now.saturating_duration_since(begin) >= length) {
            *self = Window::default();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        let (max_concurrent, tokens_per_minute, tokens_per_day) = (None, None, None);
        Key { name: name.to_owned(), sha256: hash(name), max_concurrent, tokens_per_minute, tokens_per_day }
    }

    fn ring(keys: Vec<Key>) -> KeyRing {
        KeyRing::new(keys, &KeyRing::default())
    }

    #[test]
    fn a_key_is_taken_from_either_header_and_from_both_if_they_do_not_disagree() {
        let ring = ring(vec![key("one"), key("two")]);
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<&'a str, &'a str>);
        let cases: &[Case<'_>] = &[
            (&[("authorization", "Bearer two")], Ok("two")),
            (&[("authorization", "bearer  one ")], Ok("one")),
            (&[("x-api-key", "one")], Ok("one")),
            (&[("x-api-key", "one"), ("authorization", "Bearer one")], Ok("one")),
            (&[("x-api-key", "one"), ("authorization", "Bearer another's")], Ok("one")),
            (&[("x-api-key", "another's"), ("authorization", "Bearer one")], Ok("one")),
            (&[("x-api-key", "one"), ("authorization", "Bearer two")], Err("two different")),
            (&[("authorization", "Bearer one"), ("authorization", "Bearer one")], Err("more than one")),
            (&[("authorization", "Basic one")], Err("wants an API key")),
            (&[("authorization", "one")], Err("wants an API key")),
            (&[("authorization", "Bearer ")], Err("wants an API key")),
            (&[("x-api-key", "three")], Err("not known")),
            (&[], Err("wants an API key")),
        ];
        for (sent, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in *sent {
                headers.append(*name, value.parse().expect("a header"));
            }
            match (ring.authenticate(&headers), expected) {
                (Ok(holder), Ok(name)) => assert_eq!(holder.key.name, *name),
                (Err(error), Err(part)) => {
                    assert!(error.message.contains(part), "{sent:?}: {}", error.message);
                    assert_eq!((error.status.as_u16(), error.code), (401, Some("invalid_api_key")));
                }
                (found, _) => panic!("{sent:?} gave {found:?}"),
            }
        }
    }

    #[test]
    fn a_quota_ends_with_its_window_and_survives_a_reload() {
        let limited = Key { tokens_per_minute: Some(100), tokens_per_day: Some(150), ..key("one") };
        let ring = ring(vec![limited.clone()]);
        let holder = Arc::clone(&ring.holders[0]);
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        holder.charge(99, begin);
        assert!(holder.admit(at(1)).is_ok());
        holder.charge(1, at(2));
        let refused = |holder: &Holder, seconds| {
            let error = holder.admit(at(seconds)).expect_err("the quota is used up");
            assert_eq!((error.status.as_u16(), error.code), (429, Some("quota_exceeded")));
            error.retry_after.map(|wait| wait.as_secs())
        };
        assert_eq!(refused(&holder, 20), Some(40));
        let reloaded = KeyRing::new(vec![key("other"), limited], &ring);
        assert_eq!(refused(&reloaded.holders[1], 30), Some(30));
        assert!(holder.admit(at(60)).is_ok());
        holder.charge(100, at(60));
        assert_eq!(refused(&holder, 100), Some(86_300), "the day's quota is used up as well");
    }

    #[test]
    fn a_key_has_so_many_requests_at_a_time() {
        let ring = ring(vec![Key { max_concurrent: Some(1), ..key("one") }]);
        let holder = &ring.holders[0];
        let permit = holder.admit(Instant::now()).expect("the first");
        let error = holder.admit(Instant::now()).expect_err("the second");
        assert_eq!((error.status.as_u16(), error.code), (429, Some("concurrency_limit")));
        drop(permit);
        assert!(holder.admit(Instant::now()).is_ok());
    }
}
