//! Folders that can't be used, links that lead elsewhere, and what another program left in the store.

use std::fs;
use std::os::unix::fs::symlink;

use weights::store::Store;

use crate::server::{Reply, Server};
use crate::{Folder, file, hub, pull};

fn server() -> Server {
    Server::start(|request, _| Reply::file(request, &file()))
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    fs::write(folder.0.join("file"), "").expect("written");
    // Nobody can make a folder below a file or in /proc, not even root.
    for root in [folder.0.join("file"), folder.0.join("file/below"), "/proc/kun".into()] {
        let store = Store::with_catalogue(
            root.clone(),
            std::sync::Arc::new(crate::catalogue(&file(), crate::HUB_SOURCE)),
        );
        let error = pull(&store, &hub(&server())).0.expect_err("no folder");
        assert!(!error.is_usage() && error.to_string().contains(root.to_str().expect("UTF-8")), "{error}");
    }
}

#[test]
fn a_link_out_of_the_store_is_not_followed() {
    let (folder, elsewhere, server) = (Folder::new(), Folder::new(), server());
    let store = folder.store(&file());
    let path = pull(&store, &hub(&server)).0.expect("fetched");
    let directory = path.parent().expect("it has one").to_path_buf();
    let victim = elsewhere.0.join("victim");
    fs::write(&victim, "precious").expect("written");
    for name in ["small.gguf", "small.gguf.part"] {
        fs::remove_dir_all(&directory).expect("removed");
        fs::create_dir(&directory).expect("made");
        symlink(&victim, directory.join(name)).expect("linked");
        let error = pull(&store, &hub(&server)).0.expect_err("a link");
        assert!(error.to_string().contains("leads out of the store"), "{error}");
    }
    fs::remove_dir_all(&directory).expect("removed");
    symlink(&elsewhere.0, &directory).expect("linked");
    pull(&store, &hub(&server)).0.expect_err("a link");
    store.remove("small").expect_err("a link");
    assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious");
    assert_eq!(fs::read_dir(&elsewhere.0).expect("it is there").count(), 1);
}

#[test]
fn a_store_that_was_meddled_with_mends_itself() {
    let (folder, server) = (Folder::new(), server());
    let store = folder.store(&file());
    let path = pull(&store, &hub(&server)).0.expect("fetched");
    let record = path.with_file_name("model.toml");
    // Without its record or with a broken one, the file is looked at and not fetched again.
    for text in [None, Some("nonsense"), Some("")] {
        match text {
            None => fs::remove_file(&record).expect("removed"),
            Some(text) => fs::write(&record, text).expect("written"),
        }
        assert_eq!(store.list().expect("listed"), []);
        assert_eq!(pull(&store, &hub(&server)).0.expect("mended"), path);
        assert_eq!(server.asked().len(), 1);
    }
    // A file of another size is not the model any more.
    fs::write(&path, "short").expect("written");
    assert_eq!(store.resolve("small").expect("resolved"), None);
    assert_eq!(pull(&store, &hub(&server)).0.expect("mended"), path);
    assert_eq!((server.asked().len(), fs::read(&path).expect("it is there")), (2, file()));
}

#[test]
fn a_folder_in_the_way_of_a_file_is_named() {
    let (folder, server) = (Folder::new(), server());
    let store = folder.store(&file());
    let path = pull(&store, &hub(&server)).0.expect("fetched");
    fs::remove_file(&path).expect("removed");
    fs::remove_file(path.with_file_name("model.toml")).expect("removed");
    fs::create_dir(path.with_file_name("small.gguf.part")).expect("made");
    let error = pull(&store, &hub(&server)).0.expect_err("a folder in the way");
    assert!(!error.is_usage() && error.to_string().contains("small.gguf.part"), "{error}");
}
