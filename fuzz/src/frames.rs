//! Streams of frames: limits hold before memory is taken, and what was read is what was written.

use tidekeep_protocol::error::ErrorBody;
use tidekeep_protocol::frame::{self, Frame, FrameError, LENGTH_BYTES, kind};
use tidekeep_protocol::hello::{GoingAway, Hello, Welcome, negotiate};

use crate::same;

/// The first byte chooses the limit, the rest is the stream.
pub fn run(data: &[u8]) {
    let Some((&limit, mut stream)) = data.split_first() else { return };
    let limit = if limit == 0 { u32::MAX } else { u32::from(limit) * 16 };
    loop {
        let decoded = crate::within(0, || Frame::decode(stream, limit));
        match decoded {
            Ok(None) => return,
            Err(FrameError::TooLarge { length, .. }) => return assert!(length > limit),
            Err(FrameError::TooShort { .. } | FrameError::Extensions) => return,
            Ok(Some((frame, length))) => {
                whole(&frame, &stream[..length], limit);
                stream = &stream[length..];
            }
        }
    }
}

fn whole(frame: &Frame<'_>, bytes: &[u8], limit: u32) {
    assert!(bytes.len() - LENGTH_BYTES <= limit as usize);
    let extensions: Vec<_> = frame.extensions.iter().collect();
    let mut again = Vec::new();
    frame::write(&mut again, frame.kind, frame.flags, frame.id, &extensions, |out| {
        out.extend_from_slice(frame.body);
    });
    assert_eq!(again, bytes);
    assert_eq!(Frame::decode(&bytes[..bytes.len() - 1], limit), Ok(None));
    let _ = (frame.more(), frame.extensions.deadline_ms(), frame.extensions.unknown_required());
    match frame.kind {
        kind::HELLO => {
            if let Some(hello) = same!(Hello<'_>, frame.body)
                && let Some(version) = negotiate(&hello)
            {
                assert!((hello.version_min..=hello.version_max).contains(&version));
            }
        }
        kind::WELCOME => drop(same!(Welcome<'_>, frame.body)),
        kind::GOING_AWAY => drop(same!(GoingAway, frame.body)),
        kind::ERROR => drop(same!(ErrorBody<'_>, frame.body)),
        _ => {}
    }
    chunked(frame);
}

/// A body in chunks comes back whole.
fn chunked(frame: &Frame<'_>) {
    let mut out = Vec::new();
    frame::write_chunked(&mut out, frame.kind, 0, frame.id, frame.body, 1 + frame.body.len() / 3);
    let (mut rest, mut joined) = (&out[..], Vec::new());
    while let Ok(Some((chunk, length))) = Frame::decode(rest, u32::MAX) {
        joined.extend_from_slice(chunk.body);
        rest = &rest[length..];
        assert_eq!(chunk.more(), !rest.is_empty());
    }
    assert_eq!(joined, frame.body);
}
