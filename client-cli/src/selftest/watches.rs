//! Streams of changes: complete, in order, resumable.

use tidekeep_client::{
    Change, ChangeKind, DeleteOptions, PutOptions, Watch, WatchEvent, WatchOptions,
};

use super::{Probe, Wrong, expect, expect_that};
use crate::escape::escape;

/// A change in one word.
fn word(change: &Change) -> String {
    match &change.kind {
        ChangeKind::Put(entry) => format!("put:{}", escape(&entry.value)),
        ChangeKind::Delete => "delete".to_owned(),
        ChangeKind::Expire => "expire".to_owned(),
        ChangeKind::Evict => "evict".to_owned(),
    }
}

/// The next `count` changes, a word each.
async fn changes(watch: &mut Watch, count: usize) -> Result<String, Wrong> {
    let mut words = Vec::new();
    while words.len() < count {
        match watch.next().await {
            Some(event) => {
                if let WatchEvent::Changes { changes, .. } = event? {
                    words.extend(changes.iter().map(word));
                }
            }
            None => break,
        }
    }
    Ok(words.join(" "))
}

/// The content up to the caught-up marker, and the cursor there.
async fn content(watch: &mut Watch) -> Result<(Vec<String>, Vec<u8>), Wrong> {
    let mut values = Vec::new();
    while let Some(event) = watch.next().await {
        match event? {
            WatchEvent::Content(entries) => {
                values.extend(entries.iter().map(|entry| escape(&entry.value)));
            }
            WatchEvent::CaughtUp { cursor, .. } => return Ok((values, cursor.to_vec())),
            WatchEvent::Changes { .. } | WatchEvent::Bookmark { .. } | WatchEvent::Reset => {
                expect_that(false, "content comes before changes")?;
            }
        }
    }
    expect_that(false, "the content ends with a marker").map(|()| (values, Vec::new()))
}

pub(super) async fn content_and_changes(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("key"));
    client.put(&key, "before", PutOptions::default()).await?;
    let options = WatchOptions { content: true, ..WatchOptions::default() };
    let mut watch = client.watch(&probe.range(), options);
    expect("content", content(&mut watch).await?.0, vec!["before".to_owned()])?;
    for value in ["1", "2", "3"] {
        client.put(&key, value, PutOptions::default()).await?;
    }
    client.delete(&key, DeleteOptions::default()).await?;
    let seen = changes(&mut watch, 4).await?;
    expect("changes", seen.as_str(), "put:1 put:2 put:3 delete")
}

pub(super) async fn resume(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("key"));
    let options = WatchOptions { content: true, ..WatchOptions::default() };
    let mut watch = client.watch(&probe.range(), options);
    let (_, cursor) = content(&mut watch).await?;
    drop(watch);
    client.put(&key, "missed", PutOptions::default()).await?;
    client.delete(&key, DeleteOptions::default()).await?;
    let options = WatchOptions { cursor: Some(cursor), ..WatchOptions::default() };
    let mut watch = client.watch(&probe.range(), options);
    let seen = changes(&mut watch, 2).await?;
    expect("what was missed", seen.as_str(), "put:missed delete")
}
