//! Writes the inputs that fuzzing begins with below `fuzz/corpus`: made of the golden vectors, and of
//! files that a true log and a true store have written. Run it when a format changes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidekeep_fuzz::{client_core, disk, log, record, session, snapshot};
use tidekeep_log::disk::faulty::{FaultyDisk, seeded};
use tidekeep_log::{Options, Recovery};
use tidekeep_protocol::cursor::Cursor;
use tidekeep_protocol::frame::Frame;
use tidekeep_protocol::op::{Class, spec};
use tidekeep_store::record::{Expired, push_expire, push_request};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let vectors = vectors(&root.join("../protocol/vectors"))?;
    let mut seeds = Seeds { root: root.join("corpus"), number: 0 };
    from_vectors(&mut seeds, &vectors)?;
    from_files(&mut seeds)?;
    from_texts(&mut seeds)
}

struct Seeds {
    root: PathBuf,
    number: u32,
}

impl Seeds {
    fn keep(&mut self, target: &str, input: &[u8]) -> io::Result<()> {
        let folder = self.root.join(target);
        fs::create_dir_all(&folder)?;
        self.number += 1;
        fs::write(folder.join(format!("seed-{:03}", self.number)), input)
    }
}

/// The bytes of every golden vector.
fn vectors(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    let mut vectors = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)?;
        vectors.extend(text.lines().filter_map(|line| line.strip_prefix("bytes: ")).map(bytes));
    }
    Ok(vectors)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

fn from_vectors(seeds: &mut Seeds, vectors: &[Vec<u8>]) -> io::Result<()> {
    let (mut talk, mut answers, mut writes) =
        (vec![session::GREETED], vec![client_core::READY], vec![record::HEADED]);
    for (index, vector) in vectors.iter().enumerate() {
        let Ok(Some((frame, _))) = Frame::decode(vector, u32::MAX) else { continue };
        seeds.keep("frames", &[&[0], &vector[..]].concat())?;
        seeds.keep("requests", &[&[frame.kind], frame.body].concat())?;
        let id = index as u8 | 1;
        match spec(frame.kind) {
            Some(operation) => {
                talk.extend_from_slice(&[1, frame.kind, id]);
                talk.extend_from_slice(&chunk(frame.body));
                talk.extend_from_slice(&[3, 200]);
                if operation.class == Class::Write {
                    let mut commands = Vec::new();
                    push_request(frame.kind, frame.body, &mut commands);
                    writes.extend_from_slice(&chunk(&commands));
                }
            }
            None => {
                answers.extend_from_slice(&[3, id]);
                answers.extend_from_slice(&chunk(b"\x01k"));
                answers.extend_from_slice(&[4, id, 1, frame.kind, 1 + id % 8, frame.flags]);
                answers.extend_from_slice(&chunk(frame.body));
            }
        }
        if talk.len() > 400 || index + 1 == vectors.len() {
            seeds.keep("session", &std::mem::replace(&mut talk, vec![session::GREETED]))?;
        }
        if answers.len() > 400 || index + 1 == vectors.len() {
            seeds
                .keep("client_core", &std::mem::replace(&mut answers, vec![client_core::READY]))?;
        }
    }
    let mut commands = Vec::new();
    push_expire(&[Expired { key: b"name", modified: 1 }], &mut commands);
    writes.extend_from_slice(&chunk(&commands));
    seeds.keep("record", &writes)?;
    seeds.keep("session", &[&[0, 0], &chunk(&vectors.concat())[..]].concat())?;
    for cursor in [Cursor::single(7, 42), Cursor { incarnation: 1, revisions: vec![1, 2, 3] }] {
        seeds.keep("cursor", &cursor.to_bytes())?;
    }
    Ok(())
}

