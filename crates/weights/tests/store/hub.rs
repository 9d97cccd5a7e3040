//! `hf:` names: which file of a repository is meant, and lists that a hostile server might send.

use std::fs;

use weights::store::{Store, StoreError};

use crate::server::{Reply, Server};
use crate::{Folder, hub, is_list, sha256};

/// A hub with one repository of these files, each of which has its own name as its content.
fn repository(files: &'static [&'static str]) -> Server {
    Server::start(move |request, _| {
        if is_list(request) {
            let entry = |name: &&str| {
                let (size, oid) = (name.len(), sha256(name.as_bytes()));
                serde_json::json!({"type": "file", "path": name, "size": size, "lfs": {"oid": oid, "size": size}})
            };
            let list: Vec<_> = files.iter().map(entry).collect();
            return Reply::ok(serde_json::to_string(&list).expect("JSON").as_bytes());
        }
        match request.path.strip_prefix("/owner/repo/resolve/main/").filter(|path| files.contains(path)) {
            Some(path) => Reply::file(request, path.as_bytes()),
            None => Reply::status(404),
        }
    })
}

fn pull(server: &Server, folder: &Folder, spec: &str) -> Result<String, StoreError> {
    let path = Store::new(folder.0.clone()).pull(spec, &hub(server), &mut |_| ())?;
    assert!(path.starts_with(&folder.0), "{}", path.display());
    Ok(fs::read_to_string(path).expect("it is there"))
}

#[test]
fn a_name_of_the_hub_means_one_file() {
    let server = repository(&[
        "model.Q2_K.gguf",
        "model.Q4_K_M.gguf",
        "model.Q8_0.gguf",
        "mmproj-Q4_K_M.gguf",
        "deep/model.f16.gguf",
        "README.md",
        "big-Q6_K-00001-of-00002.gguf",
        "big-Q6_K-00002-of-00002.gguf",
    ]);
    for (spec, file) in [
        ("hf:owner/repo", "model.Q4_K_M.gguf"),
        ("hf:owner/repo:Q8_0", "model.Q8_0.gguf"),
        ("hf:owner/repo:q2_k", "model.Q2_K.gguf"),
        ("hf:owner/repo/deep/model.f16.gguf", "deep/model.f16.gguf"),
        ("hf:owner/repo:Q6_K", "big-Q6_K-00001-of-00002.gguf"),
        ("hf:owner/repo/big-Q6_K-00002-of-00002.gguf", "big-Q6_K-00001-of-00002.gguf"),
    ] {
        let folder = Folder::new();
        assert_eq!(pull(&server, &folder, spec).expect(spec), file);
        let parts = if spec.contains("6_K") { 2 } else { 1 };
        assert_eq!(folder.files().iter().filter(|name| name.ends_with(".gguf")).count(), parts, "{spec}");
    }
}

#[test]
fn what_does_not_fit_is_told_with_what_there_is() {
    let server = repository(&["a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "c-Q5_0-00001-of-00002.gguf"]);
    for (spec, parts) in [
        ("hf:owner/repo", &["a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "hf:OWNER/REPO/FILE"][..]),
        ("hf:owner/repo:Q9", &["a-Q4_K_M.gguf"]),
        ("hf:owner/repo/z.gguf", &["a-Q4_K_M.gguf"]),
        ("hf:owner/repo:Q5_0", &["c-Q5_0-00002-of-00002.gguf is missing"]),
        ("hf:owner/nothing", &["404"]),
    ] {
        let error = pull(&server, &Folder::new(), spec).expect_err(spec).to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{spec}: {error}");
        assert!(error.lines().count() <= 3, "{error}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused_before_anybody_is_asked() {
    let server = repository(&[]);
    let long = format!("hf:owner/{}", "r".repeat(5000));
    for spec in [
        "hf:../..",
        "hf:../../etc/passwd.gguf",
        "hf:owner/..",
        "hf:owner/repo/../x.gguf",
        "hf:owner/repo/a/../../x.gguf",
        "hf:owner/repo//x.gguf",
        "hf:owner/repo/.x.gguf",
        "hf:owner\\repo",
        "hf:owner/re po",
        "hf:owner/repo:../x",
        "hf:owner/repo/CON.gguf",
        "hf:owner/repo/a\0b.gguf",
        "hf:",
        "hf:owner",
        "hf:owner/repo/file.bin",
        &long,
    ] {
        let folder = Folder::new();
        let error = pull(&server, &folder, spec).expect_err(spec);
        assert!(error.is_usage(), "{spec}: {error:?}");
        let text = error.to_string();
        assert!(text.len() < 300 && !text.contains('\0'), "{text}");
        assert_eq!(fs::read_dir(&folder.0).expect("it is there").count(), 0, "{spec}");
    }
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn a_list_cannot_lead_out_of_the_store() {
    let server =
        repository(&["../../x-Q4_K_M.gguf", "/etc/y-Q4_K_M.gguf", "a/../z-Q4_K_M.gguf", "c:\\w-Q4_K_M.gguf"]);
    let folder = Folder::new();
    let error = pull(&server, &folder, "hf:owner/repo").expect_err("none of them is a name").to_string();
    assert!(error.contains("no GGUF file"), "{error}");
    assert_eq!(folder.files(), [""; 0]);
}

#[test]
fn a_list_that_is_no_list_is_refused() {
    let bodies: [&[u8]; 6] = [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b"[{\"type\":\"file\",\"path\":\"a.gguf\",\"size\":-1}]",
        &[b'['; 100_000],
    ];
    for body in bodies {
        let server = Server::start(move |_, _| Reply::ok(body));
        let error = pull(&server, &Folder::new(), "hf:owner/repo").expect_err("no list").to_string();
        assert!(error.contains("127.0.0.1") && error.contains("list"), "{error}");
    }
    // A file without a hash that is larger than any disk: refused before it is asked for.
    let server =
        Server::start(|_, _| Reply::ok(br#"[{"type":"file","path":"a.gguf","size":18446744073709551615}]"#));
    let error = pull(&server, &Folder::new(), "hf:owner/repo").expect_err("too large").to_string();
    assert!(error.contains("cannot be"), "{error}");
}

#[test]
fn pages_of_a_list_are_followed_and_end() {
    let server = Server::start(|request, number| {
        let next = format!("link: <{}&cursor={number}>; rel=\"next\"", request.path);
        Reply::ok(b"[]").header(next)
    });
    let error = pull(&server, &Folder::new(), "hf:owner/repo").expect_err("it never ends").to_string();
    assert!(error.contains("more than 50 pages"), "{error}");
}

#[test]
fn a_file_without_a_hash_is_resumed_only_if_it_is_the_same() {
    // Small files are not in the hub's large-file storage; their entity tag tells them apart.
    let content = |version: u8| vec![version; 10_000];
    let server = Server::start(move |request, number| match number {
        _ if is_list(request) => Reply::ok(br#"[{"type":"file","path":"a.gguf","size":10000}]"#),
        1 => Reply::ok(&content(1)).header("etag: \"one\"").cut(4000),
        // The file has changed: If-Range gets the whole new one.
        _ => Reply::ok(&content(2)).header("etag: \"two\""),
    });
    let folder = Folder::new();
    assert_eq!(
        pull(&server, &folder, "hf:owner/repo").expect("fetched"),
        String::from_utf8(content(2)).expect("text")
    );
    let second = &server.asked()[2];
    assert_eq!((second.header("range"), second.header("if-range")), (Some("bytes=4000-"), Some("\"one\"")));
}
