// wasm-bindgen's output, which scripts/build.mjs wraps into a function: each call of it gives glue
// of its own, and with it an instance of its own. See src/lib.rs for what the calls do.

declare module "tidekeep-glue" {
  export interface Glue {
    default(source: { module_or_path: WebAssembly.Module }): Promise<unknown>;
    start(
      host: object,
      seed: number,
      callsMax: number,
      backoffMinMs: number,
      backoffMaxMs: number,
    ): void;
    call(kind: number, body: Uint8Array, timeoutMs: number): number;
    cancel(call: number): void;
    watch(body: Uint8Array): number;
    unwatch(watch: number): void;
    pause(watch: number): void;
    resume(watch: number): void;
    keep(lease: number, ttlMs: number, since: number): void;
    forget(lease: number): void;
    flush(): void;
    tick(): void;
    woke(): void;
    close(): void;
  }
  export default function makeGlue(): Glue;
}

/** The module itself, as base64 text. */
declare module "tidekeep-module" {
  const base64: string;
  export default base64;
}
