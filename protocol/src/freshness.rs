//! How new what a read shows must be. A request says it in an extension
//! ([`crate::frame::ext::FRESHNESS`]); one that does not is linearizable.

/// What a read must have seen, strictest first. A server that runs alone always shows the newest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// All that anybody was told of before it began, whatever fails.
    #[default]
    Linearizable,
    /// The same as long as no node's clock runs faster than another's by a third: the node that leads
    /// answers without asking the others.
    Lease,
    /// All that anybody was told of this many milliseconds before it began. Any node answers by itself
    /// that has looked for what is new since then.
    Within(u32),
}

const LINEARIZABLE: u8 = 0;
const LEASE: u8 = 1;
const WITHIN: u8 = 2;

impl Freshness {
    /// Bytes of its encoding.
    pub const BYTES: usize = 5;

    /// The extension's data: a byte for the kind (0: linearizable, 1: lease, 2: within), and milliseconds as
    /// u32, little-endian, which are 0 but for the last kind.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let (kind, ms) = match self {
            Self::Linearizable => (LINEARIZABLE, 0),
            Self::Lease => (LEASE, 0),
            Self::Within(ms) => (WITHIN, ms),
        };
        let [a, b, c, d] = u32::to_le_bytes(ms);
        [kind, a, b, c, d]
    }

    /// Reads an extension's data; `None` if it is no freshness.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [LINEARIZABLE, 0, 0, 0, 0] => Some(Self::Linearizable),
            [LEASE, 0, 0, 0, 0] => Some(Self::Lease),
            [WITHIN, a, b, c, d] => Some(Self::Within(u32::from_le_bytes([a, b, c, d]))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_bring_it_back_and_others_are_none() {
        for freshness in [Freshness::Linearizable, Freshness::Lease, Freshness::Within(0x0102_0304)]
        {
            assert_eq!(Freshness::from_bytes(&freshness.to_bytes()), Some(freshness));
        }
        for none in [&[][..], &[1], &[3, 0, 0, 0, 0], &[1, 0, 0, 0, 1], &[2, 1, 2, 3]] {
            assert_eq!(Freshness::from_bytes(none), None, "{none:?}");
        }
    }
}
