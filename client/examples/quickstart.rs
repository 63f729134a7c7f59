//! Puts, reads, changes under a condition and lists. Needs a server:
//! `cargo run -p tidekeep-client --example quickstart -- 127.0.0.1:8080`

use tidekeep_client::{Client, Code, Condition, KeyRange, Options, PutOptions, ScanOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tidekeep_client::Error> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let client = Client::connect(&server, Options::default()).await?;

    let written = client.put("example/name", "John Doe", PutOptions::default()).await?;
    println!("put at revision {}", written.revision);
    if let Some(entry) = client.get("example/name").await? {
        println!("got {:?}", entry.text());
    }

    // Only if nobody was faster.
    let condition = Condition::Revision(written.revision);
    let options = PutOptions { condition, previous: true, ..PutOptions::default() };
    match client.put("example/name", "Jane Doe", options).await {
        Ok(written) => println!("replaced {:?}", written.previous),
        Err(error) if error.code() == Code::Conflict => println!("now: {:?}", error.current()),
        Err(error) => return Err(error),
    }

    // Calls made one after the other travel together.
    let puts: Vec<_> = (0..10)
        .map(|n| client.put(format!("example/{n}"), n.to_string(), PutOptions::default()))
        .collect();
    for put in puts {
        put.await?;
    }
    let range = KeyRange::prefix(b"example/");
    let mut scan = client.scan(&range, ScanOptions::default());
    while let Some(entry) = scan.next().await {
        let entry = entry?;
        println!("{:?} = {:?}", entry.key, entry.text());
    }
    println!("removed {}", client.delete_range(&range).await?);
    client.close().await;
    Ok(())
}
