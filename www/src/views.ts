// All views of the page, in the order of their tabs.

import type { Session } from "./session.js";
import type { Frame } from "./view/frame.js";
import { KeysView } from "./view/keys.js";
import { LiveView } from "./view/log.js";

/** Adds every view to the frame, and what each can be told to do to its actions. */
export function addViews(session: Session, frame: Frame): void {
  frame.add(new KeysView(session, frame));
  frame.add(new LiveView(session));
}
