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
        summary: "Returns the string value of a key.",
    },
    Row {
        name: "set", arity: -3, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Plan(plan::set), since: "1.0.0", group: "string",
        summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
    },
    Row {
        name: "setnx", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::setnx), since: "1.0.0", group: "string",
        summary: "Set the string value of a key only when the key doesn't exist.",
    },
    Row {
        name: "setex", arity: 4, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Plan(plan::setex), since: "2.0.0", group: "string",
        summary: "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
    },
    Row {
        name: "psetex", arity: 4, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Plan(plan::psetex), since: "2.6.0", group: "string",
        summary: "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
    },
    Row {
        name: "getset", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::getset), since: "1.0.0", group: "string",
        summary: "Returns the previous string value of a key after setting it to a new value.",
    },
    Row {
        name: "getdel", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::getdel), since: "6.2.0", group: "string",
        summary: "Returns the string value of a key after deleting the key.",
    },
    Row {
        name: "getex", arity: -2, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::getex), since: "6.2.0", group: "string",
        summary: "Returns the string value of a key after setting its expiration time.",
    },
    Row {
        name: "mget", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::mget), since: "1.0.0", group: "string",
        summary: "Atomically returns the string values of one or more keys.",
    },
    Row {
        name: "mset", arity: -3, flags: &["write", "denyoom"], keys: (1, -1, 2),
        run: Run::Plan(plan::mset), since: "1.0.1", group: "string",
        summary: "Atomically creates or modifies the string values of one or more keys.",
    },
    Row {
        name: "msetnx", arity: -3, flags: &["write", "denyoom"], keys: (1, -1, 2),
        run: Run::Plan(plan::msetnx), since: "1.0.1", group: "string",
        summary: "Atomically modifies the string values of one or more keys only when all keys don't exist.",
    },
    Row {
        name: "strlen", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::strlen), since: "2.2.0", group: "string",
        summary: "Returns the length of a string value.",
    },
    Row {
        name: "append", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Program(values::append), since: "2.0.0", group: "string",
        summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.",
    },
    Row {
        name: "getrange", arity: 4, flags: &["readonly"], keys: (1, 1, 1),
        run: Run::Plan(plan::getrange), since: "2.4.0", group: "string",
        summary: "Returns a substring of the string stored at a key.",
    },
    Row {
        name: "setrange", arity: 4, flags: &["write", "denyoom"], keys: (1, 1, 1),
        run: Run::Program(values::setrange), since: "2.2.0", group: "string",
        summary: "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
    },
    Row {
        name: "incr", arity: 2, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::incr), since: "1.0.0", group: "string",
        summary: "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
    },
    Row {
        name: "decr", arity: 2, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::decr), since: "1.0.0", group: "string",
        summary: "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
    },
    Row {
        name: "incrby", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::incrby), since: "1.0.0", group: "string",
        summary: "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
    },
    Row {
        name: "decrby", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::decrby), since: "1.0.0", group: "string",
        summary: "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
    },
    Row {
        name: "incrbyfloat", arity: 3, flags: &["write", "denyoom", "fast"], keys: (1, 1, 1),
        run: Run::Program(values::incrbyfloat), since: "2.6.0", group: "string",
        summary: "Increments the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
    },
    Row {
        name: "del", arity: -2, flags: &["write"], keys: (1, -1, 1),
        run: Run::Plan(plan::del), since: "1.0.0", group: "generic",
        summary: "Deletes one or more keys.",
    },
    Row {
        name: "unlink", arity: -2, flags: &["write", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::del), since: "4.0.0", group: "generic",
        summary: "Deletes one or more keys.",
    },
    Row {
        name: "delifeq", arity: 3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::delifeq), since: "8.4.0", group: "string",
        summary: "Deletes a key if its value is equal to the given one.",
    },
    Row {
        name: "exists", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::exists), since: "1.0.0", group: "generic",
        summary: "Determines whether one or more keys exist.",
    },
    Row {
        name: "touch", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1),
        run: Run::Plan(plan::exists), since: "3.2.1", group: "generic",
        summary: "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
    },
    Row {
        name: "type", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::kind), since: "1.0.0", group: "generic",
        summary: "Determines the type of value stored at a key.",
    },
    Row {
        name: "rename", arity: 3, flags: &["write"], keys: (1, 2, 1),
        run: Run::Program(keys::rename), since: "1.0.0", group: "generic",
        summary: "Renames a key and overwrites the destination.",
    },
    Row {
        name: "renamenx", arity: 3, flags: &["write", "fast"], keys: (1, 2, 1),
        run: Run::Program(keys::renamenx), since: "1.0.0", group: "generic",
        summary: "Renames a key only when the target key name doesn't exist.",
    },
    Row {
        name: "copy", arity: -3, flags: &["write", "denyoom"], keys: (1, 2, 1),
        run: Run::Program(keys::copy), since: "6.2.0", group: "generic",
        summary: "Copies the value of a key to a new key.",
    },
    Row {
        name: "randomkey", arity: 1, flags: &["readonly"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Random), since: "1.0.0", group: "generic",
        summary: "Returns a random key name from the database.",
    },
    Row {
        name: "keys", arity: 2, flags: &["readonly"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Keys), since: "1.0.0", group: "generic",
        summary: "Returns all key names that match a pattern.",
    },
    Row {
        name: "scan", arity: -2, flags: &["readonly"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Scan), since: "2.8.0", group: "generic",
        summary: "Iterates over the key names in the database.",
    },
    Row {
        name: "expire", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::expire, keys::expire), since: "1.0.0", group: "generic",
        summary: "Sets the expiration time of a key in seconds.",
    },
    Row {
        name: "pexpire", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::pexpire, keys::pexpire), since: "2.6.0", group: "generic",
        summary: "Sets the expiration time of a key in milliseconds.",
    },
    Row {
        name: "expireat", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::expireat, keys::expireat), since: "1.2.0", group: "generic",
        summary: "Sets the expiration time of a key to a Unix timestamp.",
    },
    Row {
        name: "pexpireat", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Mixed(3, plan::pexpireat, keys::pexpireat), since: "2.6.0", group: "generic",
        summary: "Sets the expiration time of a key to a Unix milliseconds timestamp.",
    },
    Row {
        name: "ttl", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::ttl), since: "1.0.0", group: "generic",
        summary: "Returns the expiration time in seconds of a key.",
    },
    Row {
        name: "pttl", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::pttl), since: "2.6.0", group: "generic",
        summary: "Returns the expiration time in milliseconds of a key.",
    },
    Row {
        name: "expiretime", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::expiretime), since: "7.0.0", group: "generic",
        summary: "Returns the expiration time of a key as a Unix timestamp.",
    },
    Row {
        name: "pexpiretime", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1),
        run: Run::Plan(plan::pexpiretime), since: "7.0.0", group: "generic",
        summary: "Returns the expiration time of a key as a Unix milliseconds timestamp.",
    },
    Row {
        name: "persist", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1),
        run: Run::Program(keys::persist), since: "2.2.0", group: "generic",
        summary: "Removes the expiration time of a key.",
    },
    Row {
        name: "multi", arity: 1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Multi), since: "1.2.0", group: "transactions",
        summary: "Starts a transaction.",
    },
    Row {
        name: "exec", arity: 1, flags: &["noscript", "loading", "stale", "skip_slowlog"], keys: (0, 0, 0),
        run: Run::Local(Local::Exec), since: "1.2.0", group: "transactions",
        summary: "Executes all commands in a transaction.",
    },
    Row {
        name: "discard", arity: 1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Discard), since: "2.0.0", group: "transactions",
        summary: "Discards a transaction.",
    },
    Row {
        name: "watch", arity: -2, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (1, -1, 1),
        run: Run::Local(Local::Watch), since: "2.2.0", group: "transactions",
        summary: "Monitors changes to keys to determine the execution of a transaction.",
    },
    Row {
        name: "unwatch", arity: 1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Unwatch), since: "2.2.0", group: "transactions",
        summary: "Forgets about watched keys of a transaction.",
    },
    Row {
        name: "ping", arity: -1, flags: &["fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Ping), since: "1.0.0", group: "connection",
        summary: "Returns the server's liveliness response.",
    },
    Row {
        name: "echo", arity: 2, flags: &["loading", "stale", "fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Echo), since: "1.0.0", group: "connection",
        summary: "Returns the given string.",
    },
    Row {
        name: "hello", arity: -1, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Hello), since: "6.0.0", group: "connection",
        summary: "Handshakes with the server.",
    },
    Row {
        name: "auth", arity: -2, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Auth), since: "1.0.0", group: "connection",
        summary: "Authenticates the connection.",
    },
    Row {
        name: "select", arity: 2, flags: &["loading", "stale", "fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Select), since: "1.0.0", group: "connection",
        summary: "Changes the selected database.",
    },
    Row {
        name: "quit", arity: -1, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Quit), since: "1.0.0", group: "connection",
        summary: "Closes the connection.",
    },
    Row {
        name: "reset", arity: 1, flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"], keys: (0, 0, 0),
        run: Run::Local(Local::Reset), since: "6.2.0", group: "connection",
        summary: "Resets the connection.",
    },
    Row {
        name: "client", arity: -2, flags: &["noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Client), since: "2.4.0", group: "connection",
        summary: "A container for client connection commands.",
    },
    Row {
        name: "command", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Command), since: "2.8.13", group: "server",
        summary: "Returns detailed information about all commands.",
    },
    Row {
        name: "info", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Info), since: "1.0.0", group: "server",
        summary: "Returns information and statistics about the server.",
    },
    Row {
        name: "config", arity: -2, flags: &["admin", "noscript", "loading", "stale"], keys: (0, 0, 0),
        run: Run::Local(Local::Config), since: "2.0.0", group: "server",
        summary: "A container for server configuration commands.",
    },
    Row {
        name: "dbsize", arity: 1, flags: &["readonly", "fast"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Size), since: "1.0.0", group: "server",
        summary: "Returns the number of keys in the database.",
    },
    Row {
        name: "flushdb", arity: -1, flags: &["write"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Flush), since: "1.0.0", group: "server",
        summary: "Removes all keys from the current database.",
    },
    Row {
        name: "flushall", arity: -1, flags: &["write"], keys: (0, 0, 0),
        run: Run::Walk(Walk::Flush), since: "1.0.0", group: "server",
        summary: "Removes all keys from all databases.",
    },
    Row {
        name: "time", arity: 1, flags: &["loading", "stale", "fast"], keys: (0, 0, 0),
        run: Run::Local(Local::Time), since: "2.6.0", group: "server",
        summary: "Returns the server time.",
    },
    Row {
        name: "memory", arity: -2, flags: &["readonly"], keys: (2, 2, 1),
        run: Run::Plan(plan::memory), since: "4.0.0", group: "server",
        summary: "A container for memory diagnostics commands.",
    },
];
