//! HTTPS: a certificate from files, taken anew on request, and clients that speak something else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::kun::Scratch;
use crate::metrics::open_files;
use crate::model;
use crate::server::{Server, request};

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn pem(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve/tls");
    std::fs::read(folder.join(name)).expect("the file is in the repository")
}

fn start() -> Server {
    let scratch = Scratch::new();
    let certificate = scratch.file("cert.pem", pem("server.pem"));
    let key = scratch.file("key.pem", pem("server.key.pem"));
    let model = model::write(&scratch, "small.gguf");
    let flags =
        ["--tls-cert", certificate.to_str().expect("UTF-8"), "--tls-key", key.to_str().expect("UTF-8")];
    Server::with_models(scratch, &[model.to_str().expect("UTF-8")], &flags)
}

fn connect(server: &Server) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem("ca.pem")).expect("PEM")).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    StreamOwned::new(session, server.connect())
}

/// The whole of what comes back.
fn exchange(server: &Server, text: &str) -> (Tls, String) {
    let mut stream = connect(server);
    stream.write_all(text.as_bytes()).expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("an answer and an orderly end");
    (stream, reply)
}

#[test]
fn answers_come_over_tls_and_only_http_1_1_is_agreed_on() {
    let server = start();
    let body = json!({"prompt": "hello", "max_tokens": 5, "stream": true}).to_string();
    let (stream, reply) = exchange(&server, &request("/v1/completions", &body, &[]));
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.contains("data: [DONE]"), "{reply}");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_client_that_goes_away_is_noticed_behind_tls_too() {
    let server = start();
    let body = json!({"prompt": "hello", "n": 24, "max_tokens": 3500, "ignore_eos": true}).to_string();
    let files = open_files(&server);
    for orderly in [true, false] {
        let mut stream = connect(&server);
        stream.write_all(request("/v1/completions", &body, &[]).as_bytes()).expect("it reads");
        std::thread::sleep(Duration::from_millis(100));
        if orderly {
            stream.conn.send_close_notify();
            stream.flush().expect("it reads");
        }
        drop(stream);
        let started = Instant::now();
        while open_files(&server) > files {
            assert!(started.elapsed() < Duration::from_secs(1), "orderly {orderly}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let (_, reply) =
        exchange(&server, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let used: Vec<f64> = crate::metrics::values(&reply, "kun_kv_pages_used").collect();
    assert_eq!(used, [0.0]);
}

#[test]
fn a_client_that_has_said_all_gets_its_answer_over_tls() {
    let server = start();
    let body = json!({"prompt": "hello", "max_tokens": 900, "ignore_eos": true}).to_string();
    let mut stream = connect(&server);
    stream.write_all(request("/v1/completions", &body, &[]).as_bytes()).expect("it reads");
    stream.conn.send_close_notify();
    stream.flush().expect("it reads");
    stream.sock.shutdown(std::net::Shutdown::Write).expect("a socket");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("an answer");
    assert!(
        reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.contains("\"completion_tokens\":900"),
        "{reply}"
    );
}

#[test]
fn plain_http_on_the_port_is_told_so_and_noise_ends() {
    let server = start();
    let reply = server.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(reply.json(400)["error"]["code"], "https_required");
    for noise in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x00\x01\x02\x03", b"\xff", b"\x16\x03\x01\xff\xff"] {
        let mut stream = server.connect();
        stream.write_all(noise).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("a socket");
        // An alert or nothing, and then the end.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest[0] == 0x15, "{rest:?}");
    }
    let (_, reply) =
        exchange(&server, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
}

#[test]
fn a_renewed_certificate_is_taken_up() {
    let server = start();
    let served = |server: &Server| {
        let text = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        exchange(server, text).0.conn.peer_certificates().expect("certificates")[0].to_vec()
    };
    let of_file = |name: &str| CertificateDer::from_pem_slice(&pem(name)).expect("PEM").to_vec();
    assert_eq!(served(&server), of_file("server.pem"));
    server.scratch.file("cert.pem", pem("renewed.pem"));
    server.scratch.file("key.pem", pem("renewed.key.pem"));
    server.signal(Signal::SIGHUP);
    let started = Instant::now();
    while served(&server) != of_file("renewed.pem") {
        assert!(started.elapsed() < Duration::from_secs(5), "{}", server.log());
    }
}

#[test]
fn files_that_do_not_go_together_end_the_start() {
    let scratch = Scratch::new();
    let model = model::write(&scratch, "small.gguf");
    let certificate = scratch.file("cert.pem", pem("server.pem"));
    let other = scratch.file("other.pem", pem("renewed.key.pem"));
    let none = scratch.file("none.pem", "nothing");
    let run = |certificate: &Path, key: &Path| {
        let args = ["serve", model.to_str().expect("UTF-8"), "--port", "0", "--tls-cert"];
        let files = [certificate.to_str().expect("UTF-8"), "--tls-key", key.to_str().expect("UTF-8")];
        scratch.run(args.iter().chain(&files))
    };
    run(&certificate, &other).fails(2, &["--tls-cert", "cert.pem"]);
    run(&none, &other).fails(2, &["none.pem", "CERTIFICATE"]);
    run(&certificate, &none).fails(2, &["none.pem", "PRIVATE KEY"]);
    run(&certificate, Path::new("missing.pem")).fails(4, &["missing.pem"]);
    let alone = ["serve", "--tls-cert", certificate.to_str().expect("UTF-8")];
    assert_eq!(scratch.run(alone).code, Some(2));
}
