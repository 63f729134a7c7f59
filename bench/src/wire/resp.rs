//! RESP2, as every Redis client speaks it. The same bytes go to Redis and to Tidekeep.

use std::net::TcpStream;

use super::{Answer, Broken, Shape, Step, Template, Wire};
use crate::content::KEY_BYTES;

/// A connection to a server that speaks RESP.
pub struct Resp;

impl Wire for Resp {
    fn open(_stream: &mut TcpStream) -> Result<Self, Broken> {
        Ok(Self)
    }

    fn get() -> Template {
        Template::find(&command(&[b"GET", &[Template::KEY; KEY_BYTES]]), 0, &[])
    }

    fn set(shape: Shape) -> Template {
        let value = vec![Template::VALUE; shape.value_bytes];
        let mut words = vec![&b"SET"[..], &[Template::KEY; KEY_BYTES], &value];
        let ttl_ms = shape.ttl_ms.map(|ttl_ms| ttl_ms.to_string());
        if let Some(ttl_ms) = &ttl_ms {
            words.extend([&b"PX"[..], ttl_ms.as_bytes()]);
        }
        Template::find(&command(&words), shape.value_bytes, &[])
    }

    fn next<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, Broken> {
        let Some((first, rest)) = input.split_first() else { return Ok(Step::Incomplete) };
        let Some(end) = rest.iter().position(|byte| *byte == b'\r') else {
            return Ok(Step::Incomplete);
        };
        let line = &rest[..end];
        let mut bytes = 1 + end + 2;
        if input.len() < bytes {
            return Ok(Step::Incomplete);
        }
        let answer = match first {
            b'+' if line == b"OK" => Answer::Written,
            b'-' => Answer::Refused(String::from_utf8_lossy(line).into_owned()),
            b'$' if line == b"-1" => Answer::Missing,
            b'$' => {
                let length = number(line)?;
                let value = bytes..bytes + length;
                bytes += length + 2;
                if input.len() < bytes {
                    return Ok(Step::Incomplete);
                }
                Answer::Value(&input[value])
            }
            _ => {
                let what = String::from_utf8_lossy(&input[..bytes.min(40)]).into_owned();
                return Err(Broken::protocol(format!("an unexpected reply: {what:?}")));
            }
        };
        Ok(Step::Reply { id: None, answer, bytes })
    }
}

/// A command as clients send it: an array of bulk strings.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn number(digits: &[u8]) -> Result<usize, Broken> {
    let mut number = 0_usize;
    for digit in digits {
        match digit {
            b'0'..=b'9' if number < 1 << 30 => number = number * 10 + usize::from(digit - b'0'),
            _ => return Err(Broken::protocol("a length that is no number")),
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply<'a>(answer: Answer<'a>, bytes: usize) -> Step<'a> {
        Step::Reply { id: None, answer, bytes }
    }

    #[test]
    fn requests_have_their_key_and_value() {
        let mut out = Vec::new();
        Resp::get().write(&mut out, [0; 4], b"0123456789abcdef", |_| ());
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$16\r\n0123456789abcdef\r\n");
        out.clear();
        let shape = Shape { value_bytes: 2, ttl_ms: Some(5) };
        let set = Resp::set(shape);
        set.write(&mut out, [0; 4], b"0123456789abcdef", |out| out.extend_from_slice(b"ab"));
        let head = "*5\r\n$3\r\nSET\r\n$16\r\n0123456789abcdef\r\n";
        assert_eq!(out, format!("{head}$2\r\nab\r\n$2\r\nPX\r\n$1\r\n5\r\n").as_bytes());
    }

    #[test]
    fn reads_each_reply_once_it_is_whole() {
        let whole = b"$3\r\na\r\n\r\n+OK\r\n";
        for cut in 0..9 {
            assert_eq!(Resp.next(&whole[..cut]).unwrap(), Step::Incomplete);
        }
        assert_eq!(Resp.next(whole).unwrap(), reply(Answer::Value(b"a\r\n"), 9));
        assert_eq!(Resp.next(&whole[9..]).unwrap(), reply(Answer::Written, 5));
        assert_eq!(Resp.next(b"$-1\r\n").unwrap(), reply(Answer::Missing, 5));
        let refused = Resp.next(b"-ERR no\r\n").unwrap();
        assert_eq!(refused, reply(Answer::Refused("ERR no".into()), 9));
        assert!(Resp.next(b"+QUEUED\r\n").is_err());
        assert!(Resp.next(b"$x\r\n").is_err());
    }
}
