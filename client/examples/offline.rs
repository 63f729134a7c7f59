//! Writes that survive being offline: queues one, shows it, and tells what became of those of earlier
//! runs. Start it without a server, stop it, start a server, and start it again:
//! `cargo run -p tidekeep-client --example offline -- 127.0.0.1:8080`

use std::time::Duration;

use tidekeep_client::{Client, KeyRange, Options, PutOptions};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tidekeep_client::Error> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let options = Options::default().offline("offline-example.queue");
    let client = Client::lazy(&server, options)?;
    let view = client.view(&KeyRange::prefix(b"notes/"), &[]);

    let mut note = client.queue_put("notes/last", "written anywhere", PutOptions::default());
    note.queued().await?;
    println!("stored as mutation {}: it outlives this process", note.id());
    for shown in view.entries(&KeyRange::all(), 100) {
        let state = if shown.optimistic { "not confirmed" } else { "confirmed" };
        println!("{:?} = {:?} ({state})", shown.entry.key, shown.entry.text());
    }

    match timeout(Duration::from_secs(3), note).await {
        Ok(settled) => println!("{:?}", settled.result),
        Err(_) => println!("no server yet: start this again later"),
    }
    while let Ok(earlier) = timeout(Duration::from_millis(100), client.settlement()).await {
        println!("of an earlier run: {} {:?}", earlier.mutation, earlier.result);
    }
    client.close().await;
    Ok(())
}
