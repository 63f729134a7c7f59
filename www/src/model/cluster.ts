// How a cluster stands, as `/cluster` tells it, and the words and marks that the page has for it. Pure.

import { countdown } from "./time.js";
import { counted, countText } from "./value.js";

/** A replica of a group; `lag` is how many entries it is behind the leader, if that is known. */
export interface Replica {
  readonly node: number;
  readonly votes: boolean;
  readonly lag: number | null;
  readonly stopped: string | null;
}

export interface Group {
  /** Which one; null of the meta group, which keeps what the cluster knows of itself. */
  readonly group: number | null;
  readonly leader: number | null;
  readonly preferred: number | null;
  readonly term: number;
  readonly keys: number;
  readonly replicas: readonly Replica[];
}

export interface ClusterNode {
  readonly node: number;
  readonly state: "joining" | "active" | "draining" | "removed";
  readonly up: boolean;
  readonly heard_ms_ago: number | null;
  readonly client: string;
  readonly zone: string;
  readonly weight: number;
  readonly version: string;
  readonly replicas: number;
  readonly leads: number;
}

/** What is done to a node for a group at the moment. */
export interface Step {
  readonly group: number;
  readonly change: "add_learner" | "promote" | "transfer_leader" | "remove_replica";
  readonly node: number;
}

/** What the page reads of the answer; there is more in it. */
export interface ClusterStatus {
  readonly cluster: string;
  readonly coordinator: number;
  readonly replicas: number;
  readonly replicas_wanted: number;
  readonly nodes: readonly ClusterNode[];
  readonly meta: Group;
  readonly groups: readonly Group[];
  readonly under_way: readonly Step[];
  readonly waits_for: string | null;
}

/** What a node is to a group, as a cell of the map shows it. */
export interface Cell {
  readonly role: "leads" | "follows" | "is filled" | "stopped" | "silent";
  /** Entries behind the leader; undefined where that is not known. */
  readonly lag: number | undefined;
  /** How full a bar for the lag is, from 0 to 1: each tenfold is a fifth of it. */
  readonly bar: number;
  /** The whole of it in words. */
  readonly text: string;
}

/** A row of the map: a group, and what each node is to it. */
export interface MapRow {
  readonly name: string;
  readonly leader: string;
  readonly term: number;
  readonly keys: number;
  /** By node, in the order of `present`; undefined where it has no replica. */
  readonly cells: readonly (Cell | undefined)[];
}

/** The nodes that have not been removed. */
export function present(status: ClusterStatus): readonly ClusterNode[] {
  return status.nodes.filter((node) => node.state !== "removed");
}

/** The map of groups over nodes, the meta group first. */
export function mapRows(status: ClusterStatus): MapRow[] {
  const nodes = present(status);
  return [status.meta, ...status.groups].map((group) => ({
    name: group.group === null ? "meta" : String(group.group),
    leader: leaderText(group),
    term: group.term,
    keys: group.keys,
    cells: nodes.map(({ node }) => {
      const replica = group.replicas.find((replica) => replica.node === node);
      return replica && cellOf(replica, group);
    }),
  }));
}

/** What is under way, in words, and what keeps replicas from moving. */
export function stepTexts(status: ClusterStatus): string[] {
  const words = {
    add_learner: "a replica begins on node",
    promote: "a vote for node",
    transfer_leader: "the lead goes to node",
    remove_replica: "given up by node",
  };
  const steps = status.under_way.map(({ group, change, node }) => `Group ${group}: ${words[change]} ${node}`);
  return status.waits_for === null ? steps : [...steps, `Waits: ${status.waits_for}`];
}

/** How long ago a node was heard of: nodes are asked once a second. */
export function heardText(ms: number | null): string {
  if (ms === null) return "never heard";
  return ms < 2000 ? "heard now" : `heard ${countdown(ms)} ago`;
}

function leaderText({ leader, preferred }: Group): string {
  if (leader === null) return "nobody";
  return preferred !== null && preferred !== leader ? `${leader}, to be ${preferred}` : String(leader);
}

function cellOf(replica: Replica, group: Group): Cell {
  const lag = replica.lag ?? undefined;
  const role = roleOf(replica, group);
  const why = replica.stopped === null ? "" : `: ${replica.stopped}`;
  const behind = lag === undefined ? "" : lag === 0 ? ", nothing behind" : `, ${countText(lag)} behind`;
  const bar = lag ? Math.min(1, Math.log10(lag + 1) / 5) : 0;
  return { role, lag, bar, text: `node ${replica.node} ${role}${why}${role === "leads" ? "" : behind}` };
}

function roleOf(replica: Replica, group: Group): Cell["role"] {
  if (replica.stopped !== null) return "stopped";
  if (group.leader === replica.node) return "leads";
  if (replica.lag === null) return "silent";
  return replica.votes ? "follows" : "is filled";
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
  const nodes = present(status);
  const groups = [status.meta, ...status.groups];
  const down = nodes.filter((node) => !node.up).length;
  const unled = groups.filter((group) => group.leader === null).length;
  const short = status.groups.filter(
    (group) => group.leader !== null && answering(group) < status.replicas,
  ).length;
  const amiss = [
    down > 0 && `${down} of ${nodes.length} nodes down`,
    unled > 0 && `${counted(unled, "group")} without a leader`,
    short > 0 && `${counted(short, "group")} short of replicas`,
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

/** How far a node is behind in the group where it is furthest, if that is known, and how many of its replicas have stopped. */
export function standing({ node }: ClusterNode, groups: readonly Group[]): { behind: number | undefined; stopped: number } {
  const here = groups.flatMap(({ replicas }) => replicas).filter((it) => it.node === node);
  const lags = here.flatMap(({ lag }) => lag ?? []);
  return { behind: lags.length > 0 ? Math.max(...lags) : undefined, stopped: here.filter(({ stopped }) => stopped !== null).length };
}

function lineOf(node: ClusterNode, groups: readonly Group[]): NodeLine {
  const { behind = 0, stopped } = standing(node, groups);
  const leads = groups.length === 1 ? "leads" : `leads ${node.leads} of ${groups.length}`;
  const notes = [
    node.state !== "active" && node.state,
    !node.up && "down",
    node.leads > 0 && leads,
    behind > 0 && `${countText(behind)} behind`,
    stopped > 0 && `${counted(stopped, "replica")} stopped`,
  ].filter((text) => text !== false);
  return {
    name: `node ${node.node}`,
    up: node.up,
    notes: notes.join(" · "),
    where: `${node.client}, zone ${node.zone}`,
  };
}
