//! A list that is nearly always of one: it takes no allocation until there is a second item. Written
//! here rather than taken from a crate since a remembered change is one for each write: where the item
//! leaves a value free for the tag, a list of one is no larger than the item.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Deref;

use crate::entry::allocated;

/// Items in a row.
#[derive(Debug, Clone)]
pub struct Few<T>(Inner<T>);

#[derive(Debug, Clone)]
enum Inner<T> {
    None,
    One(T),
    #[expect(clippy::box_collection, reason = "a pointer fits beside the tag of the one item")]
    Many(Box<Vec<T>>),
}

impl<T> Few<T> {
    /// One item.
    pub fn of(item: T) -> Self {
        Self(Inner::One(item))
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.0 = match core::mem::take(self).0 {
            Inner::None => Inner::One(item),
            Inner::One(first) => Inner::Many(Box::new(alloc::vec![first, item])),
            Inner::Many(mut many) => {
                many.push(item);
                Inner::Many(many)
            }
        };
    }

    /// Takes the last item out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        match core::mem::take(self).0 {
            Inner::None => None,
            Inner::One(item) => Some(item),
            Inner::Many(mut many) => {
                let last = many.pop();
                self.0 = Inner::Many(many);
                last
            }
        }
    }

    /// What the items take in memory beside the list itself, in bytes.
    pub(crate) fn cost(&self) -> usize {
        match &self.0 {
            Inner::None | Inner::One(_) => 0,
            Inner::Many(many) => {
                allocated(size_of::<Vec<T>>()) + allocated(many.capacity() * size_of::<T>())
            }
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Inner::None)
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Inner::None => &[],
            Inner::One(item) => core::slice::from_ref(item),
            Inner::Many(many) => many,
        }
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(items: Vec<T>) -> Self {
        let mut few = Self::default();
        items.into_iter().for_each(|item| few.push(item));
        few
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Few<T> {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::change::Event;

    #[test]
    fn a_list_of_any_length_is_that_list() {
        let mut few = Few::default();
        for len in 0..5 {
            assert_eq!(*few, *(0..len).collect::<Vec<u64>>());
            assert_eq!(few, Few::from((0..len).collect::<Vec<u64>>()));
            few.push(len);
        }
        for left in (0..5).rev() {
            assert_eq!(few.pop(), Some(left));
            assert_eq!(few.len() as u64, left);
        }
        assert_eq!(few.pop(), None);
        assert_eq!(Few::from(vec![1]).cost(), 0);
    }

    #[test]
    fn a_list_of_one_event_is_no_larger_than_the_event() {
        assert_eq!(size_of::<Few<Event>>(), size_of::<Event>());
    }
}
