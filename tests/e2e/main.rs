//! What the product promises, tried on the real programs: one module for each promise.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod cluster;
mod cluster_clocks;
mod cluster_disks;
mod cluster_failover;
mod cluster_groups;
mod cluster_histories;
mod cluster_load;
mod cluster_network;
mod cluster_partitions;
mod cluster_redis;
mod cluster_split;
mod crash;
mod cuts;
mod disk_full;
mod drain;
mod freezing_disk;
mod histories;
mod import;
mod killed;
mod limits;
mod live;
mod locks;
mod offline;
mod python;
mod reconnects;
mod redis;
mod refusal;
mod self_test;
mod slow_disk;
mod small_disk;
