// How a cluster stands, as `/cluster` tells it, and the few words that the page says of it.

import { countText } from "./value.js";

/** A replica of a group; `lag` is how many entries it is behind the leader, if that is known. */
export interface Replica {
  readonly node: number;
  readonly votes: boolean;
  readonly lag: number | null;
  readonly stopped: string | null;
}

export interface Group {
  readonly leader: number | null;
  readonly replicas: readonly Replica[];
}

export interface ClusterNode {
  readonly node: number;
  readonly state: "joining" | "active" | "draining" | "removed";
  readonly up: boolean;
  readonly client: string;
  readonly zone: string;
  readonly leads: number;
}

/** What the page reads of the answer; there is more in it. */
export interface ClusterStatus {
  readonly replicas: number;
  readonly nodes: readonly ClusterNode[];
  readonly meta: Group;
  readonly groups: readonly Group[];
  readonly waits_for: string | null;
}

/** A node as the page shows it. */
export interface NodeLine {
  readonly name: string;
  readonly up: boolean;
  readonly notes: string;
  readonly where: string;
}

export interface Overview {
  /** Whether nobody has to look at anything. */
  readonly well: boolean;
  readonly health: string;
  readonly nodes: readonly NodeLine[];
}

/** The words for a status. Nodes that were removed are left out. */
export function overview(status: ClusterStatus): Overview {
  const nodes = status.nodes.filter((node) => node.state !== "removed");
  const groups = [status.meta, ...status.groups];
  const down = nodes.filter((node) => !node.up).length;
  const unled = groups.filter((group) => group.leader === null).length;
  const short = status.groups.filter(
    (group) => group.leader !== null && answering(group) < status.replicas,
  ).length;
  const amiss = [
    down > 0 && `${down} of ${nodes.length} nodes down`,
    unled > 0 && `${count(unled, "group")} without a leader`,
    short > 0 && `${count(short, "group")} short of replicas`,
    status.waits_for !== null && status.waits_for,
  ].filter((text) => text !== false);
  return {
    well: amiss.length === 0,
    health: amiss.join("; ") || "healthy",
    nodes: nodes.map((node) => lineOf(node, status.groups)),
  };
}

function answering(group: Group): number {
  return group.replicas.filter((replica) => replica.votes && replica.lag !== null).length;
}

function count(number: number, what: string): string {
  return number === 1 ? `1 ${what}` : `${countText(number)} ${what}s`;
}

function lineOf(node: ClusterNode, groups: readonly Group[]): NodeLine {
  const here = groups.flatMap((group) => group.replicas).filter((it) => it.node === node.node);
  const behind = Math.max(0, ...here.map((replica) => replica.lag ?? 0));
  const stopped = here.filter((replica) => replica.stopped !== null).length;
  const leads = groups.length === 1 ? "leads" : `leads ${node.leads} of ${groups.length}`;
  const notes = [
    node.state !== "active" && node.state,
    !node.up && "down",
    node.leads > 0 && leads,
    behind > 0 && `${countText(behind)} behind`,
    stopped > 0 && `${count(stopped, "replica")} stopped`,
  ].filter((text) => text !== false);
  return {
    name: `node ${node.node}`,
    up: node.up,
    notes: notes.join(" · "),
    where: `${node.client}, zone ${node.zone}`,
  };
}
