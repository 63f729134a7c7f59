//! The golden vectors: every file in `protocol/vectors` is read, its fields are encoded and held
//! against its bytes, its bytes are decoded and held against its fields. A change of the wire cannot
//! pass here. With `UPDATE_VECTORS=1` the bytes are written anew from the fields instead.

mod block;
mod coverage;
mod fields;
mod page;
mod slots;

use core::fmt::Debug;

use block::Block;
use fields::Field;
use serde::{Deserialize, Serialize};
use tidekeep_protocol::codec::{self, Malformed};
use tidekeep_protocol::error::ErrorBody;
use tidekeep_protocol::frame::{self, Frame, FrameError, kind};
use tidekeep_protocol::hello::{self, GoingAway, Hello, Welcome};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{
    Backup, BackupReply, Children, ChildrenReply, Cluster, ClusterReply, Delete, DeleteRange,
    DeleteRangeReply, Get, GetReply, Increment, IncrementReply, LeaseGrant, LeaseKeepAlive,
    LeaseReply, LeaseRevoke, LeaseRevokeReply, Leases, LeasesReply, Put, Request, Scan, ScanReply,
    Sessions, SessionsReply, Status, StatusReply, Touch, TouchReply, Txn, TxnReply, Watch,
    WatchMessage, WriteReply,
};

/// The bound on the length field that the malformed vectors are written for.
const LIMIT: u32 = Limits::DEFAULT.frame_bytes;

/// The body of a ping, a pong and a cancel.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Empty;

