//! The table of commands: name, arity, what it does, where its keys are, and what runs it. `COMMAND`
//! answers from it; a command is found by a hash of its name.

use super::args::Args;
use super::commands::ROWS;
use super::fail::Fail;
use super::overlay::Overlay;
use super::plan::Plan;

/// One row.
pub(crate) struct Row {
    /// The name, in lower case; a subcommand's is behind a bar.
    pub(crate) name: &'static str,
    /// How many words it has with its name; at least so many if negative.
    pub(crate) arity: i32,
    /// Words that say what it does, as in Redis.
    pub(crate) flags: &'static [&'static str],
    /// The first word that is a key, the last one (negative: counted from the end), and the step
    /// between them; 0 for none.
    pub(crate) keys: (i64, i64, i64),
    /// What runs it.
    pub(crate) run: Run,
    /// The version that had it first: Redis', or Valkey's of what Redis has not.
    pub(crate) since: &'static str,
    /// Redis' group of it.
    pub(crate) group: &'static str,
    /// One sentence.
    pub(crate) summary: &'static str,
}

/// What runs a command.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// It is one native request.
    Plan(Plan),
    /// It reads before it decides what to write.
    Program(Program),
    /// It is one native request with up to so many words, and a program with more.
    Mixed(usize, Plan, Program),
    /// It is about the connection or the server.
    Local(Local),
    /// It goes over many keys.
    Walk(Walk),
}

/// Runs a command on the entries that it reads, and writes its reply.
pub(crate) type Program =
    for<'a> fn(Args<'a, 'a>, &mut Overlay<'_>, &mut super::encode::Encoder<'_>) -> Result<(), Fail>;

/// A command that is answered without the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    Ping,
    Echo,
    Hello,
    Auth,
    Select,
    Quit,
    Reset,
    Client,
    Command,
    Info,
    Config,
    Time,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Subscribe,
    PatternSubscribe,
    Unsubscribe,
    PatternUnsubscribe,
    Publish,
    PubSub,
}

/// A command over many keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    Size,
    Flush,
    Scan,
    Keys,
    Random,
}

impl Row {
    /// Whether so many words are what the command takes.
    #[inline]
    pub(crate) fn takes(&self, words: usize) -> bool {
        takes(self.arity, words)
    }
}

/// Whether so many words are what an arity says.
#[inline]
pub(super) fn takes(arity: i32, words: usize) -> bool {
    let words = words as i64;
    let arity = i64::from(arity);
    if arity >= 0 { words == arity } else { words >= -arity }
}

/// Places for rows: several times as many as there are, so that most names are found at once.
const PLACES: usize = 512;

const NO_ROW: u8 = u8::MAX;

static INDEX: [u8; PLACES] = index();

/// The letters of each row's name.
static LETTERS: [u64; ROWS.len()] = all_letters();

const fn index() -> [u8; PLACES] {
    assert!(ROWS.len() < NO_ROW as usize, "a row's number fits into a byte");
    let mut places = [NO_ROW; PLACES];
    let mut row = 0;
    while row < ROWS.len() {
        let mut place = place(letters(ROWS[row].name.as_bytes()));
        while places[place] != NO_ROW {
            place = (place + 1) % PLACES;
        }
        places[place] = row as u8;
        row += 1;
    }
    places
}

const fn all_letters() -> [u64; ROWS.len()] {
    let mut all = [0; ROWS.len()];
    let mut row = 0;
    while row < all.len() {
        all[row] = letters(ROWS[row].name.as_bytes());
        row += 1;
    }
    all
}

/// Where a name is looked for first: the highest bits are those that all letters have part in.
const fn place(letters: u64) -> usize {
    (letters.wrapping_mul(0xFF51_AFD7_ED55_8CCD) >> (u64::BITS - PLACES.ilog2())) as usize
}

/// The last eight letters of a name, in lower case; other bytes become others, which may be letters'.
const fn letters(name: &[u8]) -> u64 {
    let (mut letters, mut at) = (0, 0);
    while at < name.len() {
        letters = letters << 8 | (name[at] | 0x20) as u64;
        at += 1;
    }
    letters
}

/// The number of a command's row.
#[inline]
pub(crate) fn find(name: &[u8]) -> Option<usize> {
    let letters = letters(name);
    let mut place = place(letters);
    loop {
        let row = INDEX[place];
        if row == NO_ROW {
            return None;
        }
        // Names are of letters alone, so that only their two cases are alike. Of long ones, the
        // beginning was not looked at.
        let row = usize::from(row);
        if LETTERS[row] == letters
            && (name.len() <= 8 || ROWS[row].name.as_bytes().eq_ignore_ascii_case(name))
        {
            return Some(row);
        }
        place = (place + 1) % PLACES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_either_case_and_nothing_else_is() {
        for (number, row) in ROWS.iter().enumerate() {
            assert_eq!(find(row.name.as_bytes()), Some(number));
            assert_eq!(find(row.name.to_ascii_uppercase().as_bytes()), Some(number));
            assert!(!row.summary.is_empty() && row.arity != 0, "{}", row.name);
            assert!(row.name.bytes().all(|letter| letter.is_ascii_lowercase()), "{}", row.name);
        }
        let long = ROWS.iter().map(|row| format!("x{}", row.name)).collect::<Vec<_>>();
        let others = ["", "g", "gets", "LPUSH", "get\0", "\0get", "\u{7f}", "GE\u{14}"];
        for name in others.into_iter().chain(long.iter().map(String::as_str)) {
            assert_eq!(find(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn most_commands_are_found_at_the_first_look() {
        let displaced = ROWS.iter().enumerate().filter(|(number, row)| {
            usize::from(INDEX[place(letters(row.name.as_bytes()))]) != *number
        });
        assert!(displaced.count() <= 12);
    }

    #[test]
    fn arity_counts_the_name() {
        let takes = |name: &str, words| ROWS[find(name.as_bytes()).unwrap()].takes(words);
        assert!(takes("get", 2) && !takes("get", 1) && !takes("get", 3));
        assert!(takes("mget", 2) && takes("mget", 9) && !takes("mget", 1));
    }
}
