//! The writing operations: what each does to the state, one file for each.

pub(crate) mod delete;
pub(crate) mod delete_range;
pub(crate) mod evict;
pub(crate) mod expire;
pub(crate) mod increment;
pub(crate) mod put;
pub(crate) mod touch;
pub(crate) mod txn;