/// Calls a generic function with the type of a kind's body. The numbers are written out once more:
/// they must not follow the table of operations when that is changed by mistake.
macro_rules! with_body_of {
    ($kind:expr, $call:ident($($argument:expr),*)) => {
        match $kind {
            0x01 => Some($call::<Hello<'_>>($($argument),*)),
            0x02 => Some($call::<Welcome<'_>>($($argument),*)),
            0x03 | 0x04 | 0x06 => Some($call::<Empty>($($argument),*)),
            0x05 => Some($call::<GoingAway>($($argument),*)),
            0x07 => Some($call::<ErrorBody<'_>>($($argument),*)),
            0x10 => Some($call::<Get<'_>>($($argument),*)),
            0x90 => Some($call::<GetReply<'_>>($($argument),*)),
            0x11 => Some($call::<Put<'_>>($($argument),*)),
            0x12 => Some($call::<Delete<'_>>($($argument),*)),
            0x91 | 0x92 => Some($call::<WriteReply<'_>>($($argument),*)),
            0x13 => Some($call::<Scan<'_>>($($argument),*)),
            0x93 => Some($call::<ScanReply<'_>>($($argument),*)),
            0x14 => Some($call::<Children<'_>>($($argument),*)),
            0x94 => Some($call::<ChildrenReply<'_>>($($argument),*)),
            0x15 => Some($call::<Touch<'_>>($($argument),*)),
            0x95 => Some($call::<TouchReply>($($argument),*)),
            0x16 => Some($call::<Increment<'_>>($($argument),*)),
            0x96 => Some($call::<IncrementReply>($($argument),*)),
            0x17 => Some($call::<Txn<'_>>($($argument),*)),
            0x97 => Some($call::<TxnReply<'_>>($($argument),*)),
            0x18 => Some($call::<DeleteRange<'_>>($($argument),*)),
            0x98 => Some($call::<DeleteRangeReply>($($argument),*)),
            0x19 => Some($call::<Watch<'_>>($($argument),*)),
            0x99 => Some($call::<WatchMessage<'_>>($($argument),*)),
            0x1A => Some($call::<Status>($($argument),*)),
            0x9A => Some($call::<StatusReply<'_>>($($argument),*)),
            0x1B => Some($call::<LeaseGrant>($($argument),*)),
            0x1C => Some($call::<LeaseKeepAlive>($($argument),*)),
            0x9B | 0x9C => Some($call::<LeaseReply>($($argument),*)),
            0x1D => Some($call::<LeaseRevoke>($($argument),*)),
            0x9D => Some($call::<LeaseRevokeReply>($($argument),*)),
            0x1E => Some($call::<Leases>($($argument),*)),
            0x9E => Some($call::<LeasesReply>($($argument),*)),
            0x20 => Some($call::<Backup>($($argument),*)),
            0xA0 => Some($call::<BackupReply<'_>>($($argument),*)),
            0x21 => Some($call::<Cluster<'_>>($($argument),*)),
            0xA1 => Some($call::<ClusterReply<'_>>($($argument),*)),
            0x22 => Some($call::<Sessions>($($argument),*)),
            0xA2 => Some($call::<SessionsReply<'_>>($($argument),*)),
            _ => None,
        }
    };
}

#[test]
fn fields_encode_to_the_bytes() {
    let update = std::env::var_os("UPDATE_VECTORS").is_some();
    for file in block::files() {
        let mut text = Vec::new();
        for block in &file.blocks {
            let frames = match block.fields() {
                Some(fields) => frames(block, fields),
                None => block.frames.clone(),
            };
            if !update {
                assert_eq!(hex(&block.frames), hex(&frames), "{block}");
            }
            text.push(block.with_frames(&frames));
        }
        if update {
            std::fs::write(&file.path, file.text(&text)).expect("the vectors can be written");
        }
    }
}

#[test]
fn bytes_decode_to_the_fields() {
    for block in block::all() {
        let Some(fields) = block.fields() else { continue };
        let mut body = Vec::new();
        for (index, bytes) in block.frames.iter().enumerate() {
            let decoded = Frame::decode(bytes, LIMIT).unwrap_or_else(|e| panic!("{block}: {e}"));
            let (frame, length) = decoded.unwrap_or_else(|| panic!("{block}: frame cut"));
            assert_eq!(length, bytes.len(), "{block}");
            assert_eq!((frame.kind, frame.id), (block.kind, block.id), "{block}");
            assert_eq!(frame.more(), index + 1 < block.frames.len(), "{block}");
            let extensions: Vec<_> =
                frame.extensions.iter().map(|(tag, data)| (tag, data.to_vec())).collect();
            assert_eq!(extensions, block.extensions, "{block}");
            assert_eq!(frame.extensions.unknown_required(), None, "{block}");
            body.extend_from_slice(frame.body);
        }
        with_body_of!(block.kind, decodes_to(&block, &body, fields)).expect("a known kind");
        request_round_trip(&block, &body);
    }
}

#[test]
fn malformed_bytes_are_refused_for_the_right_reason() {
    for block in block::all() {
        if let Some(expected) = &block.expect {
            assert_eq!(expected, &format!("error {}", refusal(&block.frames[0])), "{block}");
        }
    }
}

#[test]
fn constants_that_are_no_frames() {
    assert_eq!(hello::PREFACE, [0xF1, 0x54, 0x49, 0x44, 0x45, 0x0D, 0x0A, 0x01]);
    assert_eq!(hello::WEBSOCKET_SUBPROTOCOL, "tidekeep.1");
    assert_eq!(hello::WEBSOCKET_PATH, "/ws");
    // Clients keep cursors, so a server's next version must still read those of this one.
    let cursor = tidekeep_protocol::cursor::Cursor { incarnation: 300, revisions: vec![7, 8, 9] };
    assert_eq!(cursor.to_bytes(), [0xAC, 0x02, 3, 7, 8, 9]);
}

fn frames(block: &Block, fields: &Field) -> Vec<Vec<u8>> {
    let body = with_body_of!(block.kind, encoded(block, fields)).expect("a known kind");
    let mut bytes = Vec::new();
    match block.chunk_bytes {
        Some(chunk_bytes) => {
            frame::write_chunked(&mut bytes, block.kind, block.flags, block.id, &body, chunk_bytes);
        }
        None => {
            let extensions: Vec<_> =
                block.extensions.iter().map(|(tag, data)| (*tag, &data[..])).collect();
            frame::write(&mut bytes, block.kind, block.flags, block.id, &extensions, |out| {
                out.extend_from_slice(&body);
            });
        }
    }
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let frame = Frame::decode(&bytes, u32::MAX).expect("just written");
        let (_, length) = frame.expect("whole");
        let rest = bytes.split_off(length);
        frames.push(std::mem::replace(&mut bytes, rest));
    }
    frames
}

fn typed<'a, T: Deserialize<'a>>(block: &Block, fields: &'a Field) -> T {
    T::deserialize(fields).unwrap_or_else(|error| panic!("{block}: {error}"))
}

fn encoded<'a, T: Serialize + Deserialize<'a>>(block: &Block, fields: &'a Field) -> Vec<u8> {
    let mut body = Vec::new();
    codec::encode(&typed::<T>(block, fields), &mut body);
    body
}

fn decodes_to<'a, T>(block: &Block, body: &'a [u8], fields: &'a Field)
where
    T: Deserialize<'a> + PartialEq + Debug,
{
    assert_eq!(codec::decode::<T>(body), Ok(typed::<T>(block, fields)), "{block}");
}

fn malformed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> bool {
    codec::decode::<T>(body).is_err()
}

/// What dispatch sees must be what the operation's own type says.
fn request_round_trip(block: &Block, body: &[u8]) {
    let Some(request) = Request::decode(block.kind, body) else {
        assert!(!(0x10..0x80).contains(&block.kind), "{block}: not in the table");
        return;
    };
    let request = request.unwrap_or_else(|Malformed| panic!("{block}: malformed as a request"));
    assert_eq!(request.spec().kind, block.kind, "{block}");
    let mut again = Vec::new();
    request.encode(&mut again);
    assert_eq!(again, body, "{block}");
}

fn refusal(bytes: &[u8]) -> &'static str {
    let frame = match Frame::decode(bytes, LIMIT) {
        Ok(Some((frame, _))) => frame,
        Ok(None) => return "incomplete",
        Err(FrameError::TooLarge { .. }) => return "too-large",
        Err(FrameError::TooShort { .. }) => return "too-short",
        Err(FrameError::Extensions) => return "extensions",
    };
    if frame.extensions.unknown_required().is_some() {
        return "unknown-extension";
    }
    let is_request = frame.kind & kind::REPLY == 0;
    match with_body_of!(frame.kind, malformed(frame.body)) {
        Some(malformed) => {
            if is_request && let Some(request) = Request::decode(frame.kind, frame.body) {
                assert_eq!(request.is_err(), malformed);
            }
            if malformed { "malformed" } else { "nothing" }
        }
        None => "unknown-kind",
    }
}

fn hex(frames: &[Vec<u8>]) -> Vec<String> {
    frames.iter().map(|frame| block::to_hex(frame)).collect()
}
