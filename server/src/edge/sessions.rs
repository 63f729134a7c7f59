//! `GET /sessions`: who is connected, as JSON for scripts and for the page: what `tidekeep sessions` asks
//! for, by the same names. Where people come from is nothing for pages of other sites, so a name that
//! could have been pointed here by somebody else is refused, as it is for a WebSocket.

use tidekeep_protocol::op::Sessions;

use super::request::Request;
use super::response::Response;
use super::upgrade::Refused;
use crate::observe::TurnedAway;
use crate::server::Shared;

/// The response: a page of `?limit=N` connections behind `?after=ID`.
pub(super) fn serve(request: &Request<'_>, shared: &Shared) -> Response {
    match shared.hosts.check(request) {
        Ok(()) => {}
        Err(Refused::Handshake(response)) => return response,
        Err(Refused::Origin(response)) => {
            shared.metrics.turned_away(TurnedAway::Origin);
            return response;
        }
    }
    let Some(asked) = asked(request.query) else {
        return Response::text(400, "after and limit are numbers, and there is nothing else\n");
    };
    let service = &shared.service;
    let told = service.status.told();
    let json = service.roster.page(&asked, &*service.commit, told, |page| serde_json::to_vec(page));
    match json {
        Ok(mut json) => {
            json.push(b'\n');
            Response::bytes("application/json", json).with("cache-control", "no-store")
        }
        Err(error) => Response::text(500, format!("{error}\n")),
    }
}

/// What a query asks for; none if it cannot be read.
fn asked(query: &str) -> Option<Sessions> {
    let mut asked = Sessions::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("after", id) => asked.after = id.parse().ok()?,
            ("limit", limit) => asked.limit = limit.parse().ok()?,
            _ => return None,
        }
    }
    Some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_whole_or_not_at_all() {
        assert_eq!(asked(""), Some(Sessions { after: 0, limit: 0 }));
        assert_eq!(asked("limit=5&after=7"), Some(Sessions { after: 7, limit: 5 }));
        for bad in ["after", "after=", "after=x", "limit=-1", "limit=9&x=1", "limit=4294967296"] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
