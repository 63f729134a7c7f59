// A page of React components on `tidekeep/react`, which react.test.ts bundles and looks at.

import { Component, createElement, StrictMode } from "react";
import type { ReactNode } from "react";
import { createRoot } from "react-dom/client";
import type { Client } from "tidekeep";
import { TidekeepProvider, useClient, useKey, useRange, useStatus } from "tidekeep/react";

/** How often each component was rendered. */
const renders: Record<string, number> = {};
const count = (name: string) => (renders[name] = (renders[name] ?? 0) + 1);

function One({ name }: { name: string }) {
  count(name);
  const { entry, freshness } = useKey(name);
  return createElement("p", { id: name }, `${entry?.text() ?? "none"} ${freshness}`);
}

function All({ id, prefix }: { id: string; prefix: string }) {
  count(id);
  const range = useRange({ prefix });
  const rows = range.entries.map((entry) =>
    createElement("li", { key: entry.key }, `${entry.key}=${entry.text()}${entry.optimistic ? "*" : ""}`),
  );
  return createElement("ul", { id, "data-freshness": range.freshness }, rows);
}

function Status() {
  const { state, waiting } = useStatus();
  const client = useClient();
  const add = () => client.queue.put("list/new", "added");
  return createElement("button", { id: "status", onClick: add }, `${state} ${waiting}`);
}

class Boundary extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};
  static getDerivedStateFromError = (error: Error) => ({ error });
  override render() {
    return this.state.error
      ? createElement("p", { id: "error" }, String(this.state.error))
      : this.props.children;
  }
}

function show(client: Client, prefix: string): void {
  const root = createRoot(document.body.appendChild(document.createElement("div")));
  const render = (prefix: string) =>
    root.render(
      createElement(
        StrictMode,
        null,
        createElement(
          Boundary,
          null,
          createElement(
            TidekeepProvider,
            { client },
            createElement(One, { name: "list/a" }),
            createElement(All, { id: "left", prefix }),
            createElement(All, { id: "right", prefix }),
            createElement(Status),
          ),
        ),
      ),
    );
  render(prefix);
  Object.assign(window, { render, unmount: () => root.unmount() });
}

Object.assign(window, { show, renders });
