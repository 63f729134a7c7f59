//! What `tidekeep cluster status` says, as far as tests ask: who leads, and whether all is there.

use serde_json::Value;

/// Entries that a replica may be behind while clients write.
const LAG: u64 = 1_000;

/// A cluster at one moment, as one node sees it.
#[derive(Debug)]
pub struct Standing {
    /// Where clients find the leader of the first group, if it has one.
    pub leader: Option<String>,
    nodes_up: usize,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    led: bool,
    /// Where clients find its leader, if that is the node that should lead it.
    led_as_preferred: Option<String>,
    /// Replicas that vote and have nearly all that the leader has.
    voters: usize,
}

impl Standing {
    /// Reads the command's JSON; none if it is something else.
    pub fn read(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let (nodes, groups) = (value["nodes"].as_array()?, value["groups"].as_array()?);
        let leader = &groups.first()?["leader"];
        let leading = nodes.iter().find(|node| !leader.is_null() && node["node"] == *leader);
        let leader = leading.and_then(|node| node["client"].as_str()).map(str::to_owned);
        let nodes_up = nodes.iter().filter(|node| node["up"] == true).count();
        Some(Self {
            leader,
            nodes_up,
            groups: groups.iter().map(|group| Group::read(group, nodes)).collect(),
        })
    }

    /// Where clients find each group's leader; none unless all are led by the nodes that should.
    pub fn led_as_preferred(&self) -> Option<Vec<&str>> {
        self.groups.iter().map(|group| group.led_as_preferred.as_deref()).collect()
    }

    /// How many groups share the keys.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Whether so many nodes are up, and every group has a leader and three voters, or as many as there
    /// are nodes.
    pub fn is_whole(&self, nodes: usize) -> bool {
        let whole = |group: &Group| group.led && group.voters == nodes.min(3);
        self.nodes_up == nodes && self.groups.iter().all(whole)
    }
}

impl Group {
    fn read(group: &Value, nodes: &[Value]) -> Self {
        let leads = |node: &&Value| {
            node["node"] == group["leader"] && group["leader"] == group["preferred"]
        };
        let leader = nodes.iter().find(leads).and_then(|node| node["client"].as_str());
        let led_as_preferred = leader.map(str::to_owned);
        let replicas = group["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        let near = |replica: &&Value| replica["lag"].as_u64().is_some_and(|lag| lag <= LAG);
        let voters = replicas.iter().filter(|replica| replica["votes"] == true).filter(near);
        Self { led: !group["leader"].is_null(), led_as_preferred, voters: voters.count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(lag: &str) -> String {
        let replica = |node: u32| format!(r#"{{"node":{node},"votes":true,"lag":{lag}}}"#);
        let node = |node: u32| format!(r#"{{"node":{node},"client":"h:{node}","up":true}}"#);
        let [replicas, nodes] = [[1, 2, 3].map(replica).join(","), [1, 2, 3].map(node).join(",")];
        format!(r#"{{"nodes":[{nodes}],"groups":[{{"leader":2,"replicas":[{replicas}]}}]}}"#)
    }

    #[test]
    fn a_cluster_is_whole_when_all_voters_have_nearly_all() {
        let standing = Standing::read(&json("0")).unwrap();
        assert_eq!(standing.leader.as_deref(), Some("h:2"));
        assert!(standing.is_whole(3) && !standing.is_whole(4));
        assert!(!Standing::read(&json("5000")).unwrap().is_whole(3));
        assert!(!Standing::read(&json("null")).unwrap().is_whole(3));
        assert!(Standing::read("no JSON").is_none());
    }
}
