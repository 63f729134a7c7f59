//! Which server a command talks to: `--server` or `TIDEKEEP_SERVER`, else `KV_HOST` and `KV_PORT`.

use crate::failure::Failure;

/// The server's address when nothing names another.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 8080;

/// The address to connect to. `given` wins over the environment.
pub(crate) fn resolve(given: Option<&str>) -> Result<String, Failure> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    match given.filter(|text| !text.is_empty()) {
        Some(url) => Ok(url.to_owned()),
        None => from_parts(variable("KV_HOST"), variable("KV_PORT")),
    }
}

fn from_parts(host: Option<String>, port: Option<String>) -> Result<String, Failure> {
    let host = host.unwrap_or_else(|| HOST.to_owned());
    let port = match port {
        None => PORT,
        Some(text) => text.parse().map_err(|_| {
            Failure::invalid(format!("KV_PORT is \"{}\", which is no port", text.escape_debug()))
                .hint("set it to a number between 1 and 65535, or use --server HOST:PORT")
        })?,
    };
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    Ok(if bare_ipv6 { format!("tcp://[{host}]:{port}") } else { format!("tcp://{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(host: &str, port: &str) -> Result<String, Failure> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        from_parts(given(host), given(port))
    }

    #[test]
    fn the_environment_fills_what_is_not_given() {
        assert_eq!(parts("", "").unwrap(), "tcp://127.0.0.1:8080");
        assert_eq!(parts("db.example", "7").unwrap(), "tcp://db.example:7");
        assert_eq!(parts("::1", "7").unwrap(), "tcp://[::1]:7");
        assert_eq!(resolve(Some("ws://h:1/ws")).unwrap(), "ws://h:1/ws");
    }

    #[test]
    fn a_port_that_is_no_number_is_invalid_input() {
        let failure = parts("", "http").unwrap_err();
        assert_eq!(failure.exit(), crate::exit::Exit::Invalid);
    }
}
