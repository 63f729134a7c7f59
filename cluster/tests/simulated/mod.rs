//! What simulated clusters are made of, whatever runs on their nodes: the network, the pace of disks, records.

pub(crate) mod disk;
pub(crate) mod records;
pub(crate) mod wire;
