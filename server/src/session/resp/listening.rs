//! What a connection listens to: channels, patterns, and the events of keys, which are told as
//! messages on channels of their own and come from the log's changes, like everything that watches.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidekeep_log::{Entry, Event, EventKind, View};
use tidekeep_protocol::error::Code;

use super::args::Args;
use super::encode::{Encoder, Version};
use super::fail::Fail;
use super::glob;
use super::house::House;
use super::machine::Core;
use super::subcommands;
use super::table::{Local, Row, Run};
use crate::service::{Hub, Mailbox, Topic};
use crate::session::Ending;
use crate::session::positions::{Due, Positions};

/// What events of one key are published under, before the key.
const OF_KEY: &[u8] = b"__keyspace@0__:";

/// What events of one kind are published under, before the kind.
const OF_KIND: &[u8] = b"__keyevent@0__:";

/// Names that one connection may listen to.
const NAMES_MAX: usize = 16_384;

/// What a connection listens to; it leaves when it is dropped.
pub(crate) struct Listening {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    channels: BTreeSet<Vec<u8>>,
    patterns: BTreeSet<Vec<u8>>,
    /// How far it has been told of events, if it may listen to any.
    events: Option<Events>,
}

struct Events {
    /// Everything up to these revisions was told; none while it is not known where they begin.
    after: Option<Positions>,
    /// The groups that may have something behind them.
    due: Due,
    /// The group whose turn it is.
    next: usize,
}

impl Events {
    /// The group to look at now, if any has news.
    fn turn(&mut self) -> Option<usize> {
        let group = self.due.next(self.next)?;
        self.next = group + 1;
        Some(group)
    }

    /// Goes on in so many groups, if the only one was split into them; whether it was.
    fn regroup(&mut self, groups: usize) -> bool {
        let Some(after) = self.after.as_mut().filter(|after| after.groups() < groups) else {
            return false;
        };
        after.spread(groups);
        self.due = Due::all(groups);
        true
    }
}

impl Listening {
    fn new(hub: &Arc<Hub>, most: usize) -> Self {
        Self {
            hub: Arc::clone(hub),
            mailbox: hub.mailbox(most),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            events: None,
        }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn names(&mut self, topic: Topic) -> &mut BTreeSet<Vec<u8>> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
        }
    }

    fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Begins or ends to follow the changes, as some name may be one of events or none is.
    fn follow(&mut self, house: &House<'_>) {
        let may_begin = |name: &[u8], with: &[u8]| name.starts_with(with) || with.starts_with(name);
        let of_events = |name: &[u8]| may_begin(name, OF_KEY) || may_begin(name, OF_KIND);
        let follows = self.channels.iter().any(|name| of_events(name))
            || self.patterns.iter().any(|pattern| of_events(&glob::prefix(pattern)));
        if !follows {
            self.events = None;
        } else if self.events.is_none() {
            let feeds = house.commit.feeds();
            let at_hand = feeds.iter().all(|feed| feed.is_at_hand());
            let after = at_hand.then(|| Positions::of(feeds, |feed| feed.revision()));
            let due = if at_hand { Due::all(feeds.len()) } else { Due::default() };
            self.events = Some(Events { after, due, next: 0 });
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        for name in &self.channels {
            self.hub.leave(Topic::Channel, name, &self.mailbox);
        }
        for name in &self.patterns {
            self.hub.leave(Topic::Pattern, name, &self.mailbox);
        }
    }
}

impl Core {
    /// Whether only a subscriber's commands are taken: in RESP2, messages cannot be told from
    /// replies.
    pub(super) fn is_subscriber(&self) -> bool {
        self.outlet.version == Version::Two && self.listening.is_some()
    }

