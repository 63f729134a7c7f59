// Bundles the package: wasm/ (written by `cargo xtask web`) and ts/ become dist/.
//
//   dist/index.js       everything in one file, the module as base64 text
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

/**
 * wasm-bindgen's glue, of which only its imports are taken, as a function: every client has glue and
 * an instance of its own. It gives back the instance's own exports, which take numbers alone, so that
 * none of the generated wrappers and ways to load a module come along.
 */
const glueFactory = {
  name: "glue-factory",
  setup(builder) {
    builder.onResolve({ filter: /^tidekeep-glue$/ }, () => ({ path: path("wasm/tidekeep.js") }));
    builder.onLoad({ filter: /wasm\/tidekeep\.js$/ }, async ({ path }) => {
      const load = `
        export async function load(module) {
          const instance = await WebAssembly.instantiate(module, __wbg_get_imports());
          return __wbg_finalize_init(instance, module);
        }`;
      const { outputFiles } = await build({
        stdin: { contents: 'export { load } from "glue";' },
        bundle: true,
        write: false,
        format: "esm",
        target: "es2022",
        plugins: [
          {
            name: "glue",
            setup(inner) {
              inner.onResolve({ filter: /^glue$/ }, () => ({ path, sideEffects: false }));
              const glue = { contents: used(readFileSync(path, "utf8")) + load, loader: "js" };
              inner.onLoad({ filter: /wasm\/tidekeep\.js$/ }, () => glue);
            },
          },
        ],
      });
      const [whole, exported] = outputFiles[0].text.split(/^(?=export \{)/m);
      if (!/^export \{\s*load\s*\};\s*$/.test(exported)) throw new Error(`unknown glue: ${exported}`);
      const contents = `export default function (module) { ${whole}; return load(module); }`;
      return { contents, loader: "js" };
    });
  },
};

/** The glue without the imports that the optimiser has found no use for. */
function used(glue) {
  const module = new WebAssembly.Module(readFileSync(path("wasm/tidekeep_bg.wasm")));
  const names = new Set(WebAssembly.Module.imports(module).map(({ name }) => name));
  return glue.replace(/^ {8}(\w+): function\([^]*?^ {8}\},\n/gm, (text, name) => (names.has(name) ? text : ""));
}

/** Methods that only the package itself calls, and that no platform knows by that name. */
const INTERNAL = [
  ...["number", "signed", "flag", "optional", "condition", "expiry", "raw", "take"],
  ...["byte", "fixed", "variant", "rest", "block", "pending", "patched", "ended", "pause", "resume"],
  ...["emit", "enqueue", "mutations", "keep", "forget", "tick", "woke", "lose", "reset"],
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
    compress: { passes: 3, unsafe_arrows: true },
    mangle: { properties: { regex, builtins: true, keep_quoted: true } },
    nameCache,
  });
  writeFileSync(file, code);
}

/** The module's bytes as base64 text. */
const inlinedModule = {
  name: "inlined-module",
  setup(builder) {
    const file = path("wasm/tidekeep_bg.wasm");
    builder.onResolve({ filter: /^tidekeep-module$/ }, () => ({ path: file }));
    builder.onLoad({ filter: /tidekeep_bg\.wasm$/ }, ({ path }) => ({
      contents: readFileSync(path).toString("base64"),
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
