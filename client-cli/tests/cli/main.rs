//! What the command line promises: exact output and exit codes, against a real server process.
//! One module for each group of promises.

mod bulk;
mod bytes;
mod cluster;
mod failures;
mod help;
mod leases;
mod lists;
mod shell;
mod store;
mod terminal;
mod tools;
mod txns;
mod watching;
mod writes;
