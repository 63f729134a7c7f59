//! Replies to deletes of ranges and to questions for children, held against the history.

use std::collections::BTreeMap;

use tidekeep_protocol::op::{ChildrenReply, DeleteRangeReply};
use tidekeep_protocol::range::KeyRange;

use crate::history::History;
use crate::reading::Wall;

/// Keys that a delete of a range takes at most when it leaves that open.
const KEYS_DEFAULT: usize = 1_000;

/// Checks what a delete of a range says that it did.
pub(crate) fn check_delete_range(
    history: &History,
    range: &KeyRange,
    limit: u32,
    reply: &DeleteRangeReply,
    wall: Wall,
) -> Result<(), String> {
    let at = reply.revision;
    if reply.deleted == 0 {
        let content = history.content(range, at);
        let missed = content.iter().find(|entry| wall.must_show(entry, at, history));
        return match missed {
            Some(entry) => Err(format!("nothing was deleted, though there was {entry:?}")),
            None if reply.more => Err("nothing was deleted, and there is more".to_owned()),
            None => Ok(()),
        };
    }
    let most = if limit == 0 { KEYS_DEFAULT } else { limit as usize };
    let change = history.change(at).ok_or("an unknown revision")?;
    if reply.deleted != change.events.len() as u64 || change.events.len() > most {
        return Err(format!("{reply:?} of {change:?}"));
    }
    let over = |entry| history.is_over(entry, at - 1, change.at_ms);
    let content = history.content(range, at - 1);
    let mut rest = content.into_iter();
    for event in &change.events {
        let passed = rest.by_ref().take_while(|entry| entry.key() != event.key());
        if let Some(entry) = passed.into_iter().find(|entry| over(entry) == Some(false)) {
            return Err(format!("{entry:?} was passed over"));
        }
    }
    let left: Vec<_> = rest.filter(|entry| over(entry) != Some(true)).collect();
    match left.iter().any(|entry| over(entry) == Some(false)) {
        true if !reply.more => Err(format!("{left:?} was left without a word")),
        false if reply.more && left.is_empty() => Err("there is nothing more".to_owned()),
        _ if reply.more && change.events.len() < most => Err("fewer than there were".to_owned()),
        _ => Ok(()),
    }
}

/// Checks the names below a prefix, parted by `/`.
pub(crate) fn check_children(
    history: &History,
    prefix: &[u8],
    limit: u32,
    reply: &ChildrenReply<'_>,
    wall: Wall,
) -> Result<(), String> {
    let at = reply.revision;
    if limit > 0 && reply.children.len() > limit as usize {
        return Err("more names than were asked for".to_owned());
    }
    // Each name that may be there, whether it is a branch, and whether it must be there.
    let mut names: BTreeMap<&[u8], (bool, bool)> = BTreeMap::new();
    let content = history.content(&KeyRange::prefix(prefix), at);
    for entry in content.iter().filter(|entry| wall.may_show(entry, at, history)) {
        let below = &entry.key()[prefix.len()..];
        let parted = below.iter().position(|byte| *byte == b'/');
        let name = parted.map_or(below, |place| &below[..=place]);
        let (_, must) = names.entry(name).or_insert((parted.is_some(), false));
        *must |= wall.must_show(entry, at, history);
    }
    let mut rest = names.into_iter();
    for child in &reply.children {
        loop {
            let (name, (branch, must)) = rest.next().ok_or_else(|| format!("a name {child:?}"))?;
            if name == child.name && branch == child.branch {
                break;
            }
            if must {
                return Err(format!("{child:?} comes without {name:?} before it"));
            }
        }
    }
    match rest.find(|(_, (_, must))| *must) {
        Some((name, _)) if !reply.more => Err(format!("the names end before {name:?}")),
        _ => Ok(()),
    }
}
