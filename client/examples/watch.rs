//! Shows what a prefix holds, then every change to it, over restarts of the server. Needs a server:
//! `cargo run -p tidekeep-client --example watch -- 127.0.0.1:8080 example/`

use tidekeep_client::{ChangeKind, Client, KeyRange, Options, WatchEvent, WatchOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tidekeep_client::Error> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let prefix = arguments.next().unwrap_or_default();

    let client = Client::connect(&server, Options::default()).await?;
    let options = WatchOptions { content: true, ..WatchOptions::default() };
    let mut watch = client.watch(&KeyRange::prefix(prefix.as_bytes()), options);
    while let Some(event) = watch.next().await {
        match event? {
            WatchEvent::Reset => println!("-- everything anew --"),
            WatchEvent::Content(entries) => {
                for entry in entries {
                    println!("{:?} = {:?}", entry.key, entry.value);
                }
            }
            WatchEvent::CaughtUp { revision, .. } => println!("-- live at {revision} --"),
            WatchEvent::Changes { revision, changes, .. } => {
                for change in changes {
                    match change.kind {
                        ChangeKind::Put(entry) => {
                            println!("{revision}: {:?} = {:?}", change.key, entry.value);
                        }
                        ChangeKind::Delete => println!("{revision}: {:?} removed", change.key),
                        ChangeKind::Expire => println!("{revision}: {:?} expired", change.key),
                        ChangeKind::Evict => println!("{revision}: {:?} evicted", change.key),
                    }
                }
            }
            WatchEvent::Bookmark { .. } => {}
        }
    }
    Ok(())
}
