//! What goes wrong: one line, a hint, the exit code of its class.

use crate::store::{Store, command, offline, run};

#[test]
fn no_server_is_exit_code_five_with_a_hint() {
    for arguments in [&["get", "k"][..], &["put", "k", "v"], &["ping"], &["test"], &["watch"]] {
        let run = offline(arguments, b"");
        assert_eq!((run.code, run.text()), (5, ""), "{arguments:?}");
        assert_eq!(
            run.stderr,
            "error: cannot reach 127.0.0.1:1: Connection refused (os error 111) (network)\n\
             hint: start a server with `tidekeep-server`, or name another with --server\n",
            "{arguments:?}"
        );
    }
}

#[test]
fn the_environment_names_the_server() {
    let mut command = command("");
    command.env("KV_HOST", "127.0.0.1").env("KV_PORT", "1").args(["get", "k"]);
    let by_host = run(&mut command, b"");
    assert_eq!(by_host.code, 5);
    assert!(by_host.stderr.contains("cannot reach tcp://127.0.0.1:1: "), "{}", by_host.stderr);
    command.env("KV_PORT", "many");
    let wrong = run(&mut command, b"");
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.starts_with("error: KV_PORT is \"many\""), "{}", wrong.stderr);
}

#[test]
fn an_address_that_is_none_is_invalid_input() {
    let run = run(command("ftp://somewhere").args(["get", "k"]), b"");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("(invalid-input)"), "{}", run.stderr);
}

#[test]
fn what_is_over_a_limit_is_exit_code_four() {
    let store = Store::start(&["--max-value-bytes", "1000"]);
    let value = vec![b'x'; 1001];
    let run = store.run_with(&["put", "k", "-"], &value);
    assert_eq!((run.code, run.text()), (4, ""));
    assert!(run.stderr.contains("(too-large)\nhint: "), "{}", run.stderr);
    assert_eq!(store.run_with(&["put", "k", "-"], &value[1..]).code, 0);
    let key = "k".repeat(1025);
    assert_eq!(store.run(&["put", &key, "v"]).code, 4);
    assert_eq!(store.run(&["put", "", "v"]).code, 2);
    assert_eq!(store.ok(&["list", "--count"]), "1\n");
}

#[test]
fn a_port_of_something_else_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP ready, say hello\r\n")
            .unwrap();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    let run = run(command(&address).args(["get", "k"]), b"");
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("(protocol)"), "{}", run.stderr);
    other.join().unwrap();
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let run = run(command(&address).args(["get", "k", "--timeout", "200ms"]), b"");
    assert_eq!(run.code, 5);
    assert!(run.stderr.contains("(timeout)"), "{}", run.stderr);
}

#[test]
fn verbose_tells_what_the_connection_does() {
    let run = run(command("127.0.0.1:1").env("KV_VERBOSE", "1").args(["get", "k"]), b"");
    assert!(run.stderr.contains("connecting"), "{}", run.stderr);
    let quiet = offline(&["get", "k"], b"");
    assert_eq!(quiet.stderr.lines().count(), 2);
}
