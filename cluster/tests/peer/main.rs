//! The network between nodes over real connections on loopback: who may speak to whom, calls and what
//! becomes of them when the other side dies, hangs or talks nonsense, and how a node joins.

mod calls;
mod failures;
mod identity;
mod joining;
mod members;

mod nodes;
mod strangers;
