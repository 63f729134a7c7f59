//! The end of a connection after something was said last. Closing a socket with unread bytes in it
//! makes the system reset the connection, and the other side may lose what it was told: so what
//! still comes is read and dropped for a while.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest wait for the other side's end.
const WAIT: Duration = Duration::from_secs(2);

/// Bytes after which a visitor that goes on sending is cut off. More than a request that is a little
/// too long, so that its sender gets to read why.
const BYTES_MAX: usize = 16 << 20;

/// Ends the outgoing side, then reads until the other side ends too.
pub(crate) async fn close(mut stream: TcpStream) {
    let wait_for_end = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        // Not on the task, where it would take room from the connection's beginning.
        let (mut buffer, mut dropped) = (vec![0; 8 << 10], 0);
        while dropped < BYTES_MAX {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => dropped += count,
            }
        }
    };
    // A visitor that does not end is cut off: nothing is owed to it any more.
    let _ = tokio::time::timeout(WAIT, wait_for_end).await;
}
