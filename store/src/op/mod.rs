//! The writing operations: what each does to the state, one file for each.

pub(crate) mod adopt_lease;
pub(crate) mod delete;
pub(crate) mod delete_range;
pub(crate) mod end_lease;
pub(crate) mod evict;
pub(crate) mod expire;
pub(crate) mod grant_lease;
pub(crate) mod hold;
pub(crate) mod increment;
pub(crate) mod lease_grant;
pub(crate) mod lease_keep_alive;
pub(crate) mod lease_revoke;
pub(crate) mod prepare;
pub(crate) mod put;
pub(crate) mod touch;
pub(crate) mod txn;
