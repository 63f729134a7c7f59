// The page: one session, a frame with its views, and what goes around them. Everything it does to the
// store goes through the npm package's public surface.

import { Actions } from "./actions.js";
import { byId } from "./dom.js";
import { Session } from "./session.js";
import { Connection } from "./view/connection.js";
import { Frame } from "./view/frame.js";
import { Help } from "./view/help.js";
import { storedDelimiter } from "./view/keys.js";
import { Palette } from "./view/palette.js";
import { Theme } from "./view/theme.js";
import { addViews } from "./views.js";

const theme = new Theme();

/** The frame is painted as it stands in the page before anything is made; a page that is hidden never paints. */
if (document.hidden) start();
else requestAnimationFrame(() => setTimeout(start));

function start(): void {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
  const session = new Session(url, storedDelimiter());
  const actions = new Actions();
  const frame = new Frame(actions);
  addViews(session, frame);
  const palette = new Palette(session, frame);
  const help = new Help(actions);
  new Connection(session);
  actions.add(
    { group: "Page", title: "Search commands and keys", keys: "Ctrl-K", whileTyping: true, run: () => palette.open() },
    { group: "Page", title: "Keyboard help", keys: "?", run: () => help.open() },
    { group: "Page", title: "Switch between light and dark", run: () => theme.toggle() },
  );
  byId("palette-open").addEventListener("click", () => palette.open());
  byId("help-open").addEventListener("click", () => help.open());
  addEventListener("keydown", (event) => onKey(event, actions));
  session.listen(frame.stale);
  frame.open();
}

function onKey(event: KeyboardEvent, actions: Actions): void {
  if (event.isComposing || document.querySelector("dialog[open]")) return;
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select") !== null;
  const action = actions.stroke(event, typing, performance.now());
  if (!action) return;
  event.preventDefault();
  action.run();
}
