// A server in memory behind a WebSocket class: every test says itself what comes back, when the
// connection breaks and what is never answered. The real server is in server.test.ts.

import { Writer } from "../ts/codec.js";
import type { WebSocketConstructor } from "../ts/types.js";

const HEADER_BYTES = 12;
const PREFACE_BYTES = 8;
const REPLY = 0x80;
const Frame = { hello: 1, welcome: 2, ping: 3, pong: 4, cancel: 6, error: 7 } as const;

/** A request as it arrived. */
export interface Request {
  kind: number;
  id: number;
  body: Uint8Array;
}

/** What a request is answered with: a body, an error's code, or nothing at all. */
export type Answer = Writer | { error: number; outcome?: number } | undefined;

/** Scripts what the server does. */
export interface Script {
  answer?(request: Request, link: Link): Answer;
  /** Whether this attempt to connect, counted from 1, succeeds. */
  accepts?(attempt: number): boolean;
}

/** One connection, as the server sees it. */
export interface Link {
  /** Sends a frame. */
  send(kind: number, id: number, body: Writer): void;
  /** Breaks the connection. */
  cut(): void;
}

export class ScriptedServer {
  /** Requests of all connections, heartbeats and cancellations included. */
  readonly requests: Request[] = [];
  /** How many frames each message from the client had. */
  readonly messages: number[] = [];
  attempts = 0;
  links: Link[] = [];
  readonly WebSocket: WebSocketConstructor;

  constructor(readonly script: Script) {
    const server = this;
    this.WebSocket = class extends ScriptedSocket {
      constructor(url: string, protocol?: string) {
        super(url, protocol);
        server.attempts++;
        const accepted = script.accepts?.(server.attempts) ?? true;
        queueMicrotask(() => (accepted ? this.open(server) : this.end()));
      }
    };
  }

  /** Takes one message of the client. */
  receive(link: Link, message: Buffer): void {
    let frames = 0;
    for (let rest = message; rest.length > 0; frames++) {
      const end = 4 + rest.readUInt32LE(0);
      const kind = rest[4]!;
      const id = rest.readUInt32LE(8);
      const body = new Uint8Array(rest.subarray(HEADER_BYTES + rest.readUInt16LE(6), end));
      this.#take(link, { kind, id, body });
      rest = rest.subarray(end);
    }
    this.messages.push(frames);
  }

  #take(link: Link, request: Request): void {
    if (request.kind === Frame.hello) return link.send(Frame.welcome, request.id, welcome());
    this.requests.push(request);
    if (request.kind === Frame.ping) return link.send(Frame.pong, request.id, new Writer());
    if (request.kind === Frame.pong || request.kind === Frame.cancel) return;
    const answer = this.script.answer?.(request, link);
    if (answer instanceof Writer) link.send(request.kind | REPLY, request.id, answer);
    else if (answer) link.send(Frame.error, request.id, failure(answer.error, answer.outcome ?? 0));
  }
}

class ScriptedSocket {
  static readonly OPEN = 1;
  readyState = 0;
  binaryType = "blob";
  onopen: ((event: object) => void) | null = null;
  onmessage: ((event: object) => void) | null = null;
  onclose: ((event: object) => void) | null = null;
  #server: ScriptedServer | undefined;
  #first = true;
  #link: Link = {
    send: (kind, id, body) => this.#deliver(frame(kind, id, body.take())),
    cut: () => this.end(),
  };

  constructor(
    readonly url: string,
    readonly protocol: string | undefined,
  ) {}

  addEventListener(): void {}

  send(data: Uint8Array): void {
    const message = Buffer.from(data).subarray(this.#first ? PREFACE_BYTES : 0);
    this.#first = false;
    queueMicrotask(() => this.readyState === 1 && this.#server?.receive(this.#link, message));
  }

  close(): void {
    this.readyState = 3;
  }

  open(server: ScriptedServer): void {
    if (this.readyState !== 0) return;
    this.#server = server;
    server.links.push(this.#link);
    this.readyState = 1;
    this.onopen?.({});
  }

  end(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({});
  }

  #deliver(bytes: Uint8Array): void {
    const data = bytes.slice().buffer;
    queueMicrotask(() => this.readyState === 1 && this.onmessage?.({ data }));
  }
}

function frame(kind: number, id: number, body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  bytes.writeUInt32LE(bytes.length - 4, 0);
  bytes[4] = kind;
  bytes.writeUInt32LE(id, 8);
  bytes.set(body, HEADER_BYTES);
  return new Uint8Array(bytes);
}

/** A welcome with the default limits. */
function welcome(): Writer {
  const to = new Writer().number(1).number(0);
  const limits = [1024, 1 << 20, 4 << 20, 64 << 10, 64 << 10, 8 << 20, 4096, 1024, 10_000, 512];
  for (const limit of limits) to.number(limit);
  for (let byte = 0; byte < 32; byte++) to.number(byte);
  return to.number(7).number(10_000).number(1_767_225_600_000).bytes("scripted 1");
}

function failure(code: number, outcome: number): Writer {
  const to = new Writer().number(code).flag(false).number(outcome);
  return to.number(0).bytes("as the script says");
}
