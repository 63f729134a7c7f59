//! Leases that the client keeps alive for their holder.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::client::Handle;
use crate::error::Error;
use crate::shared::closed;

/// A lease that is kept alive, over reconnects, until this is dropped; dropping it revokes nothing.
///
/// The holder of what goes with the lease must stop when [`KeptLease::lost`] returns: it does no
/// later than the server can give it to another.
#[must_use = "dropping it ends the keeping"]
pub struct KeptLease {
    handle: Arc<Handle>,
    lease: u64,
    lost: oneshot::Receiver<Error>,
}

impl KeptLease {
    pub(crate) fn new(handle: Arc<Handle>, lease: u64, lost: oneshot::Receiver<Error>) -> Self {
        Self { handle, lease, lost }
    }

    /// The lease.
    pub fn id(&self) -> u64 {
        self.lease
    }

    /// Waits until the lease is lost: the server no longer knows it, or could not be asked in time.
    /// Returns the reason; once it was told, another call says that the client was closed.
    pub async fn lost(&mut self) -> Error {
        (&mut self.lost).await.unwrap_or_else(|_| closed())
    }
}

impl Drop for KeptLease {
    fn drop(&mut self) {
        self.handle.shared().forget_lease(self.lease);
    }
}

impl fmt::Debug for KeptLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptLease").field("lease", &self.lease).finish_non_exhaustive()
    }
}
