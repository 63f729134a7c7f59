//! Several operations at once, or none of them.

use tidekeep_client::{Code, Error, PutOptions};

use super::{Probe, Wrong, expect, expect_error, expect_that, text};
use crate::failure::Styles;
use crate::input::Reading;
use crate::txn::Script;

/// A transaction in the command line's own language.
fn script(clauses: &[String]) -> Result<Script, Wrong> {
    let clauses = clauses.iter().map(String::as_bytes);
    Script::from_clauses(clauses, Reading::Exact).map_err(|failure| Wrong {
        message: failure.text(&Styles::default()),
        exit: failure.exit(),
    })
}

/// Runs it; whether its comparisons held.
async fn run(probe: &Probe, script: &Script) -> Result<bool, Error> {
    Ok(probe.client.txn(script.to_txn()).await?.succeeded)
}

pub(super) async fn branches(probe: &Probe) -> Result<(), Wrong> {
    let (client, key) = (&probe.client, probe.key("lock"));
    let claim = |who: &str| {
        script(&[
            format!("if {key} absent"),
            format!("then put {key} {who}"),
            format!("else put {key}/waiting {who}"),
        ])
    };
    expect("the first claim", run(probe, &claim("first")?).await?, true)?;
    expect("the second claim", run(probe, &claim("second")?).await?, false)?;
    expect("holder", text(client.get(&key).await?.as_ref()), Some("first".into()))?;
    let waiting = client.get(format!("{key}/waiting")).await?;
    expect("else ran", text(waiting.as_ref()), Some("second".into()))
}

pub(super) async fn all_or_nothing(probe: &Probe) -> Result<(), Wrong> {
    let (client, from, to) = (&probe.client, probe.key("from"), probe.key("to"));
    client.put(&from, "10", PutOptions::default()).await?;
    client.put(&to, "no number", PutOptions::default()).await?;
    let transfer = script(&[format!("incr {from} --by -3"), format!("incr {to} --by 3")])?;
    expect_error("a transfer to a word", run(probe, &transfer).await, Code::InvalidInput)?;
    expect("undone", text(client.get(&from).await?.as_ref()), Some("10".into()))?;
    client.put(&to, "0", PutOptions::default()).await?;
    expect_that(run(probe, &transfer).await?, "the transfer goes through")?;
    let (from, to) = (client.get(&from).await?, client.get(&to).await?);
    let (from, to) = (text(from.as_ref()), text(to.as_ref()));
    expect("balances", (from, to), (Some("7".into()), Some("3".into())))
}
