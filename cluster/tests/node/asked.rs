//! What operators ask over the wire: the replies and refusals that their program reads, from whichever
//! node they ask.

use openraft_rt_sim::SimRuntime;
use tidekeep_cluster::NodeId;
use tidekeep_cluster::node::Node;
use tidekeep_cluster::operator::operate;
use tidekeep_cluster::peer::{Fingerprint, JoinToken};
use tidekeep_protocol::codec;
use tidekeep_protocol::error::Code;
use tidekeep_protocol::op::cluster_status::NodeState;
use tidekeep_protocol::op::{Cluster as Ask, ClusterReply};

use crate::cluster::{Cluster, simulate};
use crate::machine::introduction;

const AUTHORITY: Fingerprint = Fingerprint([5; 32]);

/// The body of the reply, or the code of the refusal.
async fn ask(node: &Node<SimRuntime>, request: Ask<'_>) -> Result<Vec<u8>, Code> {
    let answer = operate(node, AUTHORITY, (&request).into()).await;
    let reply = answer.map_err(|refusal| refusal.code)?;
    let mut body = Vec::new();
    reply.encode(&mut body);
    Ok(body)
}

fn read(body: &[u8]) -> ClusterReply<'_> {
    codec::decode(body).expect("a reply")
}

#[test]
fn any_node_tells_how_the_cluster_stands() {
    simulate(41, async {
        let cluster = Cluster::of(3, 4).await;
        for id in [1, 2, 3].map(NodeId) {
            let body = ask(&cluster.node(id), Ask::Status).await.expect("somebody coordinates");
            let ClusterReply::Status(status) = read(&body) else { panic!("{body:?}") };
            let nodes: Vec<_> = status.nodes.iter().map(|it| (it.node, it.state, it.up)).collect();
            let active = |node| (node, NodeState::Active, true);
            assert_eq!(nodes, [1, 2, 3].map(active));
            assert_eq!(status.groups.len(), 4);
            assert!(status.groups.iter().all(|group| group.replicas.len() == 3), "{status:?}");
            assert_eq!((status.meta.group, status.waits_for), (None, None));
        }
    });
}

#[test]
fn a_token_lets_a_node_in_once() {
    simulate(42, async {
        let cluster = Cluster::of(1, 1).await;
        let request = Ask::Token { name: "one", lives_ms: 60_000, uses: 1 };
        let body = ask(&cluster.any(), request).await.expect("a token");
        let ClusterReply::Token(word) = read(&body) else { panic!("{body:?}") };
        let token: JoinToken = word.parse().expect("a join token");
        assert_eq!(token.authority, AUTHORITY);
        let secret = token.secret.hash();
        let admitted = cluster.any().admit(introduction("node-2"), secret).await;
        assert_eq!(admitted.map(|admitted| admitted.node), Ok(NodeId(2)));
        let again = cluster.any().admit(introduction("node-3"), secret).await;
        assert!(again.is_err(), "{again:?}");
    });
}

#[test]
fn changes_are_made_and_refusals_have_the_code_of_their_cause() {
    simulate(43, async {
        let cluster = Cluster::of(4, 4).await;
        let node = cluster.node(NodeId(2));
        let changed = codec_of(&ClusterReply::Changed);
        for request in [
            Ask::Weigh { node: 1, weight: 200 },
            Ask::Drain { node: 4 },
            Ask::Drain { node: 4 },
            Ask::Keep { node: 4 },
        ] {
            assert_eq!(ask(&node, request).await, Ok(changed.clone()), "{request:?}");
        }
        for (request, code) in [
            (Ask::Drain { node: 9 }, Code::NotFound),
            (Ask::Keep { node: 9 }, Code::NotFound),
            (Ask::Weigh { node: 9, weight: 1 }, Code::NotFound),
            (Ask::Remove { node: 9, force: true }, Code::NotFound),
            (Ask::Remove { node: 1, force: false }, Code::Conflict),
            (Ask::Transfer { group: 9, to: 1 }, Code::NotFound),
            (Ask::Transfer { group: 0, to: 9 }, Code::Conflict),
        ] {
            assert_eq!(ask(&node, request).await, Err(code), "{request:?}");
        }
        assert_eq!(ask(&node, Ask::Drain { node: 3 }).await, Ok(changed));
        let refused = ask(&node, Ask::Drain { node: 4 }).await;
        assert_eq!(refused, Err(Code::Conflict), "two nodes cannot hold three replicas");
    });
}

#[test]
fn nobody_answers_for_a_cluster_that_has_lost_its_majority() {
    simulate(44, async {
        let cluster = Cluster::of(3, 1).await;
        for id in [2, 3].map(NodeId) {
            cluster.node(id).stop().await;
        }
        let node = cluster.node(NodeId(1));
        cluster
            .eventually("it is noticed", || async {
                (ask(&node, Ask::Status).await == Err(Code::Unavailable)).then_some(())
            })
            .await;
    });
}

fn codec_of(reply: &ClusterReply<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    codec::encode(reply, &mut body);
    body
}
