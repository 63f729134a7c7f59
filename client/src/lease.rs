//! Leases as their holders have them: kept alive by the client's core, with word of their loss;
//! and locks and elections, which are a key that goes with a lease.

use std::time::Duration;

use tidekeep_protocol::codec;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{LeaseGrant, LeaseReply, LeaseRevoke};
use tidekeep_protocol::range::KeyRange;
use tokio::sync::watch;

use crate::client::Client;
use crate::error::Error;
use crate::options::{Condition, PutOptions, WatchOptions};
use crate::watch::{ChangeKind, WatchEvent};

/// A lease that is kept alive for as long as this is held. Keys put with [`Expiry::Lease`] of its
/// [`id`](Lease::id) go with it.
///
/// Dropping it ends the keeping alive: the lease runs out by itself after its time to live. To end
/// it at once, [`revoke`](Lease::revoke) it.
#[derive(Debug)]
#[must_use = "dropping a lease lets it run out"]
pub struct Lease {
    client: Client,
    id: u64,
    ttl: Duration,
    lost: watch::Receiver<Option<Error>>,
}

impl Lease {
    /// The lease's number. Later leases have greater ones.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How long it lives when it is no longer kept alive.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Resolves when the lease is lost, with the reason: the server says that it is over
    /// (`not-found`), or there was no word from it for the lease's whole time (`timeout`).
    pub async fn lost(&self) -> Error {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // Whoever keeps it says why before letting it go.
            Ok(None) | Err(_) => Error::new(Code::Closed, "the lease is no longer kept alive"),
        }
    }

    /// Ends the lease now and removes its keys, all at one revision; whether there still was one.
    pub async fn revoke(self) -> Result<bool, Error> {
        self.client.shared().forget_lease(self.id);
        match self.client.call(&LeaseRevoke { lease: self.id }).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Code::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.client.shared().forget_lease(self.id);
    }
}

/// A lock, or a leadership, that is held.
///
/// Dropping it lets its lease run out, so that the next holder waits for the time to live;
/// [`release`](Lock::release) gives it on at once.
#[derive(Debug)]
#[must_use = "dropping a lock lets it run out"]
pub struct Lock {
    lease: Lease,
    fencing: u64,
}

impl Lock {
    /// Greater than that of every holder before. Give it along with whatever the lock protects:
    /// what bears a smaller one than was seen before comes from somebody who has lost the lock.
    pub fn fencing(&self) -> u64 {
        self.fencing
    }

    /// Resolves when the lock is lost, with the reason; see [`Lease::lost`]. Stop what you do under
    /// it.
    pub async fn lost(&self) -> Error {
        self.lease.lost().await
    }

    /// Gives it to the next; whether it was still held.
    pub async fn release(self) -> Result<bool, Error> {
        self.lease.revoke().await
    }
}

impl Client {
    /// Makes a lease of 200 ms to 30 days and begins to keep it alive.
    pub async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let asked = self.shared().now();
        let body = self.answer(&LeaseGrant { ttl_ms }).await?;
        let LeaseReply { lease: id, .. } = codec::decode(&body)?;
        let lost = self.shared().keep_lease(id, ttl_ms, asked);
        Ok(Lease { client: self.clone(), id, ttl, lost })
    }

    /// Waits until nobody has the key `name`, and holds it as a lock. Others see `holder` as its
    /// value; `ttl` is how long it stays held after its holder has vanished. Dropping the future
    /// gives up waiting.
    pub async fn lock(
        &self,
        name: impl AsRef<[u8]>,
        holder: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> Result<Lock, Error> {
        let (name, holder) = (name.as_ref(), holder.as_ref());
        let lease = self.lease(ttl).await?;
        loop {
            let options = PutOptions {
                condition: Condition::Absent,
                expiry: Expiry::Lease(lease.id),
                previous: false,
            };
            match self.put(name, holder, options).await {
                Ok(written) => return Ok(Lock { lease, fencing: written.revision }),
                Err(error) if error.code() == Code::Conflict => {}
                Err(error) => return Err(error),
            }
            tokio::select! {
                gone = self.gone(name) => gone?,
                reason = lease.lost() => return Err(reason),
            }
        }
    }

    /// Waits until nobody leads, and leads: `value` is that of the key `name` until the leadership
    /// is released or lost. It is a lock by another name; to see who leads, watch the key.
    pub async fn elect(
        &self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> Result<Lock, Error> {
        self.lock(name, value, ttl).await
    }

    /// Waits until there is no such key.
    async fn gone(&self, key: &[u8]) -> Result<(), Error> {
        let options = WatchOptions { content: true, ..WatchOptions::default() };
        let mut watch = self.watch(&KeyRange::key(key), options);
        let mut there = false;
        while let Some(event) = watch.next().await {
            match event? {
                WatchEvent::Reset => there = false,
                WatchEvent::Content(entries) => there |= !entries.is_empty(),
                WatchEvent::Changes { changes, .. } => {
                    if let Some(last) = changes.last() {
                        there = matches!(last.kind, ChangeKind::Put(_));
                    }
                    if !there {
                        return Ok(());
                    }
                }
                WatchEvent::CaughtUp { .. } if !there => return Ok(()),
                _ => {}
            }
        }
        Err(Error::new(Code::Closed, "the client was closed"))
    }
}
