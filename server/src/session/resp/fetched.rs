//! Entries that a program reads, or that are watched, of groups that others keep: gets ask for them, and then the
//! program is run again with what they found.

use std::collections::BTreeMap;

use tidekeep_log::{Answer, Call, Entry, Pending, Reply};
use tidekeep_protocol::op::{Get, Request};

use super::fail::Fail;
use super::house::House;

/// Keys that are asked for at once.
const KEYS_AT_ONCE: usize = 64;

/// Bytes that are held, but for what the last gets bring.
const BYTES_MAX: usize = 64 << 20;

/// Entries that were asked for.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    found: BTreeMap<Vec<u8>, Option<Entry>>,
    bytes: usize,
    /// What is to be asked for. The last ones are next.
    wanted: Vec<Vec<u8>>,
}

impl Fetched {
    /// The entry of a key, if it was asked for.
    pub(super) fn known(&self, key: &[u8]) -> Option<Option<&Entry>> {
        self.found.get(key).map(Option::as_ref)
    }

    /// The entry of a key. One that is not known is none for now, and wanted.
    pub(super) fn get_or_want(&mut self, key: &[u8]) -> Option<Entry> {
        match self.found.get(key) {
            Some(found) => found.clone(),
            None => {
                self.want(key);
                None
            }
        }
    }

    /// Notes that a key is to be asked for.
    pub(super) fn want(&mut self, key: &[u8]) {
        self.wanted.push(key.to_vec());
    }

    /// Whether there is anything to ask for.
    pub(super) fn wants(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether nothing was found out.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Forgets what was found.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Asks for the next of what is wanted.
    pub(super) fn ask(&self, house: &House<'_>, answers: &mut Vec<Answer>) -> Pending {
        answers.clear();
        let gets = self.next().iter().map(|key| Request::Get(Get { key }));
        let calls: Vec<Call<'_>> = gets.map(Call::new).collect();
        house.commit.submit(&calls, answers)
    }

    /// Takes what they said who were asked.
    pub(super) fn take(&mut self, answers: impl Iterator<Item = Answer>) -> Result<(), Fail> {
        let asked = self.wanted.split_off(self.wanted.len() - self.next().len());
        let mut answers = answers;
        for key in asked {
            let found = match answers.next() {
                Some(Ok(Reply::Get(got))) => got.entry,
                Some(Err(refusal)) => return Err(Fail::from(&refusal)),
                _ => return Err(Fail::known("ERR the server gave an answer of another kind")),
            };
            self.bytes += found.as_ref().map_or(key.len(), Entry::packed_len);
            self.found.insert(key, found);
        }
        if self.bytes > BYTES_MAX {
            return Err(Fail::known(
                "ERR more is read than a node holds of what others keep; ask one that has a replica",
            ));
        }
        Ok(())
    }

    fn next(&self) -> &[Vec<u8>] {
        &self.wanted[self.wanted.len().saturating_sub(KEYS_AT_ONCE)..]
    }
}

#[cfg(test)]
mod tests {
    use tidekeep_log::Scratch;

    use super::*;

    fn absent() -> Answer {
        Scratch::new(1).run(&Request::Get(Get { key: b"key" }))
    }

    #[test]
    fn what_is_wanted_is_asked_for_in_parts_until_all_is_known() {
        let mut fetched = Fetched::default();
        let keys: Vec<Vec<u8>> = (0..=KEYS_AT_ONCE).map(|n| n.to_string().into_bytes()).collect();
        for key in &keys {
            assert_eq!(fetched.get_or_want(key), None);
        }
        assert_eq!(fetched.next().len(), KEYS_AT_ONCE);
        assert!(fetched.take((0..KEYS_AT_ONCE).map(|_| absent())).is_ok());
        assert_eq!(fetched.known(&keys[0]), None);
        assert!(fetched.wants());
        assert!(fetched.take(std::iter::once(absent())).is_ok());
        assert!(!fetched.wants() && keys.iter().all(|key| fetched.known(key) == Some(None)));
        assert_eq!(fetched.get_or_want(&keys[0]), None);
        assert!(!fetched.wants(), "it is known to be absent");
    }

    #[test]
    fn an_answer_that_is_missing_is_no_absence() {
        let mut fetched = Fetched::default();
        fetched.want(b"key");
        assert!(fetched.take(std::iter::empty()).is_err());
        assert!(fetched.is_empty());
    }
}
