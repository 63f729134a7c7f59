//! Writes that apply only if something holds of the key before.

use tidekeep_client::{Code, Condition, DeleteOptions, PutOptions};

use super::{Probe, Wrong, expect, expect_error, text};

fn only_if(condition: Condition) -> PutOptions {
    PutOptions { condition, ..PutOptions::default() }
}

pub(super) async fn existence(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("key"));
    let refused = client.put(&key, "x", only_if(Condition::Present)).await;
    let error = expect_error("present, of an absent key", refused, Code::Conflict)?;
    expect("nothing in the way", text(error.current()), None)?;
    client.put(&key, "first", only_if(Condition::Absent)).await?;
    let refused = client.put(&key, "second", only_if(Condition::Absent)).await;
    let error = expect_error("absent, of a present key", refused, Code::Conflict)?;
    expect("what stands in the way", text(error.current()), Some("first".into()))?;
    client.put(&key, "second", only_if(Condition::Present)).await?;
    expect("in the end", text(client.get(&key).await?.as_ref()), Some("second".into()))
}

pub(super) async fn content(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("key"));
    let first = client.put(&key, "first", PutOptions::default()).await?;
    let revision = Condition::Revision(first.revision);
    client.put(&key, "second", only_if(revision.clone())).await?;
    let refused = client.put(&key, "third", only_if(revision)).await;
    expect_error("an old revision", refused, Code::Conflict)?;
    let value = |text: &'static str| only_if(Condition::Value(text.into()));
    let refused = client.put(&key, "third", value("first")).await;
    expect_error("an old value", refused, Code::Conflict)?;
    client.put(&key, "third", value("second")).await?;
    expect("in the end", text(client.get(&key).await?.as_ref()), Some("third".into()))
}

pub(super) async fn delete(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("lock"));
    client.put(&key, "mine", PutOptions::default()).await?;
    let only_if = |text: &'static str| DeleteOptions {
        condition: Condition::Value(text.into()),
        ..DeleteOptions::default()
    };
    let refused = client.delete(&key, only_if("yours")).await;
    expect_error("another's lock", refused, Code::Conflict)?;
    let deleted = client.delete(&key, only_if("mine")).await?;
    expect("my lock", deleted.is_some(), true)
}
