//! A server that cannot serve says why, in one line that names the thing, and with its own code.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tidekeep_tests::{ServerProcess, port, tidekeep};

const DATA_DIRECTORY: i32 = 3;
const DAMAGED: i32 = 4;
const CANNOT_LISTEN: i32 = 5;

#[test]
fn a_second_server_on_the_same_directory_is_refused_by_name() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);

    let (status, said) = ServerProcess::refuse(data.path(), port::free(), &[]);

    assert_eq!(status.code(), Some(DATA_DIRECTORY), "{said}");
    assert!(said.contains(&data.path().display().to_string()), "{said}");
    assert!(said.contains(&server.pid().to_string()), "{said}");
    assert_eq!(tidekeep(server.address(), &["ping", "--count", "1"], b"").code, 0);
}

#[test]
fn a_port_in_use_is_refused_by_its_address() {
    let data = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();

    let (status, said) = ServerProcess::refuse(data.path(), port, &[]);

    assert_eq!(status.code(), Some(CANNOT_LISTEN), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
}

#[test]
fn a_data_directory_that_is_none_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not-a-folder");
    fs::write(&file, b"").unwrap();

    let (status, said) = ServerProcess::refuse(&file, port::free(), &[]);

    assert_eq!(status.code(), Some(DATA_DIRECTORY), "{said}");
    assert!(said.contains("not-a-folder"), "{said}");
}

#[test]
fn a_log_damaged_in_the_middle_is_refused_and_left_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(data.path(), &[]);
    for number in 0..50 {
        let put = tidekeep(server.address(), &["put", &format!("key{number}"), "value"], b"");
        assert_eq!(put.code, 0, "{}", put.stderr);
    }
    assert_eq!(server.terminate().code(), Some(0));

    let segment = file_that_holds(data.path(), b"key25");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = find(&bytes, b"key25").expect("the log holds the key as it is");
    bytes[middle] ^= 0x20;
    fs::write(&segment, &bytes).unwrap();

    let (status, said) = ServerProcess::refuse(data.path(), port::free(), &[]);

    assert_eq!(status.code(), Some(DAMAGED), "{said}");
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name), "{said}");
    assert!(fs::read(&segment).unwrap() == bytes, "a refused log was changed");
}

fn file_that_holds(folder: &Path, part: &[u8]) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| find(&bytes, part).is_some()) {
                return path;
            }
        }
    }
    panic!("no file of the log holds the key as it is");
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
