// The console's `lock` and `elect`: what a page gets it holds until it is told to let go, loses it, or is
// closed. There is no command to run meanwhile.

import type { Lock } from "tidekeep";

import { callText } from "../model/javascript.js";
import { quote } from "../model/words.js";
import { Failure } from "./failure.js";
import { duration, rawOf } from "./reading.js";
import type { Reading } from "./reading.js";
import type { Plan } from "./run.js";
import { print } from "./show.js";

/** What is held here, by its name. */
const held = new Map<string, Lock>();

export function holdPlan(reading: Reading): { js?: string; run: Plan["run"] } {
  const { verb, words, options } = reading.command;
  const name = reading.key(words[0]!);
  const raw = rawOf(name);
  const what = quote(raw);
  if (reading.has("release")) {
    const run: Plan["run"] = async (_, out) => {
      const lock = held.get(raw);
      if (!lock) throw new Failure("not-found", `this page does not hold ${what}`);
      held.delete(raw);
      await lock.release();
      out.note(`${what} is let go`);
    };
    return { js: "await lock.release()", run };
  }
  const elects = verb.name === "elect";
  const value = elects ? words[1] : options.get("value")?.[0];
  if (elects && value === undefined) throw new Failure("invalid-input", "elect NAME needs a VALUE", `\`watch NAME --exact --content\` shows who leads`);
  const ttl = options.get("ttl")?.[0];
  const ttlMs = ttl === undefined ? undefined : duration(ttl);
  const given = value === undefined ? undefined : reading.value(value);
  const run: Plan["run"] = async (client, out) => {
    // It would wait for itself.
    if (held.has(raw)) throw new Failure("conflict", `this page holds ${what} already`);
    const lock = await client.lock(name, { ...(ttlMs && { ttlMs }), value: given ?? "a page", signal: out.signal });
    const { fencing, signal } = lock;
    held.set(raw, lock);
    signal.addEventListener("abort", () => held.delete(raw) && out.note(`${what} is lost`));
    print(out, { fencing }, `fencing ${fencing}`);
    out.note(`held until the page is closed or \`${verb.name} ${what} --release\``);
  };
  const more = elects ? [given, { ttlMs }] : [{ value: given, ttlMs }];
  return { js: `const lock = await ${callText(verb.name, [name, ...more])}`, run };
}
