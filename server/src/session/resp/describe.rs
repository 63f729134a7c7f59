//! `COMMAND`: the table of commands, told to clients.

use super::args::Args;
use super::commands::ROWS;
use super::encode::Encoder;
use super::fail::{Fail, SYNTAX};
use super::table::{self, Row, Run};

/// Runs `COMMAND` with its subcommands.
pub(super) fn run(args: Args<'_, '_>, to: &mut Encoder<'_>) -> Result<(), Fail> {
    if args.len() == 1 {
        to.list(ROWS.len());
        ROWS.iter().for_each(|row| info(row, to));
        return Ok(());
    }
    if args.is(1, "count") {
        to.integer(ROWS.len() as i64);
    } else if args.is(1, "info") {
        if args.len() == 2 {
            to.list(ROWS.len());
            ROWS.iter().for_each(|row| info(row, to));
            return Ok(());
        }
        to.list(args.len() - 2);
        for name in args.from(2) {
            match table::find(name) {
                Some(row) => info(&ROWS[row], to),
                None => to.null(),
            }
        }
    } else if args.is(1, "docs") {
        let named = args.from(2).filter_map(table::find).map(|row| &ROWS[row]);
        let rows: Vec<&Row> = if args.len() == 2 { ROWS.iter().collect() } else { named.collect() };
        to.map(rows.len());
        rows.into_iter().for_each(|row| docs(row, to));
    } else if args.is(1, "list") {
        if args.len() > 2 {
            return Err(SYNTAX);
        }
        to.list(ROWS.len());
        ROWS.iter().for_each(|row| to.bulk(row.name.as_bytes()));
    } else {
        keys(args, to)?;
    }
    Ok(())
}

fn info(row: &Row, to: &mut Encoder<'_>) {
    to.list(10);
    to.bulk(row.name.as_bytes());
    to.integer(row.arity.into());
    to.set(row.flags.len());
    row.flags.iter().for_each(|flag| to.simple(flag));
    let (first, last, step) = row.keys;
    [first, last, step].into_iter().for_each(|place| to.integer(place));
    let categories = categories(row);
    to.set(categories.len());
    categories.iter().for_each(|category| to.simple(category));
    // Hints, specifications of keys and subcommands: there are none.
    (0..3).for_each(|_| to.list(0));
}

/// The categories that Redis would put a command into, of its flags and its group.
fn categories(row: &Row) -> Vec<&'static str> {
    let has = |flag: &str| row.flags.contains(&flag);
    let mut categories = Vec::new();
    let mut add = |category, is: bool| {
        if is {
            categories.push(category);
        }
    };
    add("@write", has("write"));
    add("@read", has("readonly"));
    add("@string", row.group == "string");
    add("@keyspace", row.group == "generic" || matches!(row.run, Run::Walk(_)));
    add("@pubsub", has("pubsub"));
    add("@admin", has("admin"));
    add("@dangerous", has("admin") || matches!(row.name, "keys" | "flushall" | "flushdb" | "info"));
    add("@connection", row.group == "connection");
    add("@transaction", row.group == "transactions");
    add("@fast", has("fast"));
    add("@slow", !has("fast"));
    categories
}

fn docs(row: &Row, to: &mut Encoder<'_>) {
    to.bulk(row.name.as_bytes());
    to.map(3);
    for (name, value) in [("summary", row.summary), ("since", row.since), ("group", row.group)] {
        to.bulk(name.as_bytes());
        to.bulk(value.as_bytes());
    }
}

fn keys(args: Args<'_, '_>, to: &mut Encoder<'_>) -> Result<(), Fail> {
    let words = args.len() - 2;
    let row = table::find(args.get(2)).map(|row| &ROWS[row]);
    let row = row.ok_or(Fail::known("ERR Invalid command specified"))?;
    let (first, last, step) = row.keys;
    if first == 0 {
        return Err(Fail::known("ERR The command has no key arguments"));
    }
    if !row.takes(words) {
        return Err(Fail::known("ERR Invalid number of arguments specified for command"));
    }
    let last = if last < 0 { words as i64 + last } else { last };
    let places: Vec<usize> =
        (first..=last).step_by(step.max(1) as usize).map(|place| place as usize + 2).collect();
    to.list(places.len());
    places.iter().for_each(|place| to.bulk(args.get(*place)));
    Ok(())
}
