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
        // Or the end of each line waits for the word that its beginning has arrived: 40 ms for each command.
        stream.set_nodelay(true).expect("a socket");
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

fn text(text: &str) -> Said {
    Said::Text(text.to_owned())
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

#[test]
fn every_node_runs_what_looks_before_it_writes_and_what_is_watched() {
    let cluster = formed();
    let mut other = Redis::connect(&cluster, 0);
    for node in (0..NODES).rev() {
        let mut redis = Redis::connect(&cluster, node);
        // Enough for every group.
        for number in 0..8 {
            let key = format!("{node}:{number}");
            assert_eq!(other.ask(&format!("SET {key} one")), line("+OK"));
            assert_eq!(redis.ask(&format!("APPEND {key} two")), line(":6"));
            assert_eq!(redis.ask(&format!("SETRANGE {key} 3 TWO")), line(":6"));
            assert_eq!(redis.ask(&format!("RENAME {key} to:{key}")), line("+OK"));
            assert_eq!(redis.ask(&format!("RENAME {key} to:{key}")), line("-ERR no such key"));
            assert_eq!(redis.ask(&format!("COPY to:{key} {key}")), line(":1"));
            assert_eq!(redis.ask(&format!("COPY to:{key} {key}")), line(":0"));
            assert_eq!(redis.ask(&format!("EXPIRE {key} 100 XX")), line(":0"));
            assert_eq!(redis.ask(&format!("EXPIRE {key} 100 NX")), line(":1"));
            assert_eq!(redis.ask(&format!("PERSIST {key}")), line(":1"));
            assert_eq!(other.ask(&format!("GET {key}")), text("oneTWO"));
            // One behind the other, as one program.
            (0..10).for_each(|_| redis.send(&format!("APPEND {key} .")));
            (7..=16).for_each(|length| assert_eq!(redis.said(), line(&format!(":{length}"))));

            for changes in [false, true] {
                assert_eq!(redis.ask(&format!("WATCH here {key} absent:{key}")), line("+OK"));
                if changes {
                    assert_eq!(other.ask(&format!("SET {key} three")), line("+OK"));
                }
                assert_eq!(redis.ask("MULTI"), line("+OK"));
                for command in [format!("GET {key}"), format!("APPEND to:{key} !")] {
                    assert_eq!(redis.ask(&command), line("+QUEUED"));
                }
                let done = vec![text("oneTWO.........."), line(":7")];
                let said = if changes { Said::Nothing } else { Said::List(done) };
                assert_eq!(redis.ask("EXEC"), said, "{key}");
            }
            assert_eq!(other.ask(&format!("GET to:{key}")), text("oneTWO!"));
        }
    }
}

#[test]
fn nothing_is_lost_that_clients_of_all_nodes_append_to_the_same_keys() {
    const EACH: usize = 40;
    let cluster = formed();
    let append = |node: usize| {
        let mut redis = Redis::connect(&cluster, node);
        for number in 0..EACH {
            let said = redis.ask(&format!("APPEND all:{} {node}", number % 4));
            assert!(matches!(&said, Said::Line(line) if line.starts_with(':')), "{said:?}");
        }
    };
    std::thread::scope(|scope| {
        (0..NODES).for_each(|node| drop(scope.spawn(move || append(node))));
    });
    let mut redis = Redis::connect(&cluster, NODES - 1);
    for number in 0..4 {
        let Said::Text(all) = redis.ask(&format!("GET all:{number}")) else {
            panic!("it is there")
        };
        for node in 0..NODES {
            assert_eq!(all.matches(&node.to_string()).count(), EACH / 4, "{all}");
        }
    }
}
