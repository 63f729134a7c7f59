//! The least that a store behind native frames can do: one thread, one hash map, frames in and out.
//! Each turn of a connection is one read, all the requests that are whole, one write. No order, no
//! log, no revisions, no watches, no limits: the floor to hold a real server against.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use foldhash::fast::RandomState;
use tidekeep_protocol::codec;
use tidekeep_protocol::entry::{Meta, Stored};
use tidekeep_protocol::frame::{self, Frame, kind};
use tidekeep_protocol::hello::{PREFACE, Welcome};
use tidekeep_protocol::limits::Limits;
use tidekeep_protocol::op::{Get, GetReply, Operation, Put, WriteReply, WriteStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const READ_BYTES: usize = 64 << 10;
const GET: u8 = <Get<'_> as Operation>::SPEC.kind;
const PUT: u8 = <Put<'_> as Operation>::SPEC.kind;

/// What every reply says of an entry: the bare store knows nothing of it.
const META: Meta = Meta { created: 1, modified: 1, version: 1, expires_at: None, lease: None };

type Map = HashMap<Box<[u8]>, Box<[u8]>, RandomState>;

/// Serves at `HOST:PORT`, which it prints, until it is ended.
///
/// # Errors
///
/// The address cannot be listened on.
pub fn run(listen: &str) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind(listen).await?;
        println!("listening on http://{}", listener.local_addr()?);
        let map = Rc::new(RefCell::new(Map::default()));
        loop {
            let (stream, _) = listener.accept().await?;
            let map = Rc::clone(&map);
            tokio::task::spawn_local(async move {
                if let Err(error) = serve(stream, &map).await {
                    eprintln!("tidekeep-bare: {error}");
                }
            });
        }
    })
}

async fn serve(mut stream: TcpStream, map: &RefCell<Map>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    let mut input = Vec::with_capacity(READ_BYTES);
    let mut output = Vec::with_capacity(READ_BYTES);
    while stream.read_buf(&mut input).await? > 0 {
        let mut used = 0;
        {
            let mut map = map.borrow_mut();
            while let Some((frame, bytes)) =
                Frame::decode(&input[used..], Limits::DEFAULT.frame_bytes).map_err(invalid)?
            {
                answer(&frame, &mut map, &mut output)?;
                used += bytes;
            }
        }
        stream.write_all(&output).await?;
        output.clear();
        input.drain(..used);
    }
    Ok(())
}

fn answer(frame: &Frame<'_>, map: &mut Map, out: &mut Vec<u8>) -> io::Result<()> {
    match frame.kind {
        GET => {
            let get: Get<'_> = codec::decode(frame.body).map_err(invalid)?;
            let value = map.get(get.key);
            let entry = value.map(|value| Stored { meta: META, value });
            let reply = GetReply { revision: 1, entry };
            frame::write_value(out, GET | kind::REPLY, frame.id, &reply);
        }
        PUT => {
            let put: Put<'_> = codec::decode(frame.body).map_err(invalid)?;
            match map.get_mut(put.key) {
                Some(value) if value.len() == put.value.len() => value.copy_from_slice(put.value),
                Some(value) => *value = put.value.into(),
                None => drop(map.insert(put.key.into(), put.value.into())),
            }
            let reply = WriteReply { revision: 1, status: WriteStatus::Applied, entry: None };
            frame::write_value(out, PUT | kind::REPLY, frame.id, &reply);
        }
        kind::HELLO => frame::write_value(out, kind::WELCOME, 0, &welcome()),
        kind => return Err(invalid(format!("a frame of kind {kind:#04x}"))),
    }
    Ok(())
}

fn welcome() -> Welcome<'static> {
    Welcome {
        version: tidekeep_protocol::VERSION,
        features: 0,
        limits: Limits::DEFAULT,
        server_id: [0; 16],
        store_id: [0; 16],
        incarnation: 1,
        heartbeat_ms: 10_000,
        now_ms: 0,
        software: "tidekeep-bare",
    }
}

fn invalid(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}
