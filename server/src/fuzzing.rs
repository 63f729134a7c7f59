//! The door for fuzzing to what strangers' bytes meet before there is a session; a session itself is
//! reached through [`crate::Conversation`].

use crate::edge;

/// Reads a visitor's bytes as HTTP and checks every answer that needs no store.
///
/// # Panics
/// When an answer could not be read by a client, or lets in who must not come in.
pub fn visit(bytes: &[u8]) {
    edge::fuzzing::visit(bytes);
}
