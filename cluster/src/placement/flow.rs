//! The cheapest way to send units through a network: what `target` states its wishes in. Successive
//! shortest paths with potentials; the same network always gives the same flow.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A network of points with edges that have room and a cost for each unit.
pub(super) struct Network {
    /// An edge and its way back lie beside each other: the partner of `i` is `i ^ 1`.
    edges: Vec<Edge>,
    points: Vec<Point>,
    /// The points that the last search came to; only they are put back for the next.
    touched: Vec<usize>,
}

struct Point {
    /// The edges that leave it.
    leaving: Vec<usize>,
    /// Keeps what edges cost in a search from being negative.
    potential: i64,
    /// What the cheapest way from the search's start costs, and the edge by which it arrives.
    reached: i64,
    arrived_by: usize,
}

struct Edge {
    to: usize,
    room: usize,
    cost: i64,
}

/// Names an edge of a network.
#[derive(Clone, Copy)]
pub(super) struct EdgeId(usize);

impl Network {
    pub(super) fn new(points: usize) -> Self {
        let point = |_| Point {
            leaving: Vec::new(),
            potential: 0,
            reached: i64::MAX,
            arrived_by: usize::MAX,
        };
        let points = (0..points).map(point).collect();
        Self { edges: Vec::new(), points, touched: Vec::new() }
    }

    /// Adds an edge; its cost is not negative.
    pub(super) fn edge(&mut self, from: usize, to: usize, room: usize, cost: i64) -> EdgeId {
        assert!(cost >= 0, "paths are sought under the assumption that no cost is negative");
        let id = self.edges.len();
        self.edges.push(Edge { to, room, cost });
        self.edges.push(Edge { to: from, room: 0, cost: -cost });
        self.points[from].leaving.push(id);
        self.points[to].leaving.push(id + 1);
        EdgeId(id)
    }

    /// How many units go over an edge.
    pub(super) fn units(&self, edge: EdgeId) -> usize {
        self.edges[edge.0 ^ 1].room
    }

    /// Sends one unit from `start` to `sink`, so that all that were sent cost as little as they can together.
    /// Whether there was a way.
    pub(super) fn send(&mut self, start: usize, sink: usize) -> bool {
        let found = self.search(start, sink);
        if found {
            let mut point = sink;
            while point != start {
                let edge = self.points[point].arrived_by;
                self.edges[edge].room -= 1;
                self.edges[edge ^ 1].room += 1;
                point = self.edges[edge ^ 1].to;
            }
        }
        let all = self.points[sink].reached;
        for point in self.touched.drain(..) {
            let point = &mut self.points[point];
            if found {
                point.potential += point.reached.min(all) - all;
            }
            point.reached = i64::MAX;
        }
        found
    }

    /// Dijkstra's search for the cheapest way, up to the sink.
    fn search(&mut self, start: usize, sink: usize) -> bool {
        let mut queue = BinaryHeap::from([Reverse((0, start))]);
        self.points[start].reached = 0;
        self.touched.push(start);
        while let Some(Reverse((cost, at))) = queue.pop() {
            if at == sink {
                return true;
            }
            if cost > self.points[at].reached {
                continue;
            }
            for index in 0..self.points[at].leaving.len() {
                let id = self.points[at].leaving[index];
                let edge = &self.edges[id];
                if edge.room == 0 {
                    continue;
                }
                let next = cost + edge.cost + self.points[at].potential;
                let to = &mut self.points[edge.to];
                let next = next - to.potential;
                if next < to.reached {
                    if to.reached == i64::MAX {
                        self.touched.push(edge.to);
                    }
                    to.reached = next;
                    to.arrived_by = id;
                    queue.push(Reverse((next, edge.to)));
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_later_unit_takes_back_what_an_earlier_one_chose() {
        // 0, 1 ─▶ 2, 3 ─▶ 4: 0 likes 2 best, but 1 can go nowhere else.
        let mut network = Network::new(5);
        let first = network.edge(0, 2, 1, 1);
        let second = network.edge(0, 3, 1, 5);
        let only = network.edge(1, 2, 1, 2);
        network.edge(2, 4, 1, 0);
        network.edge(3, 4, 1, 0);
        assert!(network.send(0, 4));
        assert_eq!([first, second, only].map(|edge| network.units(edge)), [1, 0, 0]);
        assert!(network.send(1, 4));
        assert_eq!([first, second, only].map(|edge| network.units(edge)), [0, 1, 1]);
        assert!(!network.send(1, 4), "there is no room left");
    }

    proptest! {
        /// Against every way to pair 4 with 4.
        #[test]
        fn the_flow_is_the_cheapest(costs in proptest::array::uniform4([0_i64..50, 0..50, 0..50, 0..50])) {
            let mut network = Network::new(9);
            let mut edges = Vec::new();
            for (left, row) in costs.iter().enumerate() {
                network.edge(4 + left, 8, 1, 0);
                for (right, &cost) in row.iter().enumerate() {
                    edges.push((network.edge(left, 4 + right, 1, cost), cost));
                }
            }
            for left in 0..4 {
                prop_assert!(network.send(left, 8));
            }
            let found: i64 =
                edges.iter().map(|&(edge, cost)| cost * network.units(edge) as i64).sum();
            prop_assert_eq!(found, cheapest(&costs, 0, [false; 4]));
        }
    }

    fn cheapest(costs: &[[i64; 4]; 4], row: usize, taken: [bool; 4]) -> i64 {
        let free = (0..4).filter(|&column| !taken[column]);
        let rest = |column: usize| {
            let mut taken = taken;
            taken[column] = true;
            costs[row][column] + cheapest(costs, row + 1, taken)
        };
        free.map(rest).min().unwrap_or(0)
    }
}
