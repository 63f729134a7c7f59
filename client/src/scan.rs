//! Scans as streams: pages are asked for as they are needed, one ahead of the reader.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tidekeep_protocol::codec;
use tidekeep_protocol::op::{self, Order, Projection};
use tidekeep_protocol::range::{KeyRange, successor};

use crate::call::Answer;
use crate::client::Client;
use crate::entry::Entry;
use crate::error::Error;
use crate::options::ScanOptions;

/// The entries of a range, in the order that was asked for. Each page is read at one revision; a
/// key that is there from the first page to the last comes exactly once. Ends after an error.
#[must_use = "a scan asks for nothing before it is read"]
pub struct Scan {
    client: Client,
    /// What is left of the range behind the pages that have come.
    range: KeyRange,
    options: ScanOptions,
    /// Entries that may still be asked for.
    left: u64,
    page: VecDeque<Entry>,
    next: Next,
}

/// The page after those that have come.
enum Next {
    NotAsked,
    Asked(Answer),
    None,
}

impl Scan {
    pub(crate) fn new(client: Client, range: KeyRange, options: ScanOptions) -> Self {
        let left = options.limit.unwrap_or(u64::MAX);
        Self { client, range, options, left, page: VecDeque::new(), next: Next::NotAsked }
    }

    /// The next entry; none at the end.
    pub async fn next(&mut self) -> Option<Result<Entry, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The rest of the page that is being read, or the next one; none at the end. A page has at
    /// least one entry.
    pub async fn page(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        if self.page.is_empty() {
            poll_fn(|cx| self.poll_page(cx)).await?;
        }
        let page = std::mem::take(&mut self.page);
        Ok((!page.is_empty()).then(|| page.into()))
    }

    /// Brings the next page, or none at the end.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if matches!(self.next, Next::NotAsked) {
            self.ask();
        }
        let Next::Asked(answer) = &mut self.next else { return Poll::Ready(Ok(())) };
        let body = ready!(Pin::new(answer).poll(cx));
        self.next = Next::None;
        Poll::Ready(body.and_then(|body| self.take_page(&body)))
    }

    fn ask(&mut self) {
        self.next = Next::None;
        if self.left == 0 {
            return;
        }
        let page = u64::from(self.options.page);
        // A limit of 0 leaves it to the server, which is right when nobody set one.
        let limit = match (page, self.options.limit) {
            (0, None) => 0,
            (0, Some(_)) => self.left,
            (page, _) => page.min(self.left),
        };
        let projection = if self.options.keys_only { Projection::Keys } else { Projection::Full };
        self.next = Next::Asked(self.client.answer(&op::Scan {
            range: self.range.as_range(),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            bytes: 0,
            order: self.options.order,
            projection,
        }));
    }

    fn take_page(&mut self, body: &Bytes) -> Result<(), Error> {
        let reply: op::ScanReply<'_> = codec::decode(body)?;
        self.left = self.left.saturating_sub(reply.entries.len() as u64);
        let more = reply.more && self.left > 0;
        if let Some(last) = reply.entries.last()
            && more
        {
            match self.options.order {
                Order::Ascending => self.range.start = successor(last.key),
                Order::Descending => self.range.end = Some(last.key.to_vec()),
            }
            self.ask();
        }
        self.page.extend(reply.entries.into_iter().map(|entry| Entry::of_entry(body, entry)));
        Ok(())
    }
}

impl Stream for Scan {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.page.is_empty()
            && let Err(error) = ready!(self.poll_page(cx))
        {
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(self.page.pop_front().map(Ok))
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("options", &self.options).finish_non_exhaustive()
    }
}
