//! `--www DIR`: a folder's files in place of the built-in page, and nothing that is not in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::harness::TestServer;
use crate::http::{Http, Page, get};

const INDEX: &str = "<!doctype html><title>own page</title>";

/// A server of a folder with a page, a script and a secret beside it.
fn serving() -> (TestServer, TempDir) {
    let outer = tempfile::tempdir().expect("a folder can be made");
    let www = outer.path().join("www");
    fs::create_dir_all(www.join("sub")).expect("a folder can be made");
    let secret = outer.path().join("secret.txt");
    let (index, script, below) =
        (www.join("index.html"), www.join("app.js"), www.join("sub/index.html"));
    for (file, text) in
        [(secret, "secret"), (index, INDEX), (script, "let first;"), (below, "below")]
    {
        fs::write(file, text).expect("a file can be written");
    }
    let server = TestServer::with(|config| config.www = Some(www));
    (server, outer)
}

/// Asks with headers of one's own.
fn ask(server: &TestServer, request: &str, headers: &str) -> Page {
    let mut http = Http::connect(server.address);
    let address = server.address;
    http.send(&format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    ));
    http.page(!request.starts_with("HEAD"))
}

fn age(file: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds);
    let file = fs::File::options().write(true).open(file).expect("the file is there");
    file.set_modified(then).expect("a file can be aged");
}

#[test]
fn its_files_are_served_with_their_types_and_the_same_guards() {
    let (server, _outer) = serving();
    let page = get(server.address, "/");
    assert_eq!((page.status, page.body.as_str()), (200, INDEX));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"));
    assert!(policy.ends_with("frame-ancestors 'none'") && !policy.contains("unsafe-inline"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let script = get(server.address, "/app.js?version=1");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(script.body, "let first;");
    let head = ask(&server, "HEAD /app.js", "");
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
}

#[test]
fn a_folder_in_it_has_an_index_and_a_slash() {
    let (server, _outer) = serving();
    assert_eq!(get(server.address, "/sub/").body, "below");
    let moved = get(server.address, "/sub");
    assert_eq!((moved.status, moved.header("location")), (301, Some("/sub/")));
    assert_eq!(get(server.address, "/app.js/").status, 404);
}

#[test]
fn what_else_the_port_serves_goes_on() {
    let (server, _outer) = serving();
    assert_eq!(get(server.address, "/livez").body, "ok\n");
    assert!(get(server.address, "/metrics").body.contains("tidekeep_store_keys"));
    assert_eq!(get(server.address, "/ws").status, 426);
    assert_eq!(get(server.address, "/nothing").status, 404);
    server.client().is_well();
}

#[test]
fn a_change_is_seen_at_once_and_what_is_known_does_not_come_again() {
    let (server, outer) = serving();
    let script = outer.path().join("www/app.js");
    let first = get(server.address, "/app.js").header("etag").unwrap().to_owned();
    let known = |tag: &str| ask(&server, "GET /app.js", &format!("If-None-Match: {tag}\r\n"));
    let again = known(&first);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    // As long as before, and in the same moment by the clocks of some file systems.
    fs::write(&script, "let other;").unwrap();
    let changed = known(&first);
    assert_eq!((changed.status, changed.body.as_str()), (200, "let other;"));
    fs::remove_file(&script).unwrap();
    assert_eq!(known(&first).status, 404);
}

#[test]
fn a_twin_that_was_compressed_before_is_sent_unless_it_is_older() {
    let (server, outer) = serving();
    let www = outer.path().join("www");
    for (name, text) in [("app.js.br", "brotli"), ("app.js.gz", "gzip")] {
        fs::write(www.join(name), text).unwrap();
    }
    age(&www.join("app.js"), 60);
    let accepting =
        |list: &str| ask(&server, "GET /app.js", &format!("Accept-Encoding: {list}\r\n"));
    let brotli = accepting("gzip, br");
    assert_eq!((brotli.body.as_str(), brotli.header("content-encoding")), ("brotli", Some("br")));
    assert_eq!(brotli.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(brotli.header("vary"), Some("accept-encoding"));
    assert_eq!(accepting("gzip").body, "gzip");
    assert_eq!(accepting("br;q=0").body, "let first;");
    age(&www.join("app.js.br"), 120);
    assert_eq!(accepting("gzip, br").body, "gzip", "the brotli twin is of an earlier version");
}

#[test]
fn nothing_outside_of_it_is_reached() {
    let (server, outer) = serving();
    let www = outer.path().join("www");
    fs::write(www.join(".env"), "secret").unwrap();
    symlink(outer.path().join("secret.txt"), www.join("file.txt")).unwrap();
    symlink(outer.path(), www.join("folder")).unwrap();
    symlink(outer.path().join("secret.txt"), www.join("app.js.gz")).unwrap();
    symlink("app.js", www.join("alias.js")).unwrap();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/../../secret.txt",
        "//secret.txt",
        "/file.txt",
        "/folder/secret.txt",
        "/folder/",
        "/.env",
        "/%2Eenv",
    ] {
        let page = get(server.address, path);
        assert_eq!((page.status, page.body.as_str()), (404, "not found\n"), "{path}");
    }
    let twin = ask(&server, "GET /app.js", "Accept-Encoding: gzip\r\n");
    assert_eq!(twin.body, "let first;", "a twin that is elsewhere is none");
    assert_eq!(get(server.address, "/alias.js").body, "let first;", "a link within is a file");
}

#[test]
fn a_file_that_is_too_long_or_none_is_refused() {
    let (server, outer) = serving();
    let www = outer.path().join("www");
    let long = fs::File::create(www.join("long.bin")).unwrap();
    long.set_len((16 << 20) + 1).unwrap();
    let refused = get(server.address, "/long.bin");
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body, "the file cannot be served: it is longer than 16 MiB\n");
    // Whoever opened it would wait for a writer for ever.
    let made = std::process::Command::new("mkfifo").arg(www.join("pipe.js")).status();
    assert!(made.is_ok_and(|status| status.success()));
    assert_eq!(get(server.address, "/pipe.js").status, 404);
}

#[test]
fn readers_that_do_not_read_hold_a_bounded_part_of_memory() {
    let (server, outer) = serving();
    let file = fs::File::create(outer.path().join("www/large.bin")).unwrap();
    file.set_len(16 << 20).unwrap();
    let mut slow = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..9 {
        let mut http = Http::connect(server.address);
        http.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        statuses.push(http.page(false).status);
        slow.push(http);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 503]);
    assert_eq!(get(server.address, "/livez").status, 200);
    drop(slow);
    crate::harness::eventually("room", || get(server.address, "/").status == 200);
}
