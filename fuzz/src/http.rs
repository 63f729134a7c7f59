//! What a visitor says first.

/// The bytes are what came over the socket.
pub fn run(data: &[u8]) {
    tidekeep_server::fuzzing::visit(data);
}
