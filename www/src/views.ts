// All views of the page, in the order of their tabs.

import type { Session } from "./session.js";
import { ClusterView } from "./view/cluster.js";
import { ConsoleView } from "./view/console.js";
import type { Frame } from "./view/frame.js";
import { KeysView } from "./view/keys.js";
import { LeasesView } from "./view/leases.js";
import { LiveView } from "./view/live.js";
import { MetricsView } from "./view/metrics.js";
import { TransferView } from "./view/transfer.js";

/** Adds every view to the frame, and what each can be told to do to its actions. */
export function addViews(session: Session, frame: Frame): void {
  const { client } = session;
  frame.add(new KeysView(session, frame));
  frame.add(new LiveView(session, frame));
  frame.add(new MetricsView(client, frame));
  frame.add(new ClusterView(client, frame));
  frame.add(new LeasesView(client, frame));
  frame.add(new TransferView(client, frame));
  frame.add(new ConsoleView(client, frame));
}
