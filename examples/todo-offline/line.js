// The line to the server, which this page can cut to try what happens: a WebSocket that is closed, and
// one that is never opened, as where there is no network.

export class Line {
  /** A page that is loaded again is still cut off. */
  #cut = sessionStorage.cut === "true";
  #open = new Set();

  get cut() {
    return this.#cut;
  }

  set cut(cut) {
    this.#cut = cut;
    sessionStorage.cut = cut;
    if (cut) for (const socket of this.#open) socket.close();
    // As the browser says it when the network is back, so that the client tries at once.
    else dispatchEvent(new Event("online"));
  }

  /** For `connect`. */
  WebSocket = ((line) =>
    function (url, protocols) {
      if (line.#cut) return dead();
      const socket = new WebSocket(url, protocols);
      line.#open.add(socket);
      socket.addEventListener("close", () => line.#open.delete(socket));
      return socket;
    })(this);
}

function dead() {
  const socket = Object.assign(new EventTarget(), { readyState: 3, send() {}, close() {} });
  setTimeout(() => socket.onclose?.(new CloseEvent("close", { code: 1006 })));
  return socket;
}
