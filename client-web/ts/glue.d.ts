// The module's exports, as scripts/build.mjs wraps them with the imports that it names: each call gives
// an instance of its own. What the numbers mean is in src/lib.rs and src/driver.rs.

declare module "tidekeep-glue" {
  export interface Instance {
    readonly memory: WebAssembly.Memory;
    start(seed: number, callsMax: number, backoffMinMs: number, backoffMaxMs: number): void;
    room(length: number): number;
    ask(now: number, what: number, id: number, number: number, since: number): number;
    look(what: number, id: number): number;
    turn(now: number, what: number): number;
  }
  export default function instantiate(module: WebAssembly.Module): Promise<Instance>;
}

/** The module, packed, as text. */
declare module "tidekeep-module" {
  const sixBits: string;
  export default sixBits;
}

/** The module itself, where the platform compiles it: see ts/workerd.ts. */
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
