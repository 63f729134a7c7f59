// The cluster as a map: its nodes as cards, its groups as rows with what each node is to them and how far
// it is behind, and what is under way. A server that runs alone is a card, and is asked for no map.

import type { Client, ServerStatus } from "tidekeep";

import { figureText } from "../console/show.js";
import { h, say } from "../dom.js";
import { heardText, mapRows, overview, present, standing, stepTexts } from "../model/cluster.js";
import type { Cell, ClusterNode, ClusterStatus, MapRow } from "../model/cluster.js";
import { counted, countText } from "../model/value.js";
import type { Frame } from "./frame.js";
import { looking } from "./look.js";
import { column, fact, table } from "./table.js";
import type { View } from "./view.js";

const PATH = "/cluster";
/** The figure that only a node of a cluster has. */
const FIGURE = "cluster_node";
/** What the card of a server alone tells. */
const ALONE = ["uptime_ms", "keys", "revision", "memory_bytes", "log_bytes", "snapshot_age_ms", "connections"];
const MARKS: Record<Cell["role"], string> = {
  leads: "★",
  follows: "●",
  "is filled": "◌",
  stopped: "✕",
  silent: "?",
};

export class ClusterView implements View {
  readonly name = "cluster";
  readonly title = "Cluster";
  readonly key = "c";
  readonly element: HTMLElement;
  readonly #health = h("span.soft", { role: "status" });
  readonly #body = h("div.cluster");
  /** Who led each group when it was last drawn: a change is shown for a moment. */
  readonly #leaders = new Map<string, string>();
  readonly #look: () => void;

  constructor(
    readonly client: Client,
    readonly frame: Frame,
  ) {
    this.element = h(
      "section.page",
      { "aria-label": "Cluster" },
      h("div.bar", h("h2", "Cluster"), this.#health),
      this.#body,
    );
    this.#look = looking(client, () => frame.shows(this), () => this.#take());
  }

  show(): void {
    this.#look();
  }

  /** It is drawn when there is an answer: nothing else changes it. */
  async #take(): Promise<void> {
    const status = await this.client.status();
    if (!(FIGURE in status.figures)) return this.#alone(status);
    const response = await fetch(PATH);
    if (response.ok) return this.#map((await response.json()) as ClusterStatus);
    this.#say((await response.text()).trim(), false);
  }

  #map(status: ClusterStatus): void {
    const { well, health } = overview(status);
    this.#say(health, well);
    const focused = this.#body.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
    const steps = stepTexts(status);
    const map = h(
      "div",
      h("ul.cards", { "aria-label": "Nodes" }, ...present(status).map((node) => this.#node(node, status))),
      h("div.card.map-scroll", { tabindex: 0, role: "region", "aria-label": "Groups by node" }, this.#groups(status)),
      this.#legend(),
      steps.length > 0 && h("h3", "Under way"),
      steps.length > 0 && h("ul.steps", ...steps.map((text) => h("li", text))),
      h("p.soft.fine", `Cluster ${status.cluster}, coordinated by node ${status.coordinator}. ${replicasText(status)}`),
    );
    this.#body.replaceChildren(map);
    if (focused) this.#body.querySelector<HTMLElement>(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }

  #node(node: ClusterNode, { coordinator, groups }: ClusterStatus): HTMLElement {
    const { behind } = standing(node, groups);
    const roles = [node.node === coordinator && "coordinator", node.leads > 0 && `leads ${node.leads}`, node.state !== "active" && node.state];
    return h(
      "li.card.node",
      { "data-up": String(node.up) },
      h("h3", `node ${node.node}`, h("span.up", node.up ? "up" : "down")),
      h("p.roles", ...roles.filter((role) => role !== false).map((role) => h("span.badge", role))),
      h(
        "dl",
        fact("clients", h("a", { href: `//${node.client}/#/metrics` }, node.client)),
        fact("zone", node.zone),
        fact("replicas", `${node.replicas}, leads ${node.leads}${node.weight === 100 ? "" : `, weight ${node.weight}`}`),
        fact("behind", behind === undefined ? "–" : `${countText(behind)} entries`),
        fact("version", `${node.version}, ${heardText(node.heard_ms_ago)}`),
      ),
    );
  }

  #groups(status: ClusterStatus): HTMLElement {
    const columns = [
      column("group"),
      column("leader"),
      column("term", "number wide"),
      column("keys", "number wide"),
      ...present(status).map(({ node }) => column(`node ${node}`)),
    ];
    const rows = mapRows(status).map((row) => this.#row(row));
    return table({ class: "map" }, "Groups, and what each node is to them", columns, h("tbody", ...rows));
  }

  #row({ name, leader, term, keys, cells }: MapRow): HTMLElement {
    const before = this.#leaders.get(name);
    this.#leaders.set(name, leader);
    return h(
      "tr",
      { class: before !== undefined && before !== leader ? "changed" : undefined },
      h("th", { scope: "row" }, name),
      h("td", { class: leader === "nobody" ? "problem" : undefined }, leader),
      h("td.number.wide", countText(term)),
      h("td.number.wide", countText(keys)),
      ...cells.map((cell) => (cell ? this.#cell(cell) : h("td", h("span.hidden", "none")))),
    );
  }

  #cell({ role, lag, bar, text }: Cell): HTMLElement {
    const mark = h("span", { class: `mark ${role.replace(" ", "-")}`, "aria-hidden": "true" }, MARKS[role]);
    const behind = role === "follows" || role === "is filled";
    const fill = behind && h("span.lag", h("i", { "--lag": bar }));
    const shown = behind ? (lag ? `${countText(lag)} behind` : "") : role;
    return h("td.cell", { title: text }, mark, h("span.hidden", text), h("span", { "aria-hidden": "true" }, fill, shown));
  }

  #legend(): HTMLElement {
    const entries = Object.entries(MARKS).map(([role, mark]) => h("li", h("span", { class: `mark ${role.replace(" ", "-")}`, "aria-hidden": "true" }, mark), ` ${role}`));
    return h("ul.legend.fine", ...entries, h("li", "The bar is how far a replica is behind: each tenfold is a fifth of it."));
  }

  #alone({ software, durability, figures }: ServerStatus): void {
    this.#say("one server, which runs alone", true);
    const { server } = this.client;
    const told = ALONE.flatMap((name) => (name in figures ? [figureText(name, figures[name]!)] : []));
    const facts = [["durability", durability], ...told, ["store", server?.storeId ?? "–"]];
    this.#body.replaceChildren(
      h(
        "ul.cards",
        { "aria-label": "Nodes" },
        h(
          "li.card.node",
          { "data-up": "true" },
          h("h3", software, h("span.up", "up")),
          h("dl", ...facts.map(([name, value]) => fact(name!.replaceAll("_", " "), value))),
        ),
      ),
      h(
        "p.soft.fine",
        h("code", "tidekeep cluster --help"),
        " tells how to make a cluster of it.",
      ),
    );
  }

  #say(text: string, well: boolean): void {
    this.#health.className = well ? "soft" : "problem";
    say(this.#health, text);
  }
}

function replicasText({ replicas, replicas_wanted }: ClusterStatus): string {
  const now = `${counted(replicas, "replica")} of each group`;
  return replicas === replicas_wanted ? `${now}.` : `${now}, ${replicas_wanted} as soon as nodes are enough.`;
}
