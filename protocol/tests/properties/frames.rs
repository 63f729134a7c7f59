//! The envelope: what is written is read back whatever surrounds it, and nothing that arrives makes
//! a reader panic, read over its end or wait for more than its limit.

use proptest::collection::vec;
use proptest::prelude::*;
use tidekeep_protocol::frame::{self, Frame, FrameError, HEADER_BYTES, LENGTH_BYTES, ext, flag};

const LIMIT: u32 = 1 << 20;

#[derive(Debug, Clone)]
struct Written {
    kind: u8,
    flags: u8,
    id: u32,
    extensions: Vec<(u8, Vec<u8>)>,
    body: Vec<u8>,
}

impl Written {
    fn append_to(&self, out: &mut Vec<u8>) {
        let extensions: Vec<_> =
            self.extensions.iter().map(|(tag, data)| (*tag, &data[..])).collect();
        frame::write(out, self.kind, self.flags, self.id, &extensions, |out| {
            out.extend_from_slice(&self.body);
        });
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append_to(&mut bytes);
        bytes
    }

    fn is(&self, frame: &Frame<'_>) -> bool {
        let extensions: Vec<_> =
            frame.extensions.iter().map(|(tag, data)| (tag, data.to_vec())).collect();
        (self.kind, self.flags, self.id, &self.extensions, &self.body[..])
            == (frame.kind, frame.flags, frame.id, &extensions, frame.body)
    }
}

fn written() -> impl Strategy<Value = Written> {
    let extensions = vec((any::<u8>(), vec(any::<u8>(), 0..10)), 0..4);
    (any::<u8>(), any::<u8>(), any::<u32>(), extensions, vec(any::<u8>(), 0..100)).prop_map(
        |(kind, flags, id, extensions, body)| Written { kind, flags, id, extensions, body },
    )
}

proptest! {
    #[test]
    fn frames_are_read_back_one_by_one(run in vec(written(), 1..6)) {
        let mut bytes = Vec::new();
        run.iter().for_each(|written| written.append_to(&mut bytes));
        let mut rest = &bytes[..];
        for written in &run {
            let (frame, length) = Frame::decode(rest, LIMIT).unwrap().unwrap();
            prop_assert!(written.is(&frame), "{:?} became {:?}", written, frame);
            rest = &rest[length..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_waits(written in written()) {
        let bytes = written.bytes();
        for end in 0..bytes.len() {
            prop_assert_eq!(Frame::decode(&bytes[..end], LIMIT), Ok(None), "cut at {}", end);
        }
    }

    #[test]
    fn any_bytes_are_a_frame_or_a_wait_or_an_error(
        length in prop_oneof![0..64_u32, any::<u32>()],
        rest in vec(prop_oneof![Just(0), any::<u8>()], 0..80),
        limit in prop_oneof![0..64_u32, Just(u32::MAX), any::<u32>()],
    ) {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(rest);
        let total = LENGTH_BYTES as u64 + u64::from(length);
        match Frame::decode(&bytes, limit) {
            Ok(None) => {
                prop_assert!(length <= limit, "waits for more than its limit");
                prop_assert!(total > bytes.len() as u64, "waits although all is there");
            }
            Ok(Some((frame, read))) => {
                prop_assert_eq!(read as u64, total);
                prop_assert!(length <= limit && read <= bytes.len());
                let extensions: Vec<_> = frame.extensions.iter().collect();
                let mut again = Vec::new();
                frame::write(&mut again, frame.kind, frame.flags, frame.id, &extensions, |out| {
                    out.extend_from_slice(frame.body);
                });
                prop_assert_eq!(&again[..], &bytes[..read]);
            }
            Err(FrameError::TooLarge { length: said, limit: allowed }) => {
                prop_assert_eq!((said, allowed), (length, limit));
                prop_assert!(length > limit);
            }
            Err(FrameError::TooShort { .. }) => prop_assert!(total < HEADER_BYTES as u64),
            Err(FrameError::Extensions) => prop_assert!(total <= bytes.len() as u64),
        }
    }

    #[test]
    fn too_few_bytes_for_a_length_wait(bytes in vec(any::<u8>(), 0..LENGTH_BYTES)) {
        prop_assert_eq!(Frame::decode(&bytes, 0), Ok(None));
    }

    #[test]
    fn a_tag_that_must_be_understood_is_found(tags in vec(any::<u8>(), 0..5)) {
        let extensions = tags.iter().map(|tag| (*tag, vec![0; 4])).collect();
        let written = Written { kind: 0x10, flags: 0, id: 1, extensions, body: Vec::new() };
        let bytes = written.bytes();
        let (frame, _) = Frame::decode(&bytes, LIMIT).unwrap().unwrap();
        let known = ext::DEADLINE | ext::REQUIRED;
        let expected = tags.iter().copied().find(|tag| *tag >= ext::REQUIRED && *tag != known);
        prop_assert_eq!(frame.extensions.unknown_required(), expected);
        let deadline = tags.iter().any(|tag| tag & !ext::REQUIRED == ext::DEADLINE);
        prop_assert_eq!(frame.extensions.deadline_ms(), deadline.then_some(0));
    }

    #[test]
    fn chunks_join_to_the_body_whatever_their_size(
        body in vec(any::<u8>(), 0..300),
        chunk_bytes in 0..400_usize,
        flags in any::<u8>().prop_map(|flags| flags & !flag::MORE),
    ) {
        let mut bytes = Vec::new();
        frame::write_chunked(&mut bytes, 0x93, flags, 9, &body, chunk_bytes);
        let (mut joined, mut rest, mut more) = (Vec::new(), &bytes[..], true);
        while more {
            let (frame, length) = Frame::decode(rest, LIMIT).unwrap().unwrap();
            prop_assert_eq!((frame.kind, frame.id, frame.flags & !flag::MORE), (0x93, 9, flags));
            prop_assert!(frame.body.len() <= chunk_bytes.max(1));
            joined.extend_from_slice(frame.body);
            (rest, more) = (&rest[length..], frame.more());
        }
        prop_assert_eq!(&joined, &body);
        prop_assert!(rest.is_empty());
    }
}
