//! Channels: who listens to which, and the post that waits for each of them. What one publishes is
//! handed to all at once; a listener that does not take its post is cut, so that nobody waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::session::matches_pattern;

/// All channels and patterns that somebody listens to.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    names: Mutex<Names>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Names {
    channels: HashMap<Vec<u8>, Vec<Arc<Mailbox>>>,
    patterns: HashMap<Vec<u8>, Vec<Arc<Mailbox>>>,
}

/// What somebody listens to: one channel, or all that fit a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Channel,
    Pattern,
}

/// What was published, as one listener gets it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The pattern that the channel fits, if it is why the listener gets it.
    pub(crate) pattern: Option<Vec<u8>>,
    pub(crate) channel: Arc<[u8]>,
    pub(crate) payload: Arc<[u8]>,
}

/// A listener's post.
#[derive(Debug)]
pub(crate) struct Mailbox {
    id: u64,
    /// Bytes that may wait.
    most: usize,
    post: Mutex<Post>,
}

#[derive(Debug, Default)]
struct Post {
    messages: VecDeque<Message>,
    bytes: usize,
    overflowed: bool,
    waker: Option<Waker>,
}

impl Hub {
    /// A mailbox for post of up to `most` bytes.
    pub(crate) fn mailbox(&self, most: usize) -> Arc<Mailbox> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(Mailbox { id, most, post: Mutex::default() })
    }

    /// Has a mailbox get what is published under a name.
    pub(crate) fn listen(&self, topic: Topic, name: &[u8], mailbox: &Arc<Mailbox>) {
        let mut names = self.lock();
        let listeners = names.of(topic).entry(name.to_vec()).or_default();
        if listeners.iter().all(|known| known.id != mailbox.id) {
            listeners.push(Arc::clone(mailbox));
        }
    }

    /// Has it no longer get that.
    pub(crate) fn leave(&self, topic: Topic, name: &[u8], mailbox: &Mailbox) {
        let mut names = self.lock();
        let map = names.of(topic);
        if let Some(listeners) = map.get_mut(name) {
            listeners.retain(|known| known.id != mailbox.id);
            if listeners.is_empty() {
                map.remove(name);
            }
        }
    }

    /// Hands a message to all that listen; how many times.
    pub(crate) fn publish(&self, channel: &[u8], payload: &[u8]) -> usize {
        let names = self.lock();
        let fitting = names.patterns.iter().filter(|(name, _)| matches_pattern(name, channel));
        let exact =
            names.channels.get(channel).into_iter().flatten().map(|mailbox| (None, mailbox));
        let by_pattern = fitting.flat_map(|(pattern, mailboxes)| {
            mailboxes.iter().map(move |mailbox| (Some(pattern), mailbox))
        });
        // Copied once, for the first who gets it.
        let mut message: Option<Message> = None;
        let mut handed = 0;
        for (pattern, mailbox) in exact.chain(by_pattern) {
            let shared = message.get_or_insert_with(|| Message {
                pattern: None,
                channel: channel.into(),
                payload: payload.into(),
            });
            mailbox.put(Message { pattern: pattern.cloned(), ..shared.clone() });
            handed += 1;
        }
        handed
    }

    /// The channels that somebody listens to and `wanted` says yes to.
    pub(crate) fn channels(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        self.lock().channels.keys().filter(|name| wanted(name)).cloned().collect()
    }

    /// How many listen to a channel by its name.
    pub(crate) fn listeners(&self, channel: &[u8]) -> usize {
        self.lock().channels.get(channel).map_or(0, Vec::len)
    }

    /// How many patterns somebody listens to.
    pub(crate) fn patterns(&self) -> usize {
        self.lock().patterns.len()
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn of(&mut self, topic: Topic) -> &mut HashMap<Vec<u8>, Vec<Arc<Mailbox>>> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
        }
    }
}

impl Mailbox {
    fn put(&self, message: Message) {
        let mut post = self.lock();
        if post.overflowed {
            return;
        }
        post.bytes += message.bytes();
        if post.bytes > self.most {
            // Whoever lost one message must not be given later ones as if it had them all.
            post.overflowed = true;
            post.messages.clear();
            post.bytes = 0;
        } else {
            post.messages.push_back(message);
        }
        let waker = post.waker.take();
        drop(post);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// More came than could wait.
    pub(crate) fn take(&self) -> Result<Option<Message>, Overflowed> {
        let mut post = self.lock();
        if post.overflowed {
            return Err(Overflowed);
        }
        let message = post.messages.pop_front();
        post.bytes -= message.as_ref().map_or(0, Message::bytes);
        Ok(message)
    }

    /// Whether there is something to take; if not, the task is woken when there is.
    pub(crate) fn has_post(&self, waker: &Waker) -> bool {
        let mut post = self.lock();
        let has_some = post.overflowed || !post.messages.is_empty();
        if !has_some && post.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            post.waker = Some(waker.clone());
        }
        has_some
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More came for a listener than it took in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflowed;

impl Message {
    fn bytes(&self) -> usize {
        let pattern = self.pattern.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + pattern + self.channel.len() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_to_all_who_listen_and_to_nobody_else() {
        let hub = Hub::default();
        let (one, other) = (hub.mailbox(1000), hub.mailbox(1000));
        hub.listen(Topic::Channel, b"news", &one);
        hub.listen(Topic::Channel, b"news", &one);
        hub.listen(Topic::Pattern, b"n*", &other);
        assert_eq!(hub.publish(b"news", b"1"), 2);
        assert_eq!(hub.publish(b"olds", b"2"), 0);
        assert_eq!(one.take().unwrap().map(|message| message.payload.to_vec()), Some(b"1".into()));
        assert_eq!(one.take().unwrap().map(|message| message.payload), None);
        assert_eq!(other.take().unwrap().and_then(|message| message.pattern), Some(b"n*".into()));
        hub.leave(Topic::Channel, b"news", &one);
        hub.leave(Topic::Pattern, b"n*", &other);
        assert_eq!((hub.publish(b"news", b"3"), hub.patterns()), (0, 0));
        assert!(hub.channels(|_| true).is_empty());
    }

    #[test]
    fn who_does_not_take_its_post_is_told_and_holds_nothing() {
        let hub = Hub::default();
        let mailbox = hub.mailbox(500);
        hub.listen(Topic::Channel, b"c", &mailbox);
        for _ in 0..20 {
            hub.publish(b"c", &[0; 100]);
        }
        assert_eq!(mailbox.take().map(|_| ()), Err(Overflowed));
        assert_eq!(mailbox.bytes(), 0);
        assert!(mailbox.has_post(Waker::noop()));
    }
}
