//! What a person at a terminal sees: safe text, lines that fit, questions, completion. `script` from
//! util-linux lends the terminal.

use std::process::Command;

use tidekeep_tests::Run;

use crate::store::{Store, run};

/// Runs a shell line on a terminal of 60 columns, `typed` being what a person types.
fn on_a_terminal(store: &Store, line: &str, typed: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_tidekeep");
    let line =
        format!("stty cols 60 rows 20; {}", line.replace("tidekeep ", &format!("{program} ")));
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]);
    command.env("TIDEKEEP_SERVER", store.server.address());
    command.env("NO_COLOR", "1").env("TERM", "xterm").env("SHELL", "/bin/sh");
    command.env("XDG_STATE_HOME", store.folder());
    run(&mut command, typed.as_bytes())
}

#[test]
fn a_value_is_shown_safely_and_ends_its_line() {
    let store = Store::start(&[]);
    store.ok(&["put", "-e", "k", "bell\\x07\\x1b[2J\\xff"]);
    assert_eq!(on_a_terminal(&store, "tidekeep get k", "").text(), "bell\\x07\\x1b[2J\\xff\r\n");
    store.ok(&["put", "lines", "one\ntwo\n"]);
    assert_eq!(on_a_terminal(&store, "tidekeep get lines", "").text(), "one\r\ntwo\r\n");
}

#[test]
fn a_list_fits_the_terminal() {
    let store = Store::start(&[]);
    store.ok(&["put", "long", &"x".repeat(500)]);
    store.ok(&["put", "a/longer/key", "日本語"]);
    let list = on_a_terminal(&store, "tidekeep list", "");
    let wanted = format!("a/longer/key  日本語\r\nlong          {}…\r\n", "x".repeat(45));
    assert_eq!(list.text(), wanted);
}

#[test]
fn deleting_many_keys_asks_first() {
    let store = Store::start(&[]);
    store.ok(&["put", "app/a", "1"]);
    store.ok(&["put", "app/b", "2"]);
    let no = on_a_terminal(&store, "tidekeep delete --prefix app/", "n\n");
    assert!(no.text().contains("Delete every key that begins with \"app/\" (2)? [y/N]"), "{no:?}");
    assert!(no.text().ends_with("nothing was deleted\r\n"), "{no:?}");
    assert_eq!(no.code, 2);
    assert_eq!(store.ok(&["list", "--count"]), "2\n");
    let yes = on_a_terminal(&store, "tidekeep delete --prefix app/", "y\n");
    assert!(yes.text().ends_with("deleted 2\r\n"), "{yes:?}");
    assert_eq!(store.ok(&["list", "--count"]), "0\n");
}

#[test]
fn the_shell_completes_verbs_and_keys_and_keeps_a_history() {
    let store = Store::start(&[]);
    store.ok(&["put", "packages/admin/tree", "a plant"]);
    store.ok(&["put", "packages/admin/zsh", "a shell"]);
    let typed = "ge\tpack\tadmin/t\t\rexit\r";
    let shell = on_a_terminal(&store, "tidekeep shell", typed);
    assert!(shell.text().contains("a plant\r\n"), "{shell:?}");
    assert_eq!(shell.code, 0, "{shell:?}");
    let history = store.folder().join("tidekeep/history");
    let lines = std::fs::read_to_string(&history).unwrap();
    assert!(lines.contains("get packages/admin/tree"), "{lines}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&history.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others may read what was typed");
}
