//! The parser's promises: it finds what a plain reading finds, wherever the bytes are cut.

use super::*;

const LIMIT: usize = 1 << 20;

/// What a run of bytes comes to: commands, and the violation that ends it, if one does.
fn read(parts: &[&[u8]], limit: usize) -> (Vec<Vec<Vec<u8>>>, Option<Violation>) {
    let mut parser = Parser::new(limit);
    let (mut commands, mut unread) = (Vec::new(), Vec::new());
    for part in parts {
        unread.extend_from_slice(part);
        loop {
            let words = |args: Args<'_, '_>| args.from(0).map(<[u8]>::to_vec).collect();
            match parser.next(&unread) {
                Ok(Parsed::Part) => break,
                Ok(Parsed::Nothing(length)) => drop(unread.drain(..length)),
                Ok(Parsed::Command(length)) => {
                    commands.push(words(parser.args(&unread)));
                    unread.drain(..length);
                }
                Ok(Parsed::Quoted(length)) => {
                    commands.push(words(parser.quoted().as_args()));
                    unread.drain(..length);
                }
                Err(violation) => return (commands, Some(violation)),
            }
        }
    }
    (commands, None)
}

fn written(command: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[test]
fn commands_are_found_wherever_the_bytes_are_cut() {
    let long = vec![7_u8; 300];
    let mut bytes = written(&[b"SET", b"key", &long]);
    bytes.extend(b"\r\nPING\r\n*0\r\nset \"a b\" 'c'\n*-1\r\n");
    bytes.extend(written(&[b"MGET", b"", b"\r\n$3\r\n", b"0123456789"]));
    let whole = read(&[&bytes], LIMIT);
    assert_eq!(whole.0.len(), 4);
    assert_eq!(whole.0[3][2], b"\r\n$3\r\n");
    assert_eq!(whole.1, None);
    for cut in 0..bytes.len() {
        assert_eq!(read(&[&bytes[..cut], &bytes[cut..]], LIMIT), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single, LIMIT), whole);
}

#[test]
fn what_breaks_the_protocol_is_told_by_redis_names() {
    for (bytes, text) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*1\r\n+3\r\n", "expected '$', got '+'"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999\r\n", "invalid bulk length"),
        (b"*2\r\n$1048570\r\n", "too big request"),
        (b"get \"a\r\n", "unbalanced quotes in request"),
    ] {
        let (commands, violation) = read(&[bytes], LIMIT);
        assert!(commands.is_empty());
        assert_eq!(violation.map(|it| it.to_string()).as_deref(), Some(text), "{bytes:?}");
    }
    let line = vec![b'a'; LINE_MAX];
    assert_eq!(read(&[&line], LIMIT).1, Some(Violation::InlineTooLong));
    let digits = [&b"*"[..], &vec![b'1'; LINE_MAX]].concat();
    assert_eq!(read(&[&digits], LIMIT).1, Some(Violation::CountLineTooLong));
    let digits = [&b"*1\r\n$"[..], &vec![b'1'; LINE_MAX]].concat();
    assert_eq!(read(&[&digits], LIMIT).1, Some(Violation::LengthLineTooLong));
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let mut parser = Parser::new(LIMIT);
    assert_eq!(parser.next(b"*100000\r\n$5\r\n"), Ok(Parsed::Part));
    assert!(parser.held_bytes() < 1024);
}
