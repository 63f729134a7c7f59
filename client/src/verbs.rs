//! The operations, typed: each encodes its request, and turns the reply into owned values or, where
//! a condition did not hold, into the error `conflict`.

use bytes::Bytes;
use tidekeep_protocol::codec;
use tidekeep_protocol::condition::Expiry;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::{self, Projection, WriteReply, WriteStatus};
use tidekeep_protocol::range::KeyRange;

use crate::call::Pending;
use crate::client::Client;
use crate::entry::{Child, Entry, Incremented, Status, Touched, Written};
use crate::error::Error;
use crate::options::{Condition, DeleteOptions, PutOptions};
use crate::txn::{Txn, TxnDone};

impl Client {
    /// The entry of `key`; none when it is absent or expired.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Pending<Option<Entry>> {
        let key = key.as_ref();
        let answer = self.answer(&op::Get { key });
        Pending::new(answer, Bytes::copy_from_slice(key), |key, body| {
            let reply: op::GetReply<'_> = codec::decode(&body)?;
            Ok(reply.entry.map(|stored| Entry::of_stored(key, &body, stored)))
        })
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// `conflict` when the condition does not hold, with the entry that stood in the way as
    /// [`Error::current`].
    pub fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Pending<Written> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let PutOptions { condition, expiry, previous } = &options;
        let (expiry, previous) = (*expiry, *previous);
        let condition = condition.as_request();
        let answer = self.answer(&op::Put { key, value, condition, expiry, previous });
        Pending::new(answer, Bytes::copy_from_slice(key), |key, body| {
            written(key, &body, codec::decode(&body)?)?.ok_or_else(|| {
                Error::new(Code::Protocol, "the server says that a put found nothing to set")
            })
        })
    }

    /// Removes `key`; none when there was no such key.
    ///
    /// # Errors
    /// `conflict` when the condition does not hold, with the entry that stood in the way as
    /// [`Error::current`].
    pub fn delete(
        &self,
        key: impl AsRef<[u8]>,
        options: DeleteOptions,
    ) -> Pending<Option<Written>> {
        let key = key.as_ref();
        let condition = options.condition.as_request();
        let answer = self.answer(&op::Delete { key, condition, previous: options.previous });
        Pending::new(answer, Bytes::copy_from_slice(key), |key, body| {
            written(key, &body, codec::decode(&body)?)
        })
    }

    /// Moves the time at which `key` ends and leaves its value alone; none when there is no such
    /// key.
    ///
    /// # Errors
    /// `conflict` when the condition does not hold.
    pub fn touch(
        &self,
        key: impl AsRef<[u8]>,
        expiry: Expiry,
        condition: Condition,
    ) -> Pending<Option<Touched>> {
        let (key, condition) = (key.as_ref(), condition.as_request());
        let answer = self.answer(&op::Touch { key, expiry, condition });
        Pending::new(answer, Bytes::new(), |_, body| touched(&codec::decode(&body)?))
    }

    /// Adds `by` to the decimal number at `key`; an absent key counts from 0.
    ///
    /// # Errors
    /// `invalid-input` when the value is no number or the sum leaves the range of `i64`.
    pub fn increment(
        &self,
        key: impl AsRef<[u8]>,
        by: i64,
        expiry: Expiry,
    ) -> Pending<Incremented> {
        let answer = self.answer(&op::Increment { key: key.as_ref(), by, expiry });
        Pending::new(answer, Bytes::new(), |_, body| {
            let op::IncrementReply { revision, value } = codec::decode(&body)?;
            Ok(Incremented { revision, value })
        })
    }

    /// Runs a transaction: everything in it at one revision, or nothing. That its comparisons did
    /// not hold is no error, see [`TxnDone::succeeded`].
    ///
    /// # Errors
    /// That of the operation in it which cannot be done, as `conflict` for a put whose own
    /// condition does not hold.
    pub fn txn(&self, txn: Txn) -> impl Future<Output = Result<TxnDone, Error>> + Send + use<> {
        let answer = self.answer(&txn.as_request());
        async move { txn.done(&answer.await?) }
    }

    /// Removes the keys of a range, one page after the other; how many there were. A failure may
    /// come after some pages are gone.
    pub async fn delete_range(&self, range: &KeyRange) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let body = self.answer(&op::DeleteRange { range: range.as_range(), limit: 0 }).await?;
            let reply: op::DeleteRangeReply = codec::decode(&body)?;
            deleted += reply.deleted;
            if !reply.more {
                return Ok(deleted);
            }
        }
    }

    /// How many keys a range has.
    pub async fn count(&self, range: &KeyRange) -> Result<u64, Error> {
        let request = op::Scan {
            range: range.as_range(),
            limit: 0,
            bytes: 0,
            order: op::Order::Ascending,
            projection: Projection::Count,
        };
        let body = self.answer(&request).await?;
        Ok(codec::decode::<op::ScanReply<'_>>(&body)?.count)
    }

    /// The names directly below a prefix, up to and with the next `delimiter`, as a folder lists
    /// its content.
    pub async fn children(
        &self,
        prefix: impl AsRef<[u8]>,
        delimiter: impl AsRef<[u8]>,
    ) -> Result<Vec<Child>, Error> {
        let (prefix, delimiter) = (prefix.as_ref(), delimiter.as_ref());
        let mut children: Vec<Child> = Vec::new();
        loop {
            let after = children.last().map(|child| child.name.clone());
            let after = after.as_deref();
            let body = self.answer(&op::Children { prefix, delimiter, after, limit: 0 }).await?;
            let page: op::ChildrenReply<'_> = codec::decode(&body)?;
            let more = page.more && !page.children.is_empty();
            children.extend(page.children.into_iter().map(|child| {
                let name = body.slice_ref(child.name);
                Child { name, branch: child.branch }
            }));
            if !more {
                return Ok(children);
            }
        }
    }

    /// What the server says of itself.
    pub fn status(&self) -> Pending<Status> {
        let answer = self.answer(&op::Status);
        Pending::new(answer, Bytes::new(), |_, body| {
            let reply: op::StatusReply<'_> = codec::decode(&body)?;
            let figures = reply.figures.iter().map(|it| (it.name.to_owned(), it.value)).collect();
            Ok(Status {
                software: reply.software.to_owned(),
                durability: reply.durability.to_owned(),
                figures,
            })
        })
    }
}

/// What a write did to `key`; none when there was nothing to change.
pub(crate) fn written(
    key: Bytes,
    body: &Bytes,
    reply: WriteReply<'_>,
) -> Result<Option<Written>, Error> {
    let entry = reply.entry.map(|stored| Entry::of_stored(key, body, stored));
    match reply.status {
        WriteStatus::Applied => Ok(Some(Written { revision: reply.revision, previous: entry })),
        WriteStatus::NotFound => Ok(None),
        WriteStatus::Refused => Err(Error::conflict(entry)),
    }
}

/// What a touch did; none when there was no such key.
pub(crate) fn touched(reply: &op::TouchReply) -> Result<Option<Touched>, Error> {
    match (reply.status, reply.meta) {
        (WriteStatus::Applied, Some(meta)) => Ok(Some(Touched {
            revision: reply.revision,
            expires_at: meta.expires_at,
            version: meta.version,
        })),
        (WriteStatus::Applied, None) => {
            Err(Error::new(Code::Protocol, "the server applied a touch to nothing"))
        }
        (WriteStatus::NotFound, _) => Ok(None),
        (WriteStatus::Refused, _) => Err(Error::conflict(None)),
    }
}
