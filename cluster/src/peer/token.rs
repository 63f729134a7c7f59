//! The join token: one word that an operator carries from a cluster to a new node. It tells the node which
//! cluster to trust, and the cluster that the node was asked in.
//!
//! ```text
//! base32 of | format 1 | fingerprint of the authority, 32 | secret, 16 | CRC32C of all before, 4 |
//! ```
//! The alphabet is Crockford's: case does not matter, and what looks alike is read alike.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::certificates::{CertificateError, Fingerprint, random, sha256};

const FORMAT: u8 = 1;
const BYTES: usize = 1 + 32 + 16 + 4;
/// Five bits each, the last one filled up.
const DIGITS: usize = (BYTES * 8).div_ceil(5);
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What lets a new node into a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinToken {
    /// The authority of the cluster.
    pub authority: Fingerprint,
    /// What the cluster knows the token by.
    pub secret: Secret,
}

/// What whoever was given the token knows. The cluster keeps its hash alone.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; 16]);

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Letters are missing, or there are too many.
    #[error("a join token has {DIGITS} letters and digits, this one has {0}: copy it whole")]
    Length(usize),
    /// It has a letter that no token has.
    #[error("no join token has a {0:?} in it: copy it again")]
    Letter(char),
    /// It was not copied as it was.
    #[error("the join token has a typing error: copy it again")]
    Typo,
    /// A newer version made it.
    #[error("the join token is of format {0}, made by a newer version: use that version to join")]
    Format(u8),
}

impl JoinToken {
    /// A token of a cluster with a new secret.
    ///
    /// # Errors
    /// [`CertificateError::NoRandomness`].
    pub fn make(authority: Fingerprint) -> Result<Self, CertificateError> {
        Ok(Self { authority, secret: Secret(random()?) })
    }
}

impl Secret {
    /// SHA-256: what the cluster keeps of it.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.authority.0);
        bytes.extend(self.secret.0);
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        let (mut bits, mut count) = (0_u16, 0);
        let mut word = String::with_capacity(DIGITS);
        for byte in bytes {
            bits = bits << 8 | u16::from(byte);
            count += 8;
            while count >= 5 {
                count -= 5;
                word.push(digit(bits >> count));
            }
        }
        word.push(digit(bits << (5 - count)));
        f.write_str(&word)
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let letters = text.chars().count();
        let values = text.chars().map(|letter| value(letter).ok_or(TokenError::Letter(letter)));
        let values = values.collect::<Result<Vec<u16>, _>>()?;
        if letters != DIGITS {
            return Err(TokenError::Length(letters));
        }
        let mut bytes = Vec::with_capacity(BYTES);
        let (mut bits, mut count) = (0_u16, 0);
        for value in values {
            bits = bits << 5 | value;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
            }
        }
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(TokenError::Typo)?;
        // What fills up the last letter is as much part of the word as the sum.
        if bits & ((1 << count) - 1) != 0 || crc32c::crc32c(body) != u32::from_be_bytes(*sum) {
            return Err(TokenError::Typo);
        }
        let (format, body) = body.split_first().ok_or(TokenError::Typo)?;
        if *format != FORMAT {
            return Err(TokenError::Format(*format));
        }
        let (authority, secret) = body.split_first_chunk::<32>().ok_or(TokenError::Typo)?;
        let secret = secret.try_into().map_err(|_| TokenError::Typo)?;
        Ok(Self { authority: Fingerprint(*authority), secret: Secret(secret) })
    }
}

fn digit(bits: u16) -> char {
    char::from(ALPHABET[usize::from(bits & 31)])
}

fn value(letter: char) -> Option<u16> {
    let letter = match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        letter => letter,
    };
    let place = ALPHABET.iter().position(|&it| char::from(it) == letter)?;
    u16::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            authority: Fingerprint(std::array::from_fn(|i| i as u8)),
            secret: Secret([7; 16]),
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let word = token().to_string();
        assert_eq!(word.len(), DIGITS);
        assert_eq!(word.parse(), Ok(token()));
        assert_eq!(format!(" {}\n", word.to_uppercase()).parse(), Ok(token()));
        assert_eq!(word.replace('0', "O").replace('1', "l").parse(), Ok(token()));
    }

    #[test]
    fn every_wrong_letter_and_every_swap_is_noticed() {
        let word = token().to_string();
        for place in 0..word.len() {
            for letter in ALPHABET {
                let mut wrong = word.clone().into_bytes();
                wrong[place] = *letter;
                let wrong = String::from_utf8(wrong).unwrap();
                if wrong != word {
                    assert_eq!(wrong.parse::<JoinToken>(), Err(TokenError::Typo), "{wrong}");
                }
            }
        }
        for place in 1..word.len() {
            let mut wrong = word.clone().into_bytes();
            wrong.swap(place - 1, place);
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(wrong == word || wrong.parse::<JoinToken>() == Err(TokenError::Typo));
        }
    }

    #[test]
    fn what_is_no_token_is_told_why() {
        let word = token().to_string();
        assert_eq!(word[1..].parse::<JoinToken>(), Err(TokenError::Length(DIGITS - 1)));
        assert_eq!("".parse::<JoinToken>(), Err(TokenError::Length(0)));
        assert_eq!("ümlaut".parse::<JoinToken>(), Err(TokenError::Letter('ü')));
        assert_eq!(word.replace('7', "u").parse::<JoinToken>(), Err(TokenError::Letter('u')));
    }

    #[test]
    fn the_secret_is_not_told_by_the_way() {
        assert!(!format!("{:?}", token()).contains('7'.to_string().repeat(2).as_str()));
    }
}
