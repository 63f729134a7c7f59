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

/// The same, read plainly from whole bytes: lists only.
fn plainly(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    fn line(bytes: &mut &[u8], mark: u8) -> Option<usize> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let text = std::str::from_utf8(bytes[..end].strip_prefix(&[mark])?).ok()?;
        *bytes = &bytes[end + 2..];
        text.parse().ok()
    }
    let mut commands = Vec::new();
    while let Some(count) = line(&mut bytes, b'*') {
        let mut command = Vec::new();
        for _ in 0..count {
            let Some(length) = line(&mut bytes, b'$') else { return commands };
            let Some(word) = bytes.get(..length + 2) else { return commands };
            command.push(word[..length].to_vec());
            bytes = &bytes[length + 2..];
        }
        if !command.is_empty() {
            commands.push(command);
        }
    }
    commands
}

#[test]
fn it_finds_what_a_plain_reading_finds_in_any_stream_cut_anywhere() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let mut stream = Vec::new();
        for _ in 0..random.usize(..6) {
            let words: Vec<Vec<u8>> = (0..random.usize(..5))
                .map(|_| (0..random.usize(..120)).map(|_| b"a\r\n$*1"[random.usize(..6)]).collect())
                .collect();
            stream.extend(written(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
        stream.truncate(random.usize(..=stream.len()));
        let expected = plainly(&stream);
        let (mut parts, mut rest): (Vec<&[u8]>, &[u8]) = (Vec::new(), &stream);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(random.usize(1..=rest.len()));
            parts.push(part);
            rest = behind;
        }
        let (commands, violation) = read(&parts, LIMIT);
        assert_eq!((commands, violation), (expected, None), "{}", stream.escape_ascii());
    }
}
