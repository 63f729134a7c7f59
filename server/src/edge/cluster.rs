//! `GET /cluster`: how the cluster stands, as JSON for scripts and for the page; the same as
//! `tidekeep cluster status --output json` prints. It tells no secrets.

use std::time::Duration;

use tidekeep_log::{Answer, Commit};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::{Code, Refusal};
use tidekeep_protocol::op::{Cluster, ClusterReply};

use super::response::Response;

/// How long the nodes may take to say it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The response: 404 where the server runs alone, 503 while nobody can say.
pub(super) async fn serve(commit: &dyn Commit) -> Response {
    let asked = tokio::time::timeout(PATIENCE, commit.operate(&Cluster::Status)).await;
    match asked {
        Ok(Ok(mut answers)) => match answers.pop() {
            Some(answer) => response(answer),
            None => Response::text(503, "the cluster has not answered\n"),
        },
        Ok(Err(lost)) => Response::text(503, format!("{lost}\n")),
        Err(_) => Response::text(503, "the cluster has not answered in time\n"),
    }
}

fn response(answer: Answer) -> Response {
    let refused = match answer {
        Ok(reply) => {
            let mut body = Vec::new();
            reply.encode(&mut body);
            match json(&body) {
                Some(json) => {
                    return Response::bytes("application/json", json)
                        .with("cache-control", "no-store");
                }
                None => Refusal::new(Code::Internal, "the cluster's status cannot be read"),
            }
        }
        Err(refusal) => refusal,
    };
    let status = if refused.code == Code::Unsupported { 404 } else { 503 };
    Response::text(status, format!("{}\n", refused.message))
}

/// The status in a reply's body as a line of JSON.
fn json(body: &[u8]) -> Option<Vec<u8>> {
    let Ok(ClusterReply::Status(status)) = codec::decode(body) else { return None };
    let mut json = serde_json::to_vec(&status).ok()?;
    json.push(b'\n');
    Some(json)
}

#[cfg(test)]
mod tests {
    use tidekeep_protocol::op::cluster_status::{ClusterStatus, GroupStatus};

    use super::*;

    #[test]
    fn a_status_is_told_by_the_names_that_scripts_know() {
        let meta = GroupStatus {
            group: None,
            leader: Some(1),
            preferred: None,
            term: 2,
            applied: None,
            keys: 3,
            replicas: Vec::new(),
        };
        let status = ClusterStatus {
            cluster: "0f",
            coordinator: 1,
            replicas: 1,
            replicas_wanted: 3,
            epoch: 9,
            nodes: Vec::new(),
            meta,
            groups: Vec::new(),
            under_way: Vec::new(),
            waits_for: None,
        };
        let mut body = Vec::new();
        codec::encode(&ClusterReply::Status(Box::new(status)), &mut body);
        let json = String::from_utf8(json(&body).expect("a status")).expect("JSON is text");
        assert_eq!(
            json,
            "{\"cluster\":\"0f\",\"coordinator\":1,\"replicas\":1,\"replicas_wanted\":3,\
             \"epoch\":9,\"nodes\":[],\"meta\":{\"group\":null,\"leader\":1,\"preferred\":null,\
             \"term\":2,\"applied\":null,\"keys\":3,\"replicas\":[]},\"groups\":[],\
             \"under_way\":[],\"waits_for\":null}\n"
        );
    }

    #[test]
    fn nobody_who_can_say_is_another_answer_than_no_cluster() {
        let refused = |code| response(Err(Refusal::new(code, "why"))).status;
        assert_eq!(refused(Code::Unsupported), 404);
        assert_eq!(refused(Code::Unavailable), 503);
    }
}
