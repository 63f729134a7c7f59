//! The checker checked: against another tester on small histories, on violations that are planted,
//! and on long histories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod cross;
mod long;
mod naive;
mod outages;
mod over_groups;
mod planted;
mod random;
mod several;
