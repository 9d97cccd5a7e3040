//! What stands before the routes: who may come in, and what is noted of each visit.
//!
//! ```text
//! observe (id, log, metrics) ─► origin (CORS) ─► error shape ─► panics ─► gate (head, host, key, drain) ─► route
//! ```

mod gate;
mod origin;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

use crate::anthropic;
use crate::config::Config;
use crate::error::{ApiError, Dialect};
use crate::exchange;
use crate::health::Pulse;
use crate::keys::{Key, KeyRing};
use crate::metrics::Metrics;
use crate::router::{Access, routes};
use crate::state::App;
use crate::tls::Tls;

/// What the front keeps.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pulse: Pulse,
    /// Paths that anybody may read, keys or not.
    open: Vec<&'static str>,
    keys: RwLock<Arc<KeyRing>>,
    tls: RwLock<Option<Tls>>,
    draining: watch::Sender<bool>,
    /// Requests that are answered.
    active: Arc<watch::Sender<usize>>,
    pub(crate) shed: Shed,
}

/// How an idle connection is asked to make room.
#[derive(Debug, Default)]
pub(crate) struct Shed {
    /// It wakes the one that has waited for the longest time.
    notify: Notify,
    waiting: AtomicUsize,
}

impl Shed {
    /// Comes to pass when the connection that awaits it should go. It is idle for so long.
    pub(crate) async fn asked(&self) {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        self.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiting(&self.waiting);
        self.notify.notified().await;
    }

    /// Asks the one that has been idle for the longest time, and tells whether there is one.
    pub(crate) fn ask(&self) -> bool {
        let any = self.waiting.load(Relaxed) > 0;
        if any {
            self.notify.notify_one();
        }
        any
    }
}

/// A request that is answered, up to the last byte of its answer. The end of a drain waits for it.
#[derive(Debug)]
pub(crate) struct ActiveGuard(Arc<watch::Sender<usize>>);

/// Bytes that were no request, and what is said to them.
#[derive(Debug, Clone)]
pub(crate) struct RefusedHead(pub(crate) ApiError);

impl Front {
    pub(crate) fn new(config: &Config) -> Self {
        Front {
            metrics: Arc::default(),
            pulse: Pulse::default(),
            open: routes()
                .iter()
                .filter(|route| route.access == Access::Open)
                .map(|route| route.path)
                .collect(),
            keys: RwLock::new(Arc::new(KeyRing::new(config.keys.clone(), &KeyRing::default()))),
            tls: RwLock::new(config.tls.clone()),
            draining: watch::Sender::new(false),
            active: Arc::new(watch::Sender::new(0)),
            shed: Shed::default(),
        }
    }

    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets these keys in from now on, and no others. What they have taken so far still counts.
    pub(crate) fn set_keys(&self, keys: Vec<Key>) {
        let mut ring = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *ring = Arc::new(KeyRing::new(keys, &ring));
    }

    pub(crate) fn tls(&self) -> Option<Tls> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves new connections with this certificate.
    pub(crate) fn set_tls(&self, tls: Tls) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls);
    }

    /// Takes no new requests from now on.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Comes to pass when no new requests are taken any more.
    pub(crate) async fn drains(&self) {
        // The sender is ours, so the wait can't fail.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }

    pub(crate) fn active(&self) -> ActiveGuard {
        self.active.send_modify(|count| *count += 1);
        ActiveGuard(Arc::clone(&self.active))
    }

    /// Comes to pass when no request is answered.
    pub(crate) async fn is_quiet(&self) {
        let _ = self.active.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Puts the front before routes.
pub(crate) fn before(routes: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    routes
        .layer(middleware::from_fn_with_state(Arc::clone(app), gate::pass))
        .layer(middleware::from_fn(catch_panics))
        .layer(middleware::from_fn(write_errors))
        .layer(middleware::from_fn_with_state(Arc::clone(app), origin::mark))
        .layer(middleware::from_fn_with_state(Arc::clone(app), exchange::observe))
}

/// Routes whose bugs are errors of one request alone, without the rest of the front.
pub(crate) fn without_panics(routes: Router<Arc<App>>) -> Router<Arc<App>> {
    routes.layer(middleware::from_fn(catch_panics))
}

/// A bug that one request brings out is an error of that request alone.
async fn catch_panics(request: Request, next: Next) -> Response<Body> {
    // What a handler shares with others it shares through locks that survive a panic, and the engine's channels.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request failed by a bug of this server; what panicked is said above");
            ApiError::internal("the server failed to answer this request; it is a bug").into_response()
        }
    }
}

/// Writes the bodies of errors in the shape of the API that the path belongs to.
async fn write_errors(request: Request, next: Next) -> Response<Body> {
    let dialect = Dialect::of(request.uri().path(), anthropic::is_asked(request.headers()));
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<ApiError>() {
        Some(error) => {
            let mut written = error.response(dialect);
            // Such as which methods are allowed.
            for (name, value) in response.headers() {
                if !written.headers().contains_key(name) && name != "content-length" {
                    written.headers_mut().insert(name, value.clone());
                }
            }
            written
        }
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn a_panic_of_a_handler_is_an_error_of_its_request_alone() {
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        let routes = Router::new()
            .route("/v1/bad", get(panics))
            .route("/api/bad", get(panics))
            .route("/good", get(|| async { "good" }))
            .layer(middleware::from_fn(catch_panics))
            .layer(middleware::from_fn(write_errors));
        let service = TowerToHyperService::new(routes);
        for (path, status, part) in [
            ("/v1/bad", 500, "\"code\":\"internal_error\""),
            ("/good", 200, "good"),
            ("/api/bad", 500, "{\"error\":\"the server failed"),
            ("/good", 200, "good"),
        ] {
            let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
            let response = service.call(request).await.expect("routes do not fail");
            assert_eq!(response.status().as_u16(), status, "{path}");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert!(String::from_utf8_lossy(&body).contains(part), "{path}: {body:?}");
        }
    }
}
