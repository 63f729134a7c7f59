//! Commands about the connection itself.

use super::args::Args;
use super::encode::{Encoder, Version};
use super::fail::{Fail, SYNTAX};
use super::house::House;
use super::machine::{Core, Multi, Replies};
use super::plan::{database, integer};
use super::table::Local;
use super::{client, config, describe, info};
use crate::service::Topic;
use crate::session::Ending;
use tidekeep_protocol::error::Code;

impl Core {
    /// Runs a command and appends its reply; whether it was done.
    pub(super) fn local(
        &mut self,
        local: Local,
        args: Args<'_, '_>,
        house: &House<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        let done = self.try_local(local, args, house, out);
        if let Err(fail) = &done {
            out.truncate(start);
            Encoder::new(out, self.outlet.version).error(fail.text());
        }
        done.is_ok()
    }

    fn try_local(
        &mut self,
        local: Local,
        args: Args<'_, '_>,
        house: &House<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fail> {
        let mut to = Encoder::new(out, self.outlet.version);
        match local {
            Local::Ping => return self.ping(args, &mut to),
            Local::Echo => to.bulk(args.get(1)),
            Local::Hello => return self.hello(args, house, out),
            Local::Auth => {
                auth(args)?;
                to.ok();
            }
            Local::Select => {
                database(args.get(1))?;
                to.ok();
            }
            Local::Quit => {
                to.ok();
                self.ending = Some(Ending { code: Code::Closed, flush: true });
            }
            Local::Reset => {
                self.reset();
                Encoder::new(out, self.outlet.version).simple("RESET");
            }
            Local::Client => return client::run(self, args, house, out),
            Local::Command => return describe::run(args, &mut to),
            Local::Info => return info::run(args, house, &mut to),
            Local::Config => return config::run(args, house, &mut to),
            Local::Time => {
                to.list(2);
                to.bulk((house.unix_us / 1_000_000).to_string().as_bytes());
                to.bulk((house.unix_us % 1_000_000).to_string().as_bytes());
            }
            Local::Multi => {
                if self.multi.is_some() {
                    return Err(Fail::known("ERR MULTI calls can not be nested"));
                }
                self.multi = Some(Multi::default());
                self.client.in_multi(Some(0));
                to.ok();
            }
            Local::Discard => {
                if self.multi.is_none() {
                    return Err(Fail::known("ERR DISCARD without MULTI"));
                }
                self.discard();
                to.ok();
            }
            Local::Unwatch => {
                self.watched.clear();
                to.ok();
            }
            Local::Subscribe => return self.subscribe(Topic::Channel, args, house, &mut to),
            Local::PatternSubscribe => {
                return self.subscribe(Topic::Pattern, args, house, &mut to);
            }
            Local::Unsubscribe => self.unsubscribe(Topic::Channel, args, house, &mut to),
            Local::PatternUnsubscribe => self.unsubscribe(Topic::Pattern, args, house, &mut to),
            Local::Publish => {
                let handed = house.hub.publish(args.get(1), args.get(2));
                to.integer(handed as i64);
            }
            Local::PubSub => return self.pubsub(args, house, &mut to),
            // They are run where programs are.
            Local::Watch => return Err(Fail::known("ERR WATCH inside MULTI is not allowed")),
            Local::Exec => return Err(Fail::known("ERR EXEC without MULTI")),
        }
        Ok(())
    }

    fn ping(&mut self, args: Args<'_, '_>, to: &mut Encoder<'_>) -> Result<(), Fail> {
        match args.len() {
            1 | 2 if self.is_subscriber() => {
                to.list(2);
                to.bulk(b"pong");
                to.bulk(args.get(1));
            }
            1 => to.simple("PONG"),
            2 => to.bulk(args.get(1)),
            _ => return Err(Fail::arity("ping")),
        }
        Ok(())
    }

    fn hello(
        &mut self,
        args: Args<'_, '_>,
        house: &House<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fail> {
        let mut version = self.outlet.version;
        let mut at = 1;
        if args.len() > 1 {
            version = match integer(args.get(1)) {
                Ok(2) => Version::Two,
                Ok(3) => Version::Three,
                Ok(_) => return Err(Fail::known("NOPROTO unsupported protocol version")),
                Err(_) => {
                    return Err(Fail::known(
                        "ERR Protocol version is not an integer or out of range",
                    ));
                }
            };
            at = 2;
        }
        let mut name = None;
        while at < args.len() {
            if args.is(at, "auth") && at + 2 < args.len() {
                if args.get(at + 1) != b"default" {
                    return Err(WRONG_PASS);
                }
                at += 3;
            } else if args.is(at, "setname") && at + 1 < args.len() {
                name = Some(client::printable(args.get(at + 1))?);
                at += 2;
            } else {
                let option = String::from_utf8_lossy(args.get(at)).into_owned();
                return Err(Fail::new(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
        if let Some(name) = name {
            self.client.set_name(&name);
        }
        self.outlet.version = version;
        self.client.speaks(version.number());
        let mut to = Encoder::new(out, version);
        to.map(7);
        to.bulk(b"server");
        to.bulk(b"redis");
        to.bulk(b"version");
        to.bulk(house.facts.redis_version.as_bytes());
        to.bulk(b"proto");
        to.integer(version.number());
        to.bulk(b"id");
        to.integer(self.client.id() as i64);
        to.bulk(b"mode");
        to.bulk(b"standalone");
        to.bulk(b"role");
        to.bulk(b"master");
        to.bulk(b"modules");
        to.list(0);
        Ok(())
    }

    fn reset(&mut self) {
        self.multi = None;
        self.listening = None;
        self.watched.clear();
        self.outlet.version = Version::Two;
        self.seen = Replies::All;
        self.client.reset();
    }
}

const WRONG_PASS: Fail =
    Fail::known("WRONGPASS invalid username-password pair or user is disabled.");

/// There is one user, who has no password: any is taken from who names that user.
fn auth(args: Args<'_, '_>) -> Result<(), Fail> {
    match args.len() {
        2 => Err(Fail::known(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        3 if args.get(1) == b"default" => Ok(()),
        3 => Err(WRONG_PASS),
        _ => Err(SYNTAX),
    }
}
