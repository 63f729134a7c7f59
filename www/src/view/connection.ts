// The connection: a pill at the top with state, round trip and revision, and a banner while there is
// none. What is shown then is what was true last.

import { byId, oncePerFrame, say } from "../dom.js";
import { countText } from "../model/value.js";
import type { Session } from "../session.js";

/** A break that mends itself within this is not worth a banner. */
const PATIENCE_MS = 400;

export class Connection {
  readonly #pill = byId("connection");
  readonly #banner = byId("banner");
  #lostAt: number | undefined;

  constructor(readonly session: Session) {
    const draw = oncePerFrame(() => this.#draw());
    session.listen((part) => part === "connection" && draw());
    addEventListener("online", draw);
    addEventListener("offline", draw);
    setInterval(draw, 1000);
    this.#draw();
  }

  #draw(): void {
    const { client, roundTripMs, revision } = this.session;
    const { state } = client;
    this.#pill.dataset["state"] = state;
    const trip = roundTripMs === undefined ? "" : ` · ${roundTripMs.toFixed(1)} ms`;
    const at = revision > 0 ? ` · r ${countText(revision)}` : "";
    say(this.#pill, state === "ready" ? `ready${trip}${at}` : state);
    const lost = state === "reconnecting" || state === "closed";
    this.#lostAt = lost ? (this.#lostAt ?? performance.now()) : undefined;
    const since = this.#lostAt === undefined ? 0 : performance.now() - this.#lostAt;
    this.#banner.hidden = since < PATIENCE_MS;
    if (this.#banner.hidden) return;
    const why = navigator.onLine ? "The server does not answer" : "This device is offline";
    const text = `${why}. What you see was true ${Math.round(since / 1000)} s ago; the page goes on by itself.`;
    say(this.#banner, text);
  }
}