    /// Why a subscriber's command is not taken.
    pub(super) fn subscriber_refuses(&self, row: &Row, args: Args<'_, '_>) -> Option<Fail> {
        use Local::{
            PatternSubscribe, PatternUnsubscribe, Ping, Quit, Reset, Subscribe, Unsubscribe,
        };
        let taken = matches!(
            row.run,
            Run::Local(
                Subscribe
                    | PatternSubscribe
                    | Unsubscribe
                    | PatternUnsubscribe
                    | Ping
                    | Quit
                    | Reset
            )
        );
        (self.is_subscriber() && !taken).then(|| {
            Fail::new(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                subcommands::full_name(row.name, args)
            ))
        })
    }

    /// `SUBSCRIBE` and `PSUBSCRIBE`.
    pub(super) fn subscribe(
        &mut self,
        topic: Topic,
        args: Args<'_, '_>,
        house: &House<'_>,
        to: &mut Encoder<'_>,
    ) -> Result<(), Fail> {
        let before = self.listening.as_ref().map_or(0, |listening| listening.count());
        if before + args.from(1).len() > NAMES_MAX {
            return Err(Fail::known("ERR more subscriptions than one connection may have"));
        }
        let most = self.settings.budgets.connection_bytes / 2;
        let listening =
            self.listening.get_or_insert_with(|| Box::new(Listening::new(house.hub, most)));
        let word = match topic {
            Topic::Channel => "subscribe",
            Topic::Pattern => "psubscribe",
        };
        for name in args.from(1) {
            if listening.names(topic).insert(name.to_vec()) {
                listening.hub.listen(topic, name, &listening.mailbox);
            }
            tell(word, Some(name), listening.count(), to);
        }
        listening.follow(house);
        self.client.listens(listening.channels.len(), listening.patterns.len());
        Ok(())
    }

    /// `UNSUBSCRIBE` and `PUNSUBSCRIBE`: of these names, or of all.
    pub(super) fn unsubscribe(
        &mut self,
        topic: Topic,
        args: Args<'_, '_>,
        house: &House<'_>,
        to: &mut Encoder<'_>,
    ) {
        let word = match topic {
            Topic::Channel => "unsubscribe",
            Topic::Pattern => "punsubscribe",
        };
        let mut names: Vec<Vec<u8>> = args.from(1).map(<[u8]>::to_vec).collect();
        if names.is_empty()
            && let Some(listening) = &mut self.listening
        {
            names = listening.names(topic).iter().cloned().collect();
        }
        if names.is_empty() {
            let left = self.listening.as_ref().map_or(0, |listening| listening.count());
            return tell(word, None, left, to);
        }
        for name in &names {
            let mut left = 0;
            if let Some(listening) = &mut self.listening {
                if listening.names(topic).remove(name) {
                    listening.hub.leave(topic, name, &listening.mailbox);
                }
                left = listening.count();
            }
            tell(word, Some(name), left, to);
        }
        let Some(listening) = &mut self.listening else { return };
        listening.follow(house);
        self.client.listens(listening.channels.len(), listening.patterns.len());
        if listening.count() == 0 {
            self.listening = None;
        }
    }

    /// `PUBSUB CHANNELS [pattern]`, `NUMSUB [channel …]`, `NUMPAT`.
    pub(super) fn pubsub(
        &mut self,
        args: Args<'_, '_>,
        house: &House<'_>,
        to: &mut Encoder<'_>,
    ) -> Result<(), Fail> {
        if args.is(1, "channels") {
            if args.len() > 3 {
                let word = String::from_utf8_lossy(args.get(1)).into_owned();
                return Err(Fail::new(format!(
                    "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB \
                     HELP."
                )));
            }
            let fits = |name: &[u8]| args.len() == 2 || glob::matches(args.get(2), name);
            let channels = house.hub.channels(fits);
            to.list(channels.len());
            channels.iter().for_each(|name| to.bulk(name));
        } else if args.is(1, "numsub") {
            to.list(2 * (args.len() - 2));
            for name in args.from(2) {
                to.bulk(name);
                to.integer(house.hub.listeners(name) as i64);
            }
        } else {
            to.integer(house.hub.patterns() as i64);
        }
        Ok(())
    }

    /// Writes what came before the command that is read now; whether that is all of it. A message
    /// stands where what it tells of has happened, so that it does not matter which commands arrive
    /// together.
    pub(super) fn is_told(&mut self, house: &House<'_>) -> bool {
        let Some(listening) = &mut self.listening else { return true };
        if let Some(events) = &mut listening.events {
            // What is told begins where the events do, which is not known yet.
            let feeds = house.commit.feeds();
            events.regroup(feeds.len());
            let Some(after) = &events.after else { return false };
            for (group, feed) in feeds.iter().enumerate() {
                if after.at(group) < feed.revision() {
                    events.due.note(group);
                }
            }
        }
        self.deliver(house);
        let told = |it: &Listening| {
            it.mailbox.bytes() == 0 && it.events.as_ref().is_none_or(|events| !events.due.any())
        };
        self.ending.is_none() && self.listening.as_deref().is_none_or(told)
    }

    /// Writes messages that came, while there is room.
    pub(super) fn deliver(&mut self, house: &House<'_>) {
        let Some(mut listening) = self.listening.take() else { return };
        let delivered =
            self.deliver_post(&listening).and_then(|()| self.deliver_events(&mut listening, house));
        self.listening = Some(listening);
        if delivered.is_err() && self.ending.is_none() {
            self.ending = Some(Ending { code: Code::SlowReader, flush: false });
        }
    }

    fn deliver_post(&mut self, listening: &Listening) -> Result<(), TooSlow> {
        while self.outlet.takes_messages() {
            let taken = listening.mailbox.take().map_err(|_| TooSlow)?;
            let Some(message) = taken else { break };
            let pattern = message.pattern.as_deref();
            self.say_message(pattern, &message.channel, &message.payload);
        }
        Ok(())
    }

    fn deliver_events(
        &mut self,
        listening: &mut Listening,
        house: &House<'_>,
    ) -> Result<(), TooSlow> {
        let page = self.settings.limits.chunk_bytes as usize;
        // The same for all that follows: the groups may be split meanwhile.
        let feeds = house.commit.feeds();
        if let Some(events) = &mut listening.events {
            events.regroup(feeds.len());
        }
        while self.outlet.takes_messages()
            && let Some(events) = &mut listening.events
            && let Some(group) = events.turn()
        {
            let after = events.after.as_ref().map_or(0, |after| after.at(group));
            let found = feeds[group].changes(after, page).map_err(|_| TooSlow)?;
            let mut told = found.through;
            for change in &found.changes {
                if !self.outlet.takes_messages() {
                    told = change.revision - 1;
                    break;
                }
                for event in &change.events {
                    self.tell_event(event, listening);
                }
            }
            if let Some(events) = &mut listening.events {
                if let Some(after) = &mut events.after {
                    after.reach(group, told);
                }
                if found.changes.is_empty() {
                    events.due.clear(group);
                }
            }
        }
        Ok(())
    }

    fn tell_event(&mut self, event: &Event, listening: &Listening) {
        for kind in kinds(event).into_iter().flatten() {
            let key = event.key();
            self.tell_listener(&[OF_KEY, key].concat(), kind.as_bytes(), listening);
            self.tell_listener(&[OF_KIND, kind.as_bytes()].concat(), key, listening);
        }
    }

    fn tell_listener(&mut self, channel: &[u8], payload: &[u8], listening: &Listening) {
        if listening.channels.contains(channel) {
            self.say_message(None, channel, payload);
        }
        for pattern in &listening.patterns {
            if glob::matches(pattern, channel) {
                self.say_message(Some(pattern), channel, payload);
            }
        }
    }

    fn say_message(&mut self, pattern: Option<&[u8]>, channel: &[u8], payload: &[u8]) {
        let mut to = self.outlet.encoder();
        match pattern {
            None => {
                to.push(3);
                to.bulk(b"message");
            }
            Some(pattern) => {
                to.push(4);
                to.bulk(b"pmessage");
                to.bulk(pattern);
            }
        }
        to.bulk(channel);
        to.bulk(payload);
    }

    /// Whether events are followed.
    pub(super) fn follows_changes(&self) -> bool {
        self.listening.as_ref().is_some_and(|listening| listening.events.is_some())
    }

    /// Follows events in so many groups, if the only one was split into them; whether it was.
    pub(super) fn regroup(&mut self, groups: usize) -> bool {
        let events = self.listening.as_mut().and_then(|it| it.events.as_mut());
        events.is_some_and(|events| events.regroup(groups))
    }

    /// The revision of a group behind which the driver is to wait for a change, if events are followed.
    pub(super) fn waits_for_change(&self, group: usize) -> Option<u64> {
        let events = self.listening.as_ref()?.events.as_ref()?;
        let after = events.after.as_ref()?.at(group);
        (!events.due.has(group)).then_some(after)
    }

    /// Whether events are followed of which it is not known where they begin.
    pub(super) fn wants_beginning(&self) -> bool {
        let events = self.listening.as_ref().and_then(|it| it.events.as_ref());
        events.is_some_and(|events| events.after.is_none())
    }

    /// Takes a view of each group: events begin behind them.
    pub(super) fn begin_events(&mut self, views: Vec<View>) {
        if let Some(events) = self.listening.as_mut().and_then(|it| it.events.as_mut()) {
            let after = views.iter().map(View::revision).collect::<Positions>();
            events.due = Due::all(after.groups());
            events.after.get_or_insert(after);
        }
    }

    /// Notes that there is a change of a group to look at.
    pub(super) fn changed(&mut self, group: usize) {
        if let Some(events) = self.listening.as_mut().and_then(|it| it.events.as_mut()) {
            events.due.note(group);
        }
    }
}

/// The listener has not read for so long that messages were lost.
struct TooSlow;

/// What happened to a key, in Redis' words. An end that was given is told behind what was set, unless
/// it is the one that was there: the write kept it then, as far as the change tells.
fn kinds(event: &Event) -> [Option<&'static str>; 2] {
    let end = event.entry.expires_at();
    let before = event.previous.as_ref().and_then(Entry::expires_at);
    match event.kind {
        EventKind::Put => [Some("set"), (end.is_some() && end != before).then_some("expire")],
        EventKind::Touch if end.is_some() => [Some("expire"), None],
        EventKind::Touch => [before.map(|_| "persist"), None],
        EventKind::Delete => [Some("del"), None],
        EventKind::Expire => [Some("expired"), None],
        EventKind::Evict => [Some("evicted"), None],
    }
}

fn tell(word: &str, name: Option<&[u8]>, count: usize, to: &mut Encoder<'_>) {
    to.push(3);
    to.bulk(word.as_bytes());
    to.bulk_or_null(name);
    to.integer(count as i64);
}
