//! shell: the same verbs, a line each, from a script as from a person.

use crate::store::Store;

#[test]
fn lines_run_as_commands() {
    let store = Store::start(&[]);
    let script = b"put name \"John Doe\"\n# a comment\n\nget name -o raw\nput 'a b' \"x\\ty\"\n\
                   list\nincr n --by 2\nexit\nput never reached\n";
    let run = store.run_with(&["shell"], script);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.text(), "revision 1\nJohn Doerevision 2\na b\tx\\ty\nname\tJohn Doe\n2\n");
    assert_eq!(store.ok(&["list", "--count"]), "3\n");
}

#[test]
fn a_wrong_line_is_told_and_the_shell_goes_on() {
    let store = Store::start(&[]);
    let run = store.run_with(&["shell"], b"fetch x\nget nobody\nput k \"open\nshell\nput k v\n");
    assert_eq!((run.code, run.text()), (0, "revision 1\n"));
    assert!(run.stderr.contains("column 7: the quote is not closed"), "{}", run.stderr);
    assert!(run.stderr.contains("unrecognized subcommand 'fetch'"), "{}", run.stderr);
    assert!(run.stderr.contains("there is no key \"nobody\" (not-found)"), "{}", run.stderr);
    let run = store.run_with(&["shell"], b"shell\nput k v\n");
    assert!(run.stderr.contains("this is the shell already"), "{}", run.stderr);
    assert_eq!((run.code, run.text()), (0, "revision 2\n"));
    let run = store.run_with(&["shell"], b"get k\nget nobody\n");
    assert_eq!(run.code, 1, "the exit code is the last line's");
}

#[test]
fn the_shells_own_options_are_the_lines_defaults() {
    let store = Store::start(&[]);
    store.ok(&["put", "k", "v"]);
    let run = store.run_with(&["shell", "-o", "json"], b"get k\nget k -o raw\n");
    assert_eq!(
        run.text(),
        "{\"key\":\"k\",\"value\":\"v\",\"created\":1,\"modified\":1,\"version\":1}\nv"
    );
}
