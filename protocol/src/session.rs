//! How writes are told apart over connections and restarts: a client's session, and the number that
//! each of its writes bears. They travel as extensions ([`crate::frame::ext`]), so an end that does
//! not know them skips them.
//!
//! ```text
//! ext SESSION  in a hello:    empty (a new session), or the session to go on with:
//!                             | session 16 bytes | incarnation u64 |
//!              in a welcome:  the connection's session: | session 16 bytes |
//! ext NUMBER   in a write:    | sequence u64 | oldest u64 |
//! ```
//! Little-endian. `oldest` is the lowest sequence of which the client still awaits the answer: what
//! is below it is settled and may be forgotten.

use core::fmt;

/// Names a client's run of numbered writes. The server makes it: 48 bits of the milliseconds since
/// the Unix epoch at which it was made, big-endian, then 80 random bits, as a ULID is laid out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// A session made at `created_ms`; of `random` the low 80 bits count.
    pub fn new(created_ms: u64, random: u128) -> Self {
        let random_bits = random & ((1 << 80) - 1);
        Self((u128::from(created_ms) << 80 | random_bits).to_be_bytes())
    }

    /// When it was made, in milliseconds since the Unix epoch.
    pub fn created_ms(&self) -> u64 {
        (u128::from_be_bytes(self.0) >> 80) as u64
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// What a hello asks for when it bears a session extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A new session.
    New,
    /// To go on with a session of an earlier connection, if the store's history is still the one
    /// with this incarnation.
    Resume {
        /// The session.
        session: SessionId,
        /// The incarnation under which it was made.
        incarnation: u64,
    },
}

impl Ask {
    /// The bytes of a [`Ask::Resume`].
    pub const RESUME_BYTES: usize = 24;

    /// Reads the extension's data; none when it is of no known form.
    pub fn from_bytes(data: &[u8]) -> Option<Self> {
        if data.is_empty() {
            return Some(Self::New);
        }
        let (session, incarnation) = data.split_first_chunk::<16>()?;
        let incarnation = u64::from_le_bytes(incarnation.try_into().ok()?);
        Some(Self::Resume { session: SessionId(*session), incarnation })
    }

    /// The data that goes on with `session`; that of [`Ask::New`] is empty.
    pub fn resume_bytes(session: SessionId, incarnation: u64) -> [u8; Self::RESUME_BYTES] {
        let mut data = [0; Self::RESUME_BYTES];
        data[..16].copy_from_slice(&session.0);
        data[16..].copy_from_slice(&incarnation.to_le_bytes());
        data
    }
}

/// A write's place in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Which write of the session this is; the first is 1.
    pub sequence: u64,
    /// The lowest sequence of which the client still awaits the answer; at most `sequence`.
    pub oldest: u64,
}

impl Number {
    /// The bytes of the extension's data.
    pub const BYTES: usize = 16;

    /// Reads the extension's data; none when it is no number.
    pub fn from_bytes(data: &[u8]) -> Option<Self> {
        let (sequence, oldest) = data.split_first_chunk::<8>()?;
        let sequence = u64::from_le_bytes(*sequence);
        let oldest = u64::from_le_bytes(oldest.try_into().ok()?);
        (1..=sequence).contains(&oldest).then_some(Self { sequence, oldest })
    }

    /// The extension's data.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut data = [0; Self::BYTES];
        data[..8].copy_from_slice(&self.sequence.to_le_bytes());
        data[8..].copy_from_slice(&self.oldest.to_le_bytes());
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_says_when_it_was_made() {
        let session = SessionId::new(1_767_225_600_000, u128::MAX);
        assert_eq!(session.created_ms(), 1_767_225_600_000);
        assert_eq!(session.0[6..], [0xFF; 10]);
        assert!(SessionId::new(1, u128::MAX) < SessionId::new(2, 0));
    }

    #[test]
    fn bytes_bring_a_number_and_an_ask_back() {
        let number = Number { sequence: 7, oldest: 3 };
        assert_eq!(Number::from_bytes(&number.to_bytes()), Some(number));
        let session = SessionId::new(5, 6);
        let data = Ask::resume_bytes(session, 9);
        assert_eq!(Ask::from_bytes(&data), Some(Ask::Resume { session, incarnation: 9 }));
        assert_eq!(Ask::from_bytes(b""), Some(Ask::New));
    }

    #[test]
    fn what_is_no_number_or_ask_is_told() {
        let of = |sequence, oldest| Number::from_bytes(&Number { sequence, oldest }.to_bytes());
        assert_eq!(of(0, 0), None);
        assert_eq!(of(3, 0), None);
        assert_eq!(of(3, 4), None);
        assert_eq!(Number::from_bytes(&[1; 15]), None);
        assert_eq!(Number::from_bytes(&[1; 17]), None);
        assert_eq!(Ask::from_bytes(&[1; 16]), None);
        assert_eq!(Ask::from_bytes(&[1; 25]), None);
    }
}
