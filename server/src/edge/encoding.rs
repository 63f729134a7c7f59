//! Which of the encodings that a page is there in a browser takes.

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Brotli.
    Brotli,
    /// Gzip.
    Gzip,
    /// As it is.
    Identity,
}

impl Encoding {
    /// The name in headers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }
}

/// The best of `available` that the `Accept-Encoding` header allows; without the header, the body as
/// it is. A client that allows nothing that is there gets the body as it is, too.
pub(crate) fn choose(accept: Option<&str>, available: &[Encoding]) -> Encoding {
    let Some(accept) = accept else { return Encoding::Identity };
    let best_first = [Encoding::Brotli, Encoding::Gzip];
    let usable = |encoding: &Encoding| available.contains(encoding) && allows(accept, *encoding);
    best_first.into_iter().find(usable).unwrap_or(Encoding::Identity)
}

fn allows(accept: &str, encoding: Encoding) -> bool {
    let mut by_star = false;
    for item in accept.split(',') {
        let mut parts = item.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let zero = parts.any(is_zero_quality);
        if name.eq_ignore_ascii_case(encoding.name()) {
            return !zero;
        }
        if name == "*" {
            by_star = !zero;
        }
    }
    by_star
}

/// Whether a parameter is `q=0`, in any of its spellings.
fn is_zero_quality(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|q| q <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Encoding; 2] = [Encoding::Brotli, Encoding::Gzip];

    #[test]
    fn the_best_that_is_allowed_is_chosen() {
        assert_eq!(choose(Some("gzip, deflate, br"), &ALL), Encoding::Brotli);
        assert_eq!(choose(Some("GZIP;q=0.5"), &ALL), Encoding::Gzip);
        assert_eq!(choose(Some("br"), &[Encoding::Gzip]), Encoding::Identity);
        assert_eq!(choose(Some("*"), &ALL), Encoding::Brotli);
        assert_eq!(choose(Some(""), &ALL), Encoding::Identity);
        assert_eq!(choose(None, &ALL), Encoding::Identity);
    }

    #[test]
    fn a_quality_of_zero_forbids() {
        assert_eq!(choose(Some("br;q=0, gzip"), &ALL), Encoding::Gzip);
        assert_eq!(choose(Some("br; q=0.000, *"), &ALL), Encoding::Gzip);
        assert_eq!(choose(Some("*;q=0"), &ALL), Encoding::Identity);
        assert_eq!(choose(Some("br;q=0.001"), &ALL), Encoding::Brotli);
    }
}
