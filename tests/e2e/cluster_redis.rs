//! Redis' clients at nodes of a cluster that keep a part of it: with five nodes each is without some groups, and
//! serves what is asked all the same.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tidekeep_tests::cluster::Shape;
use tidekeep_tests::{Cluster, eventually};

const NODES: usize = 5;
const KEYS: usize = 60;
const LIMIT: Duration = Duration::from_secs(30);

/// What a server replies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// A status, an error or a number, as its line has it.
    Line(String),
    Text(String),
    Nothing,
    List(Vec<Said>),
}

impl Said {
    fn texts(self) -> Vec<String> {
        let Self::List(list) = self else { panic!("no list: {self:?}") };
        let text = |said| match said {
            Self::Text(text) => text,
            other => panic!("no text: {other:?}"),
        };
        list.into_iter().map(text).collect()
    }
}

/// A connection of a Redis client.
struct Redis(BufReader<TcpStream>);

impl Redis {
    fn connect(cluster: &Cluster, node: usize) -> Self {
        let stream = TcpStream::connect(cluster.address(node)).expect("the node serves");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, command: &str) -> Said {
        self.send(command);
        self.said()
    }

    fn send(&mut self, command: &str) {
        write!(self.0.get_mut(), "{command}\r\n").expect("it is connected");
    }

    fn said(&mut self) -> Said {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line of the reply");
        let line = line.trim_end();
        let length = || line[1..].parse::<i64>().expect("a length");
        match line.as_bytes()[0] {
            b'$' | b'*' if length() < 0 => Said::Nothing,
            b'$' => {
                let mut bytes = vec![0; length() as usize + 2];
                self.0.read_exact(&mut bytes).expect("the text");
                bytes.truncate(length() as usize);
                Said::Text(String::from_utf8(bytes).expect("text"))
            }
            b'*' => Said::List((0..length()).map(|_| self.said()).collect()),
            _ => Said::Line(line.to_owned()),
        }
    }

    /// The next keys of a scan, and its next cursor.
    fn scan(&mut self, cursor: &str, prefix: &str) -> (String, Vec<String>) {
        let said = self.ask(&format!("SCAN {cursor} MATCH {prefix}* COUNT 7"));
        let Said::List(mut parts) = said else { panic!("no page: {said:?}") };
        let keys = parts.pop().expect("keys").texts();
        match parts.pop() {
            Some(Said::Text(cursor)) => (cursor, keys),
            other => panic!("no cursor: {other:?}"),
        }
    }
}

fn formed() -> Cluster {
    Cluster::form(Shape { groups: 4, nodes: NODES, ..Shape::default() })
}

fn line(text: &str) -> Said {
    Said::Line(text.to_owned())
}

#[test]
fn every_node_counts_all_keys_goes_over_all_of_them_and_finds_any() {
    let cluster = formed();
    let mut nodes: Vec<_> = (0..NODES).map(|node| Redis::connect(&cluster, node)).collect();
    let names: BTreeSet<String> =
        ["a", "b"].iter().flat_map(|of| (0..KEYS).map(move |n| format!("{of}:{n:02}"))).collect();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(nodes[number % NODES].ask(&format!("SET {name} 1")), line("+OK"));
    }
    let size = line(&format!(":{}", names.len()));
    for node in &mut nodes {
        // What is counted is what a replica has applied.
        eventually("all are counted", LIMIT, || (node.ask("DBSIZE") == size).then_some(()));
        let (mut random, began) = (BTreeSet::new(), Instant::now());
        while random.len() < names.len() / 2 {
            let Said::Text(key) = node.ask("RANDOMKEY") else { panic!("there are keys") };
            assert!(names.contains(&key), "{key}");
            random.insert(key);
            assert!(began.elapsed() < LIMIT / 3, "an answer waits until something else happens");
        }
        // Two scans at a time.
        let mut found = [Vec::new(), Vec::new()];
        let mut cursors = [Some("0".to_owned()), Some("0".to_owned())];
        while cursors.iter().any(Option::is_some) {
            for (place, prefix) in ["a:", "b:"].into_iter().enumerate() {
                if let Some(cursor) = cursors[place].take() {
                    let (next, keys) = node.scan(&cursor, prefix);
                    found[place].extend(keys);
                    cursors[place] = Some(next).filter(|next| next != "0");
                }
            }
        }
        assert_eq!(found.concat(), names.iter().cloned().collect::<Vec<_>>());
    }
}
