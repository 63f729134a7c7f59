//! One key at a time: set, read, overwrite, remove, count, and bytes of every kind.

use tidekeep_client::{DeleteOptions, Expiry, PutOptions};

use super::{Probe, Wrong, expect, expect_error, expect_that, text};

pub(super) async fn ping(probe: &Probe) -> Result<(), Wrong> {
    probe.client.ping().await?;
    Ok(())
}

pub(super) async fn status(probe: &Probe) -> Result<(), Wrong> {
    let status = probe.client.status().await?;
    expect_that(!status.software.is_empty(), "the server names its software")?;
    expect_that(
        status.figures.iter().any(|(name, _)| name == "revision"),
        "the figures include the revision",
    )
}

pub(super) async fn life_of_a_key(probe: &Probe) -> Result<(), Wrong> {
    let key = probe.key("name");
    expect("before", text(probe.client.get(&key).await?.as_ref()), None)?;
    let first = probe.client.put(&key, "John", PutOptions::default()).await?;
    let options = PutOptions { previous: true, ..PutOptions::default() };
    let second = probe.client.put(&key, "John Doe", options).await?;
    expect("previous value", text(second.previous.as_ref()), Some("John".into()))?;
    expect_that(second.revision > first.revision, "revisions grow")?;
    let Some(entry) = probe.client.get(&key).await? else {
        return expect_that(false, "the key is there");
    };
    expect("value", text(Some(&entry)), Some("John Doe".into()))?;
    expect("created", entry.created, first.revision)?;
    expect("modified", entry.modified, second.revision)?;
    expect("version", entry.version, 2)?;
    let options = DeleteOptions { previous: true, ..DeleteOptions::default() };
    let deleted = probe.client.delete(&key, options).await?;
    let previous = deleted.and_then(|written| written.previous);
    expect("deleted value", text(previous.as_ref()), Some("John Doe".into()))?;
    expect("after", text(probe.client.get(&key).await?.as_ref()), None)?;
    let again = probe.client.delete(&key, DeleteOptions::default()).await?;
    expect("a second delete", again.is_some(), false)
}

pub(super) async fn any_bytes(probe: &Probe) -> Result<(), Wrong> {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let mut key = probe.key("").into_bytes();
    key.extend(&bytes);
    probe.client.put(&key, &bytes, PutOptions::default()).await?;
    let entry = probe.client.get(&key).await?;
    expect_that(
        entry.is_some_and(|entry| entry.value == bytes && entry.key == key),
        "every byte comes back as it was",
    )?;
    let empty = probe.key("empty");
    probe.client.put(&empty, "", PutOptions::default()).await?;
    expect("an empty value", text(probe.client.get(&empty).await?.as_ref()), Some(String::new()))
}

pub(super) async fn large(probe: &Probe) -> Result<(), Wrong> {
    let limit = probe.client.server().map_or(LARGE_BYTES, |server| {
        usize::try_from(server.limits.value_bytes).unwrap_or(LARGE_BYTES)
    });
    let value: Vec<u8> = (0..limit.min(LARGE_BYTES)).map(|index| (index % 251) as u8).collect();
    let key = probe.key("large");
    probe.client.put(&key, &value, PutOptions::default()).await?;
    let entry = probe.client.get(&key).await?;
    expect_that(entry.is_some_and(|entry| entry.value == value), "the value comes back whole")
}

pub(super) async fn increment(probe: &Probe) -> Result<(), Wrong> {
    let key = probe.key("count");
    expect("first", probe.client.increment(&key, 5, Expiry::Keep).await?.value, 5)?;
    expect("second", probe.client.increment(&key, -7, Expiry::Keep).await?.value, -2)?;
    expect("as text", text(probe.client.get(&key).await?.as_ref()), Some("-2".into()))?;
    probe.client.put(&key, "seven", PutOptions::default()).await?;
    let refused = probe.client.increment(&key, 1, Expiry::Keep).await;
    expect_error("a word plus one", refused, tidekeep_client::Code::InvalidInput)?;
    expect("unchanged", text(probe.client.get(&key).await?.as_ref()), Some("seven".into()))
}

const LARGE_BYTES: usize = 256 << 10;