/// What a log and a store leave on disk.
fn from_files(seeds: &mut Seeds) -> io::Result<()> {
    for records in [0, 3, 12] {
        let disk = FaultyDisk::new(9);
        let options = Options {
            segment_bytes: log::SEGMENT,
            mark_after: Duration::from_secs(3600),
            ..Options::new(seeded(9))
        };
        let recovery =
            Recovery::begin(Arc::new(disk.clone()), options).map_err(io::Error::other)?;
        let (log, _) = recovery.replay(|_, _| Ok(())).map_err(io::Error::other)?;
        for number in 0..records {
            let payload = vec![number; 100 + 50 * usize::from(number)];
            let permit = loop {
                match log.admit(1, payload.len()) {
                    Ok(permit) => break permit,
                    Err(tidekeep_log::Refused::Busy(room)) => {
                        room.wait().map_err(io::Error::other)?
                    }
                    Err(refused) => return Err(io::Error::other(refused)),
                }
            };
            let index = log.append_one(permit, &payload);
            log.ticket(index).wait().map_err(io::Error::other)?;
            if number == 5 {
                let chunk = |out: &mut tidekeep_log::snapshot::Writer| out.write(b"state");
                log.write_snapshot(index, 1_000, chunk).map_err(io::Error::other)?;
            }
        }
        log.close().map_err(io::Error::other)?;
        let image = disk::image_of(&disk);
        for flags in [0, log::SEALED] {
            seeds.keep("log", &log::script_of(&image, flags))?;
        }
    }
    let chunks: Vec<u8> = snapshot::true_chunks().iter().flat_map(|bytes| chunk(bytes)).collect();
    for flags in [0, snapshot::FITTING] {
        seeds.keep("snapshot", &[&[flags], &chunks[..]].concat())?;
    }
    let file = snapshot::true_file();
    seeds.keep("snapshot", &[&[snapshot::RAW], &file[..]].concat())?;
    seeds.keep("snapshot", &[&[snapshot::RAW | snapshot::FITTING], &file[..]].concat())
}

fn from_texts(seeds: &mut Seeds) -> io::Result<()> {
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost:8080\r\nAccept-Encoding: gzip, br;q=0\r\n\r\n",
        "HEAD /metrics HTTP/1.0\r\n\r\nGET /livez HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: kv.internal:8080\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nOrigin: https://app.example\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidekeep.1\r\n\r\n",
        "POST http://kv.internal/x?y#z HTTP/1.1\r\nHost: kv.internal\r\nContent-Length: 5\r\n\r\nhello",
        "*1\r\n$4\r\nPING\r\n",
    ] {
        seeds.keep("http", request.as_bytes())?;
    }
    for commands in [
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n41\r\n*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "set a \"x y\" ex 10 nx get\r\nappend a z\nsetrange a 1 q\nmulti\nincr n\nget a\nexec\nmget a n b\n",
        "hello 3 auth default x\nwatch a\nmulti\nset a 1 ifeq 2\nrename a b\ncopy b c replace\nexec\nscan 0 match b* count 3\nkeys *\n",
        "subscribe c\npsubscribe __key*\npublish c m\nset k v px 5\nreset\nclient reply skip\nping\ninfo\ncommand docs get\n",
        "expire a 5 gt\npexpireat a 99999999999 xx\nttl a\npersist a\nincrbyfloat f 1.5e2\ngetex f px 5\ndelifeq f 1\nflushall\n",
        "*2\r\n$4\r\nECHO\r\n$99999\r\n",
    ] {
        seeds.keep("resp", &[&[17], commands.as_bytes()].concat())?;
    }
    for flags in [
        "--listen\n127.0.0.1:0\n--durability\ninterval\n--interval-ms\n5",
        "--max-frame-bytes\n4194304\n--max-key-bytes\n1024\n--max-value-bytes\n1048576",
        "--allow-origin\nhttps://a.example,http://[::1]:8443\n--data\n/tmp/x\n--verbose",
        "--segment-bytes=67108864\n--snapshot-log-bytes=1\n--history-bytes=0\n--max-connections=1",
        "http://localhost:8080\nhttps://kv.example:443",
    ] {
        seeds.keep("config", flags.as_bytes())?;
    }
    for lines in [
        "\0{\"key\":\"a\",\"value\":\"b\"}\n{\"key_base64\":\"/w==\",\"value\":\"\\u0000\",\"expires_at\":5}\n",
        "\x20\u{feff}{\"key\":\"a\",\"value\":\"\",\"revision\":1,\"created\":2,\"modified\":3,\"version\":4}\r\n\n#\n",
    ] {
        seeds.keep("import", lines.as_bytes())?;
    }
    for text in [
        "\0if lock absent\nif owner value \"John Doe\"\nthen put lock me --ttl 10s\nelse get lock\n",
        "\x01put a 1 --if-revision 7 --keep-ttl --prev\ndelete --prefix c/ # all\ntouch d --persist\nincr n --by -2",
        "\0{\"if\":[{\"key\":\"a\",\"absent\":true}],\"then\":[{\"put\":{\"key\":\"a\",\"value\":\"1\"}}],\"else\":[{\"get\":{\"key_base64\":\"YQ==\"}}]}",
    ] {
        seeds.keep("txn", text.as_bytes())?;
    }
    Ok(())
}
