// Bundles the package: wasm/ (written by `cargo xtask web`) and ts/ become dist/.
//
//   dist/index.js       everything in one file, the module packed and as text
//   dist/slim.js        without the module;  dist/tidekeep.wasm  the module by itself
//   dist/workerd.js     around slim.js, for workerd: imports tidekeep.wasm as a module
//   dist/*.d.ts         the types, as they were written by hand
//
// package.json's exports name each entry a second time, scripts/tsconfig.types.json those with types.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { minify as again } from "terser";

const root = new URL("..", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));
const minify = process.env.TIDEKEEP_FLAVOUR !== "debug";

/** What the module may import from the page, by the names that `cargo xtask web` leaves of wasm-bindgen's. */
const IMPORTS = {
  // Only a module for debugging says why it gives up.
  throw: `(at, length) => {
    throw new Error(new TextDecoder().decode(new Uint8Array(wasm.memory.buffer, at >>> 0, length)));
  }`,
};

/**
 * The way into the module in place of wasm-bindgen's, which is three times as long: a function that
 * gives back an instance's own exports, which take numbers alone. Every client has one of its own.
 */
const glueFactory = {
  name: "glue-factory",
  setup(builder) {
    builder.onResolve({ filter: /^tidekeep-glue$/ }, () => ({ path: path("wasm/tidekeep_bg.wasm"), namespace: "glue" }));
    builder.onLoad({ filter: /./, namespace: "glue" }, ({ path }) => {
      const imports = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(path)));
      const given = imports.map(({ module, name }) => {
        const source = IMPORTS[name];
        if (!source || module !== "page") throw new Error(`unknown import: ${module} ${name}`);
        return `"${name}": ${source}`;
      });
      const page = given.length > 0 ? `page: { ${given.join()} }` : "";
      const contents = `export default async function (module) {
        const { exports: wasm } = await WebAssembly.instantiate(module, { ${page} });
        return wasm;
      }`;
      return { contents, loader: "js" };
    });
  },
};

/** Methods that only the package itself calls; no platform has, or takes as an option, one by that name. */
const INTERNAL = [
  ...["number", "signed", "optional", "condition", "expiry", "raw", "take"],
  ...["byte", "fixed", "variant", "rest", "block", "pending", "patched", "ended", "pause", "resume"],
  ...["emit", "enqueue", "mutations", "keep", "forget", "tick", "woke", "lose", "reset", "listeners"],
  ...["writeRequest", "readReply", "parts", "urls", "Engine", "Reader", "Writer"],
];
/** The same short names in every entry: they hand each other what bears them. */
const nameCache = {};

/**
 * A second look at a script takes another twentieth of what is sent: private names become plain ones
 * without a declaration, and internal ones are shortened.
 */
async function smaller(file) {
  const script = readFileSync(file, "utf8")
    .replace(/(?<=[;{}])(#\w+;)+/g, "")
    .replace(/(?<=async|get|set|\*)#/g, " #")
    .replace(/#(?=[\w$])/g, "$$$$");
  const regex = new RegExp(`^(\\$.+|${INTERNAL.join("|")})$`);
  const { code } = await again(script, {
    module: true,
    ecma: 2022,
    // Unsafe is what joins texts by a plus: it differs for symbols and for objects that are numbers; none is shown.
    compress: { passes: 3, unsafe: true, unsafe_arrows: true, lhs_constants: false, sequences: 10 },
    mangle: { properties: { regex, builtins: true, keep_quoted: true } },
    nameCache,
  });
  writeFileSync(file, code);
}

/**
 * The packed module as text, six bits a character: not base64's, but those that scripts are made of, `(` to
 * `E` and `]` to `~`. What gzip tells the text's characters by serves the script as well, for 250 B less.
 */
function sixBits(bytes) {
  let [text, left, count] = ["", 0, 0];
  const push = (bits) => (text += String.fromCharCode(bits + (bits < 30 ? 40 : 63)));
  for (const byte of bytes) {
    left = (left << 8) | byte;
    for (count += 8; count >= 6; count -= 6) push((left >> (count - 6)) & 63);
    left &= 63;
  }
  if (count > 0) push((left << (6 - count)) & 63);
  return text;
}

const inlinedModule = {
  name: "inlined-module",
  setup(builder) {
    const file = path("wasm/tidekeep_bg.lzma");
    builder.onResolve({ filter: /^tidekeep-module$/ }, () => ({ path: file }));
    builder.onLoad({ filter: /tidekeep_bg\.lzma$/ }, ({ path }) => ({
      contents: sixBits(readFileSync(path)),
      loader: "text",
    }));
  },
};

/** Entries of the package, each a file of its own, ts/NAME.ts: the client in two forms, and what not
 * every page needs. */
const ENTRIES = ["slim", "index", "tabs", "offline", "file", "observe", "react", "testing"];

const settings = {
  external: ["react", "node:*", "./observe.js"],
  outdir: path("dist"),
  bundle: true,
  minify,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  legalComments: "none",
  logLevel: "warning",
};
rmSync(path("dist"), { recursive: true, force: true });
mkdirSync(path("dist"));
await build({
  ...settings,
  entryPoints: ENTRIES.map((name) => path(`ts/${name}.ts`)),
  plugins: [glueFactory, inlinedModule],
});
await build({
  ...settings,
  entryPoints: [path("ts/workerd.ts")],
  external: ["./slim.js", "./tidekeep.wasm"],
});
// The first gets the shortest names.
if (minify) for (const name of [...ENTRIES, "workerd"]) await smaller(path(`dist/${name}.js`));
copyFileSync(path("wasm/tidekeep_bg.wasm"), path("dist/tidekeep.wasm"));

// Only what the entries' types name: everything else stays inside.
const types = path("scripts/tsconfig.types.json");
const tsc = path("node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "--project", types], { stdio: "inherit" });
const open = new Set([...ENTRIES, "types", "live", "errors", "offline/rows"].map((name) => `${name}.d.ts`));
for (const file of readdirSync(path("dist"), { recursive: true })) {
  if (file.endsWith(".d.ts") && !open.has(file)) rmSync(path(`dist/${file}`));
}
writeFileSync(
  path("dist/tidekeep.wasm.d.ts"),
  "// Bundlers give the file's address.\ndeclare const url: string;\nexport default url;\n",
);
for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(path(`../${name}`), path(`dist/${name}`));
