//! The only time the core knows: milliseconds from any start the driver likes, given with every
//! input. There is no clock to read by accident, and a test can let a day pass in no time.

/// A moment, in milliseconds since a start that the driver chose. A later input never bears an
/// earlier moment; if it does, the core stays where it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// A moment that does not come.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The moment `ms` later.
    pub fn after(self, ms: u32) -> Self {
        Self(self.0.saturating_add(u64::from(ms)))
    }

    /// How long it is from `earlier` to here, in milliseconds; 0 when it is the later one.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
