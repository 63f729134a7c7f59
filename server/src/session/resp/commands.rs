//! The rows of the table of commands.

use super::plan;
use super::table::{Local, Row, Run, Walk};
use super::{keys, values};

/// Every command.
#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = &[
    Row {
        name: "get", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::get), since: "1.0.0", group: "string",
        summary: "The value of a key.",
    },
    Row {
        name: "set", arity: -3, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Plan(plan::set), since: "1.0.0", group: "string",
        summary: "Sets a key, if its conditions hold.",
    },
    Row {
        name: "setnx", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::setnx), since: "1.0.0", group: "string",
        summary: "Sets a key that is not there.",
    },
    Row {
        name: "setex", arity: 4, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Plan(plan::setex), since: "2.0.0", group: "string",
        summary: "Sets a key that ends after some seconds.",
    },
    Row {
        name: "psetex", arity: 4, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Plan(plan::psetex), since: "2.6.0", group: "string",
        summary: "Sets a key that ends after some milliseconds.",
    },
    Row {
        name: "getset", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::getset), since: "1.0.0", group: "string",
        summary: "Sets a key and tells its value before.",
    },
    Row {
        name: "getdel", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::getdel), since: "6.2.0", group: "string",
        summary: "Removes a key and tells its value.",
    },
    Row {
        name: "getex", arity: -2, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Program(keys::getex), since: "6.2.0", group: "string",
        summary: "The value of a key, whose end is moved.",
    },
    Row {
        name: "mget", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::mget), since: "1.0.0", group: "string",
        summary: "The values of several keys at one moment.",
    },
    Row {
        name: "mset", arity: -3, flags: &["write", "denyoom"], keys: (1, -1, 2),
        run: Run::Plan(plan::mset), since: "1.0.1", group: "string",
        summary: "Sets several keys at once.",
    },
    Row {
        name: "msetnx", arity: -3, flags: &["write", "denyoom"], keys: (1, -1, 2),
        run: Run::Plan(plan::msetnx), since: "1.0.1", group: "string",
        summary: "Sets several keys at once, if none is there.",
    },
    Row {
        name: "strlen", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::strlen), since: "2.2.0", group: "string",
        summary: "The length of a value.",
    },
    Row {
        name: "append", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Program(values::append), since: "2.0.0", group: "string",
        summary: "Adds to the end of a value.",
    },
    Row {
        name: "getrange", arity: 4, flags: &["readonly"], keys: (1, 1, 1),
        run: Run::Plan(plan::getrange), since: "2.4.0", group: "string",
        summary: "A part of a value.",
    },
    Row {
        name: "setrange", arity: 4, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Program(values::setrange), since: "2.2.0", group: "string",
        summary: "Overwrites a part of a value.",
    },
    Row {
        name: "incr", arity: 2, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::incr), since: "1.0.0", group: "string",
        summary: "Adds one to a number.",
    },
    Row {
        name: "decr", arity: 2, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::decr), since: "1.0.0", group: "string",
        summary: "Takes one from a number.",
    },
    Row {
        name: "incrby", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::incrby), since: "1.0.0", group: "string",
        summary: "Adds to a number.",
    },
    Row {
        name: "decrby", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::decrby), since: "1.0.0", group: "string",
        summary: "Takes from a number.",
    },
    Row {
        name: "incrbyfloat", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Program(values::incrbyfloat), since: "2.6.0", group: "string",
        summary: "Adds to a number with a fraction.",
    },
    Row {
        name: "del", arity: -2, flags: &["write"], keys: (1, -1, 1),
        run: Run::Plan(plan::del), since: "1.0.0", group: "generic",
        summary: "Removes keys.",
    },
    Row {
        name: "unlink", arity: -2, flags: &["write", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::del), since: "4.0.0", group: "generic",
        summary: "Removes keys.",
    },
    Row {
        name: "delifeq", arity: 3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::delifeq), since: "9.0.0", group: "string",
        summary: "Removes a key that has this value.",
    },
    Row {
        name: "exists", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::exists), since: "1.0.0", group: "generic",
        summary: "How many of the keys are there.",
    },
    Row {
        name: "touch", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::exists), since: "3.2.1", group: "generic",
        summary: "Counts keys as used now; how many are there.",
    },
    Row {
        name: "type", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::kind), since: "1.0.0", group: "generic",
        summary: "The type of a value.",
    },
    Row {
        name: "rename", arity: 3, flags: &["write"], keys: (1, 2, 1),
        run: Run::Program(keys::rename), since: "1.0.0", group: "generic",
        summary: "Gives a key another name.",
    },
    Row {
        name: "renamenx", arity: 3, flags: &["write", "fast"], keys: (1, 2, 1),
        run: Run::Program(keys::renamenx), since: "1.0.0", group: "generic",
        summary: "Gives a key another name that is free.",
    },
    Row {
        name: "copy", arity: -3, flags: &["write", "denyoom"], keys: (1, 2, 1),
        run: Run::Program(keys::copy), since: "6.2.0", group: "generic",
        summary: "Copies a value to another key.",
    },
    Row {
        name: "randomkey", arity: 1, flags: &["readonly"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Random), since: "1.0.0", group: "generic",
        summary: "Some key.",
    },
    Row {
        name: "keys", arity: 2, flags: &["readonly"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Keys), since: "1.0.0", group: "generic",
        summary: "The keys that fit a pattern.",
    },
    Row {
        name: "scan", arity: -2, flags: &["readonly"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Scan), since: "2.8.0", group: "generic",
        summary: "Goes over the keys step by step.",
    },
    Row {
        name: "expire", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::expire, keys::expire), since: "1.0.0", group: "generic",
        summary: "Has a key end after some seconds.",
    },
    Row {
        name: "pexpire", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::pexpire, keys::pexpire), since: "2.6.0", group: "generic",
        summary: "Has a key end after some milliseconds.",
    },
    Row {
        name: "expireat", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::expireat, keys::expireat), since: "1.2.0", group: "generic",
        summary: "Has a key end at a second of Unix time.",
    },
    Row {
        name: "pexpireat", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::pexpireat, keys::pexpireat), since: "2.6.0", group: "generic",
        summary: "Has a key end at a millisecond of Unix time.",
    },
    Row {
        name: "ttl", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::ttl), since: "1.0.0", group: "generic",
        summary: "Seconds until a key ends.",
    },
    Row {
        name: "pttl", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::pttl), since: "2.6.0", group: "generic",
        summary: "Milliseconds until a key ends.",
    },
    Row {
        name: "expiretime", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::expiretime), since: "7.0.0", group: "generic",
        summary: "The second of Unix time at which a key ends.",
    },
    Row {
        name: "pexpiretime", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::pexpiretime), since: "7.0.0", group: "generic",
        summary: "The millisecond of Unix time at which a key ends.",
    },
    Row {
        name: "persist", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Program(keys::persist), since: "2.2.0", group: "generic",
        summary: "Takes the end of a key away.",
    },
    Row {
        name: "multi", arity: 1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Multi), since: "1.2.0", group: "transactions",
        summary: "Begins to queue commands.",
    },
    Row {
        name: "exec", arity: 1, flags: &["noscript", "loading", "stale", "skip_slowlog"], keys: (0, 0, 0),
        run: Run::Local(Local::Exec), since: "1.2.0", group: "transactions",
        summary: "Runs the queued commands as one.",
    },
    Row {
        name: "discard", arity: 1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Discard), since: "2.0.0", group: "transactions",
        summary: "Forgets the queued commands.",
    },
    Row {
        name: "watch", arity: -2, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (1, -1, 1),
        run: Run::Local(Local::Watch), since: "2.2.0", group: "transactions",
        summary: "Has EXEC depend on keys as they are.",
    },
    Row {
        name: "unwatch", arity: 1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Unwatch), since: "2.2.0", group: "transactions",
        summary: "Forgets the watched keys.",
    },
    Row {
        name: "subscribe", arity: -2, flags: &["pubsub", "noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Subscribe), since: "2.0.0", group: "pubsub",
        summary: "Listens to channels.",
    },
    Row {
        name: "psubscribe", arity: -2, flags: &["pubsub", "noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::PatternSubscribe), since: "2.0.0", group: "pubsub",
        summary: "Listens to all channels whose names fit patterns.",
    },
    Row {
        name: "unsubscribe", arity: -1, flags: &["pubsub", "noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Unsubscribe), since: "2.0.0", group: "pubsub",
        summary: "Listens to channels no longer.",
    },
    Row {
        name: "punsubscribe", arity: -1, flags: &["pubsub", "noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::PatternUnsubscribe), since: "2.0.0", group: "pubsub",
        summary: "Listens to patterns no longer.",
    },
    Row {
        name: "publish", arity: 3, flags: &["pubsub", "loading", "stale", "fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Publish), since: "2.0.0", group: "pubsub",
        summary: "Sends a message to all who listen to a channel.",
    },
    Row {
        name: "pubsub", arity: -2, flags: &["pubsub", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::PubSub), since: "2.8.0", group: "pubsub",
        summary: "Tells which channels are listened to.",
    },
    Row {
        name: "ping", arity: -1, flags: &["fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Ping), since: "1.0.0", group: "connection",
        summary: "Says that the server is there.",
    },
    Row {
        name: "echo", arity: 2, flags: &["loading", "stale", "fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Echo), since: "1.0.0", group: "connection",
        summary: "Says the same.",
    },
    Row {
        name: "hello", arity: -1, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Hello), since: "6.0.0", group: "connection",
        summary: "Chooses the version of the protocol.",
    },
    Row {
        name: "auth", arity: -2, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Auth), since: "1.0.0", group: "connection",
        summary: "Says who is there.",
    },
    Row {
        name: "select", arity: 2, flags: &["loading", "stale", "fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Select), since: "1.0.0", group: "connection",
        summary: "Chooses a database.",
    },
    Row {
        name: "quit", arity: -1, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Quit), since: "1.0.0", group: "connection",
        summary: "Ends the connection.",
    },
    Row {
        name: "reset", arity: 1, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Reset), since: "6.2.0", group: "connection",
        summary: "Begins the connection anew.",
    },
    Row {
        name: "client", arity: -2, flags: &["noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Client), since: "2.4.0", group: "connection",
        summary: "About connections.",
    },
    Row {
        name: "command", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Command), since: "2.8.13", group: "server",
        summary: "About commands.",
    },
    Row {
        name: "info", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Info), since: "1.0.0", group: "server",
        summary: "What the server says of itself.",
    },
    Row {
        name: "config", arity: -2, flags: &["admin", "noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Config), since: "2.0.0", group: "server",
        summary: "The settings of the server.",
    },
    Row {
        name: "dbsize", arity: 1, flags: &["readonly", "fast"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Size), since: "1.0.0", group: "server",
        summary: "How many keys there are.",
    },
    Row {
        name: "flushdb", arity: -1, flags: &["write"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Flush), since: "1.0.0", group: "server",
        summary: "Removes every key.",
    },
    Row {
        name: "flushall", arity: -1, flags: &["write"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Flush), since: "1.0.0", group: "server",
        summary: "Removes every key.",
    },
    Row {
        name: "time", arity: 1, flags: &["loading", "stale", "fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Time), since: "2.6.0", group: "server",
        summary: "The time of the server.",
    },
    Row {
        name: "memory", arity: -2, flags: &["readonly"], keys: (2, 2, 1),
        run: Run::Plan(plan::memory), since: "4.0.0", group: "server",
        summary: "About memory.",
    },
];
